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


def probe(*endpoints: Endpoint) -> None:
    ports.probe([ports.Claim(f"key {number}", endpoint) for number, endpoint in enumerate(endpoints)])


def test_free_ports_pass(free: Endpoint) -> None:
    """Addresses that can be listened on raise nothing and are free afterwards; port 0 is never in the way."""
    anything = Endpoint("127.0.0.1", 0)
    probe(free, anything, anything)
    with socket.socket() as listener:
        listener.bind((free.host, free.port))
        assert listener.getsockname()[1] == free.port


def test_a_port_in_use_is_named(taken: Endpoint) -> None:
    """A port in use is one line naming the address, even if its owner would share it."""
    with pytest.raises(StartupError) as caught:
        probe(taken)
    assert str(caught.value) == f"cannot listen on {taken}: address already in use"


def test_a_wildcard_finds_a_port_in_use(taken: Endpoint) -> None:
    """Listening everywhere is refused when somebody listens on that port of one address."""
    with pytest.raises(StartupError, match="already in use"):
        probe(Endpoint("0.0.0.0", taken.port))


def test_every_claim_has_its_key() -> None:
    """What a configuration listens on is known by the keys that say so, with as many ports in a row as there are workers."""
    config = SamplerConfig(
        RECEIVERS,
        TailSampling(()),
        (),
        Telemetry(metrics=Endpoint("127.0.0.1", 8888)),
        health=HealthCheck(Endpoint("127.0.0.1", 13133)),
    )
    assert [(claim.key, claim.endpoint.port, claim.count) for claim in ports.claims(config, 3)] == [
        ("receivers.otlp.protocols.grpc", 4317, 3),
        ("receivers.otlp.protocols.http", 4400, 3),
        ("receivers.otlp/inside.protocols.grpc", 5317, 3),
        ("extensions.health_check", 13133, 1),
        ("service.telemetry.metrics", 8888, 1),
    ]


def sampler(http: int, health: int) -> SamplerConfig:
    """A sampler with gRPC on 4317."""
    receiver = Receiver("otlp", GrpcListener(Endpoint("0.0.0.0", 4317)), HttpListener(Endpoint("127.0.0.1", http)))
    checked = HealthCheck(Endpoint("127.0.0.1", health))
    return SamplerConfig((receiver,), TailSampling(()), (), Telemetry(), health=checked)


def test_workers_on_each_others_ports_are_named() -> None:
    """A second worker of a sampler on 4317 and 4318 is refused: both listeners are named, and which port would do."""
    with pytest.raises(StartupError) as caught:
        ports.probe(ports.claims(sampler(http=4318, health=13133), 2))
    assert str(caught.value) == (
        "worker 1 of receivers.otlp.protocols.grpc (port 4317 + 1) and receivers.otlp.protocols.http would both listen on "
        "port 4318: give receivers.otlp.protocols.http port 4319 or a higher one or start fewer workers"
    )


def test_a_worker_on_the_health_port_is_named() -> None:
    """Health and metrics are no worker's: a worker that would come to their port is refused."""
    config = sampler(http=5000, health=4320)
    with pytest.raises(
        StartupError, match=r"worker 3 of receivers\.otlp\.protocols\.grpc .* and extensions\.health_check"
    ):
        ports.probe(ports.claims(config, 4))


def test_the_same_port_of_two_addresses_is_no_clash(free: Endpoint) -> None:
    """One port of two addresses is two listeners; a wildcard takes it on both."""
    other = Endpoint("127.0.0.2", free.port)
    probe(free, other)
    with pytest.raises(StartupError, match="key 0 and key 2 would both listen"):
        probe(free, other, Endpoint("", free.port))


def test_a_port_asked_for_twice_is_named(free: Endpoint) -> None:
    """Two keys with one port are refused before anything starts, in the order of the file."""
    with pytest.raises(StartupError) as caught:
        probe(free, Endpoint("0.0.0.0", free.port))
    said = f"key 0 and key 1 would both listen on port {free.port}: give key 1 port {free.port + 1} or a higher one"
    assert str(caught.value) == said


def test_workers_cannot_count_from_any_port() -> None:
    """Port 0 means any port, and no worker can be told the one after it."""
    with pytest.raises(StartupError, match="key: worker i listens on port"):
        ports.probe([ports.Claim("key", Endpoint("127.0.0.1", 0), 2)])


def test_workers_beyond_the_last_port_are_refused() -> None:
    """More workers than there are ports left is an error in words."""
    with pytest.raises(StartupError, match="the last port is 65535; use fewer workers"):
        probe(Endpoint("127.0.0.1", 65536))


def test_an_unknown_host_is_named() -> None:
    """A host that does not resolve is an error naming the address."""
    with pytest.raises(StartupError, match=r"cannot listen on no-such-host\.invalid:4317: "):
        probe(Endpoint("no-such-host.invalid", 4317))


def test_an_address_of_another_machine_is_refused() -> None:
    """An address that this machine does not have is refused in words."""
    with pytest.raises(StartupError, match=r"cannot listen on 192\.0\.2\.1:4317: cannot assign requested address"):
        probe(Endpoint("192.0.2.1", 4317))


@pytest.mark.parametrize(
    ("host", "client"), [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("::", "::1"), ("10.0.0.1", "10.0.0.1")]
)
def test_a_wildcard_is_reached_by_loopback(host: str, client: str) -> None:
    """A listener on every address is reached on the loopback address of its family."""
    assert ports.reachable(Endpoint(host, 4317)) == Endpoint(client, 4317)
