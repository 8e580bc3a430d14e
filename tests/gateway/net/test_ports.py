"""gateway.net.ports: which addresses a configuration listens on, and whether they are free."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from gateway.config.settings import (
    Endpoint,
    GrpcListener,
    HealthCheck,
    HttpListener,
    LoadBalancerConfig,
    OtlpClient,
    Receiver,
    SamplerConfig,
    StaticResolver,
    TailSampling,
    Telemetry,
)
from gateway.errors import StartupError
from gateway.net import ports

RECEIVERS = (
    Receiver("otlp", GrpcListener(Endpoint("0.0.0.0", 4317)), HttpListener(Endpoint("0.0.0.0", 4400))),
    Receiver("otlp/inside", GrpcListener(Endpoint("127.0.0.1", 5317)), None),
)
BALANCER = LoadBalancerConfig(RECEIVERS, OtlpClient(), StaticResolver(()), Telemetry())
SAMPLER = SamplerConfig(RECEIVERS, TailSampling(()), (), Telemetry())


@pytest.fixture
def taken() -> Iterator[Endpoint]:
    """An address somebody listens on, willing to share it as grpc servers are."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield Endpoint("127.0.0.1", listener.getsockname()[1])


@pytest.fixture
def free() -> Endpoint:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return Endpoint("127.0.0.1", listener.getsockname()[1])


def test_balancer_workers_share_their_ports() -> None:
    """However many workers a load balancer has, it listens on the configured ports only."""
    assert [str(endpoint) for endpoint in ports.listeners(BALANCER, 3)] == [
        "0.0.0.0:4317",
        "0.0.0.0:4400",
        "127.0.0.1:5317",
    ]


def test_sampler_workers_count_upwards() -> None:
    """Worker i of a sampler listens i ports further on, on each of its listeners."""
    assert [endpoint.port for endpoint in ports.listeners(SAMPLER, 3)] == [
        *(4317, 4318, 4319),
        *(4400, 4401, 4402),
        *(5317, 5318, 5319),
    ]


def test_health_and_metrics_may_share_an_address() -> None:
    """Health and metrics on one address are one listener; what is not configured is none."""
    here, there = Endpoint("127.0.0.1", 13133), Endpoint("127.0.0.1", 8888)
    cases = {
        (None, None): [],
        (here, None): [here],
        (None, there): [there],
        (here, there): [here, there],
        (here, here): [here],
    }
    for (health, metrics), wanted in cases.items():
        checked = HealthCheck(health) if health else None
        config = LoadBalancerConfig((), OtlpClient(), StaticResolver(()), Telemetry(metrics=metrics), health=checked)
        assert ports.admin(config) == wanted


def test_free_ports_pass(free: Endpoint) -> None:
    """Addresses that can be listened on raise nothing and are free afterwards; port 0 is never in the way."""
    anything = Endpoint("127.0.0.1", 0)
    ports.probe([free, anything, anything])
    with socket.socket() as listener:
        listener.bind((free.host, free.port))
        assert listener.getsockname()[1] == free.port


def test_a_port_in_use_is_named(taken: Endpoint) -> None:
    """A port in use is one line naming the address, even if its owner would share it."""
    with pytest.raises(StartupError) as caught:
        ports.probe([taken])
    assert str(caught.value) == f"cannot listen on {taken}: address already in use"


def test_a_wildcard_finds_a_port_in_use(taken: Endpoint) -> None:
    """Listening everywhere is refused when somebody listens on that port of one address."""
    with pytest.raises(StartupError, match="already in use"):
        ports.probe([Endpoint("0.0.0.0", taken.port)])


def test_a_port_asked_for_twice_is_named(free: Endpoint) -> None:
    """A configuration whose own listeners collide, workers included, is refused before anything starts."""
    with pytest.raises(StartupError, match=f"asks for port {free.port} twice"):
        ports.probe([free, Endpoint("0.0.0.0", free.port)])


def test_workers_beyond_the_last_port_are_refused() -> None:
    """More workers than there are ports left is an error in words."""
    with pytest.raises(StartupError, match="the last port is 65535; use fewer workers"):
        ports.probe([Endpoint("127.0.0.1", 65536)])


def test_an_unknown_host_is_named() -> None:
    """A host that does not resolve is an error naming the address."""
    with pytest.raises(StartupError, match=r"cannot listen on no-such-host\.invalid:4317: "):
        ports.probe([Endpoint("no-such-host.invalid", 4317)])


def test_an_address_of_another_machine_is_refused() -> None:
    """An address that this machine does not have is refused in words."""
    with pytest.raises(StartupError, match=r"cannot listen on 192\.0\.2\.1:4317: cannot assign requested address"):
        ports.probe([Endpoint("192.0.2.1", 4317)])


@pytest.mark.parametrize(
    ("host", "client"), [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("::", "::1"), ("10.0.0.1", "10.0.0.1")]
)
def test_a_wildcard_is_reached_by_loopback(host: str, client: str) -> None:
    """A listener on every address is reached on the loopback address of its family."""
    assert ports.reachable(Endpoint(host, 4317)) == Endpoint(client, 4317)
