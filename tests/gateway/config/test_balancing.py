"""gateway.config.balancing"""

from __future__ import annotations

from gateway.config import load, settings
from gateway.config.balancing import ForwardClient, LoadBalancing
from gateway.config.block import examine
from gateway.config.settings import Endpoint, RedisCluster


def judge(text: str) -> tuple[LoadBalancing | None, list[str]]:
    block, mistakes = examine(LoadBalancing, load([("f", text)], {}).root, ())
    return block, [f"{mistake.path}: {mistake.message}" for mistake in sorted(mistakes)]


def test_samplers_are_found_in_redis() -> None:
    """With a URL alone: the default cluster, read every second, 5 s of drain."""
    block, _ = judge("resolver: {redis: {url: 'redis://r'}}")
    assert block is not None
    assert block.resolver_settings() == settings.RedisResolver(RedisCluster("redis://r", "default", 1.0), 5.0)


def test_samplers_are_listed_by_hand() -> None:
    """A hostname without a port means 4317, as in the Collector."""
    block, _ = judge("resolver: {static: {hostnames: [a, 'b:1'], drain_delay: 0s}}")
    assert block is not None
    assert block.resolver_settings() == settings.StaticResolver((Endpoint("a", 4317), Endpoint("b", 1)), 0.0)


def test_there_is_exactly_one_resolver() -> None:
    """None, two, and one that is not built are mistakes, each told once."""
    assert judge("resolver:")[1] == ["resolver: names no resolver: redis or static"]
    assert judge("{}")[1] == [': the key "resolver" is missing']
    assert judge("resolver: {k8s: {}}")[1] == ["resolver.k8s: not built yet"]
    assert judge("resolver: {redis: , static: {hostnames: [a]}}")[1] == [
        'resolver.redis: the key "url" is missing',
        "resolver.static: stands beside redis; there can be only one resolver",
    ]


def test_a_list_of_samplers_is_not_empty() -> None:
    """Nobody to send to is a mistake."""
    assert judge("resolver: {static: {hostnames: []}}")[1] == ["resolver.static.hostnames: names no sampler"]


def test_what_the_collector_has_around_the_exporter_is_refused_by_name() -> None:
    """The Collector's outer queue, retry and time limit have no counterpart, and are not ignored."""
    text = "timeout: 5s\nretry_on_failure: {}\nsending_queue: {}\nresolver: {static: {hostnames: [a]}}"
    assert [message.partition(":")[0] for message in judge(text)[1]] == ["timeout", "retry_on_failure", "sending_queue"]


def test_a_balancers_client_has_no_endpoint_and_no_queue() -> None:
    """Between the tiers the Collector's keys are taken that mean something there, and the queue's switch besides."""
    text = "tls: {insecure: true}\nsending_queue: {enabled: false}\nretry_on_failure: {enabled: true}\ntimeout: 1s\n"
    block, found = examine(ForwardClient, load([("f", text)], {}).root, ())
    assert found == [] and block is not None
    assert block.settings() == settings.OtlpClient(insecure=True, timeout=1.0)


def test_samplers_can_be_spoken_to_over_http() -> None:
    """otlp_http makes the hop OTLP/HTTP, uncompressed unless told otherwise, and hostnames without a port mean 4318."""
    block, found = judge(
        "protocol: {otlp_http: {tls: {insecure: true}}}\nresolver: {static: {hostnames: [a, 'b:1', 'a:4317']}}"
    )
    assert block is not None, found
    assert block.protocol.settings() == settings.OtlpClient(insecure=True, gzip=False, http_path="/v1/traces")
    static = block.resolver_settings()
    assert isinstance(static, settings.StaticResolver)
    assert static.endpoints == (Endpoint("a", 4318), Endpoint("b", 1), Endpoint("a", 4317))
    block, _ = judge("protocol: {otlp: {compression: none}}\nresolver: {static: {hostnames: [a]}}")
    assert block is not None and block.protocol.settings().http_path is None
