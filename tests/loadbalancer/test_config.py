"""loadbalancer.config"""

from __future__ import annotations

import pytest

from gateway import limits
from gateway.config import load
from gateway.config.settings import (
    Endpoint,
    GrpcListener,
    HealthCheck,
    HttpListener,
    LoadBalancerConfig,
    MemoryLimiter,
    OtlpClient,
    Receiver,
    RedisCluster,
    RedisResolver,
    StaticResolver,
    Telemetry,
)
from gateway.errors import ConfigError
from loadbalancer.config import parse

EXAMPLE = """\
receivers: {otlp: {protocols: {grpc: {endpoint: "0.0.0.0:4317"}, http: {endpoint: "0.0.0.0:4318"}}}}
exporters:
  load_balancing:
    routing_key: traceID
    protocol: {otlp: {tls: {insecure: true}}}
    resolver: {redis: {url: "redis://redis:6379/0", cluster: default}}      # ours; also the Collector's static, dns, k8s
extensions: {health_check: {endpoint: "0.0.0.0:13133"}}
service:
  extensions: [health_check]
  telemetry: {metrics: {address: "0.0.0.0:8888"}}
  pipelines: {traces: {receivers: [otlp], exporters: [load_balancing]}}
"""


def test_the_example_becomes_a_load_balancer() -> None:
    """The documented example, word for word, says everything a load balancer is built from."""
    assert parse(load([("f", EXAMPLE)], {})) == LoadBalancerConfig(
        receivers=(Receiver("otlp", GrpcListener(Endpoint("0.0.0.0", 4317)), HttpListener(Endpoint("0.0.0.0", 4318))),),
        client=OtlpClient(insecure=True),
        resolver=RedisResolver(RedisCluster("redis://redis:6379/0")),
        telemetry=Telemetry(metrics=Endpoint("0.0.0.0", 8888)),
        health=HealthCheck(Endpoint("0.0.0.0", 13133)),
    )


def test_a_memory_limiter_bounds_what_is_in_flight() -> None:
    """memory_limiter may stand before load_balancing, and its budget arrives."""
    text = EXAMPLE.replace("exporters: [load", "processors: [memory_limiter], exporters: [load")
    found = parse(load([("f", text + "processors: {memory_limiter: {limit_mib: 500}}\n")], {}))
    assert found.memory == MemoryLimiter(limit_bytes=400 * limits.MIB)


def test_the_alias_and_a_suffix_are_the_same_exporter() -> None:
    """`loadbalancing/blue` is a load_balancing exporter too."""
    text = EXAMPLE.replace("load_balancing", "loadbalancing/blue").replace(
        'redis: {url: "redis://redis:6379/0", cluster: default}', "static: {hostnames: [a]}"
    )
    assert parse(load([("f", text)], {})).resolver == StaticResolver((Endpoint("a", 4317),))


def test_what_is_not_named_does_not_run() -> None:
    """A health check that service.extensions does not name is not there."""
    assert parse(load([("f", EXAMPLE.replace("extensions: [health_check]", "extensions: []"))], {})).health is None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("exporters: [load_balancing]", "exporters: [debug]", "a load balancer exports to load_balancing only"),
        ("exporters: [load_balancing]", "exporters: []", "the pipeline needs the exporter load_balancing"),
        ("extensions: [health_check]", "extensions: [redis_membership]", "redis_membership is for samplers"),
        ("exporters: [load", "processors: [batch], exporters: [load", "batch has no place before load_balancing"),
        (
            "exporters: [load",
            "processors: [memory_limiter, memory_limiter/2], exporters: [load",
            "a second memory_limiter",
        ),
        ("exporters: [load_balancing]", "exporters: [load_balancing, load_balancing/2]", "a second load_balancing"),
    ],
)
def test_what_a_load_balancer_cannot_be_is_refused(old: str, new: str, message: str) -> None:
    """A pipeline that a load balancer cannot run is one mistake with the reason."""
    more = """\
processors: {batch: , memory_limiter: {limit_mib: 9}, memory_limiter/2: {limit_mib: 9}}
"""
    text = EXAMPLE.replace(old, new).replace(
        "exporters:\n", "exporters:\n  debug:\n  load_balancing/2: {resolver: {static: {hostnames: [a]}}}\n"
    )
    text = text.replace("extensions: {", 'extensions: {redis_membership: {url: "redis://r", advertise: "a:1"}, ', 1)
    with pytest.raises(ConfigError) as caught:
        parse(load([("f", text + more)], {}))
    assert [message in mistake.message for mistake in caught.value.mistakes] == [True]
