"""gateway.net.grpc_server, and beside it the other front: start and port. What they answer is in tests/conformance/."""

from __future__ import annotations

import socket

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway.config.settings import Endpoint, GrpcListener
from gateway.core import Accepted
from gateway.errors import StartupError
from gateway.net.grpc_front import TRACE_SERVICE, GrpcFront
from gateway.net.intake import Intake
from gateway.net.servers import grpc_front
from tests.support import edge as support
from tests.support.edge import Script, channel, edge, export, over_both_fronts, refusal

__all__ = ["over_both_fronts"]
pytestmark = pytest.mark.usefixtures("over_both_fronts")


def server(port: int = 0, *, host: str = "127.0.0.1", reuse_port: bool = False) -> GrpcFront:
    listener = GrpcListener(Endpoint(host, port), front=support.FRONT)
    return grpc_front(listener, Intake(Script([Accepted()]).feed), reuse_port=reuse_port)


async def test_a_port_in_use_is_one_line() -> None:
    """A port in use is one line that names the address and the protocol."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError) as caught:
            await server(port).start()
    assert str(caught.value).startswith(f"cannot listen on 127.0.0.1:{port} (OTLP/gRPC)")
    assert "\n" not in str(caught.value)


async def test_ports_are_not_shared_unless_asked_for() -> None:
    """Two processes started by mistake on one port do not share it silently: the second is refused."""
    first = server()
    port = await first.start()
    with pytest.raises(StartupError):
        await server(port).start()
    with pytest.raises(StartupError):
        await server(port, reuse_port=True).start()
    await first.stop(0)


async def test_workers_share_a_port() -> None:
    """Workers that ask for it listen on one port together."""
    first = server(reuse_port=True)
    port = await first.start()
    second = server(port, reuse_port=True)
    assert await second.start() == port
    await first.stop(0)
    async with channel(f"127.0.0.1:{port}") as opened:
        assert (await export(opened))[0] == b""
    await second.stop(0)


async def test_a_server_starts_not_ready() -> None:
    """A server that has just been started says it is not serving: readiness is told by the service, later."""
    made = server()
    port = await made.start()
    async with channel(f"127.0.0.1:{port}") as opened:
        for name in ("", TRACE_SERVICE):
            answer = await health_pb2_grpc.HealthStub(opened).Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.NOT_SERVING
        assert (await export(opened))[0] == b"", "readiness is advice; what comes is served"
    await made.stop(0)


async def test_stopping_twice_does_no_harm() -> None:
    """A server may be stopped again, and without ever having been started."""
    made = server()
    await made.stop(0)
    made = server()
    port = await made.start()
    await made.stop(0)
    await made.stop(0)
    async with channel(f"127.0.0.1:{port}") as opened:
        assert (await refusal(opened)).code() is grpc.StatusCode.UNAVAILABLE


async def test_binary_metadata_is_none_of_our_business() -> None:
    """Metadata of any kind, twice or binary, goes by without a stumble."""
    async with edge() as made, channel(made.grpc_target) as opened:
        odd = (("x-bin", b"\xff\x00"), ("x-twice", "1"), ("x-twice", "2"), ("x-tailgate-view", ""))
        assert (await export(opened, metadata=odd))[0] == b""
        assert made.script.received[0].peer_view is None


async def test_a_host_that_is_none() -> None:
    """A host that cannot be resolved is one line that names it."""
    with pytest.raises(StartupError) as caught:
        await server(host="nowhere.invalid").start()
    assert str(caught.value).startswith("cannot listen on nowhere.invalid:0 (OTLP/gRPC)")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["0.0.0.0", "localhost"])
async def test_names_and_everywhere(host: str) -> None:
    """A server listens everywhere, or where a name leads."""
    made = server(host=host)
    async with channel(f"127.0.0.1:{await made.start()}") as opened:
        assert (await export(opened))[0] == b""
    await made.stop(0)
