"""gateway.net.servers: several receivers as one."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gateway import metrics
from gateway.config.settings import Endpoint, GrpcListener, HttpListener, Receiver
from gateway.core import Accepted
from gateway.errors import StartupError
from gateway.membership import VIEW_HEADER, ViewStamp
from gateway.metrics import Tally
from gateway.net.grpc_server import GrpcServer
from gateway.net.intake import Intake
from gateway.net.native_server import NativeServer
from gateway.net.servers import Servers, grpc_front
from tests.support.edge import Script, channel, export, http_raw, post


def free() -> Endpoint:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return Endpoint("127.0.0.1", listener.getsockname()[1])


REQUEST, SERVING = health_pb2.HealthCheckRequest(), health_pb2.HealthCheckResponse.SERVING


async def until_serving(opened: grpc.aio.Channel, ready: bool) -> None:
    """Until the health service says so."""
    check = health_pb2_grpc.HealthStub(opened).Check
    while ((await check(REQUEST)).status == SERVING) is not ready:  # noqa: ASYNC110 -- a server sets no event of ours
        await asyncio.sleep(0.01)


async def test_all_receivers_at_once() -> None:
    """Every listener of every receiver serves, follows the process's readiness and stops; replies carry the view."""
    script = Script([Accepted()])
    grpc_1, grpc_2, http_1 = free(), free(), free()
    receivers = (
        Receiver("otlp", GrpcListener(grpc_1), HttpListener(http_1)),
        Receiver("otlp/inside", GrpcListener(grpc_2), None),
    )
    made = Servers(receivers, Intake(script.feed), Tally(), stamp=lambda: ViewStamp(1, "a"))
    await made.start()
    ready = False
    made.follow(lambda: ready)
    for ready in (True, False):
        for target in (grpc_1, grpc_2):
            async with channel(str(target)) as opened:
                assert (await export(opened))[1][VIEW_HEADER] == "1:a"
                await until_serving(opened, ready)
    assert (await http_raw(http_1.port, post())).status == 200
    assert len(script.received) == 5
    await made.stop(0)
    with pytest.raises(ConnectionError):
        await http_raw(http_1.port, post())


async def test_each_listener_has_the_front_it_names() -> None:
    """Which library carries gRPC is said listener by listener."""
    intake = Intake(Script([Accepted()]).feed)
    assert isinstance(grpc_front(GrpcListener(free()), intake), GrpcServer)
    assert isinstance(grpc_front(GrpcListener(free(), front="native"), intake), NativeServer)


async def test_stopping_ends_with_its_grace() -> None:
    """Requests that are never answered, on either protocol, do not hold up the end beyond the grace."""
    script = Script([None])
    grpc_at, http_at = free(), free()
    made = Servers((Receiver("otlp", GrpcListener(grpc_at), HttpListener(http_at)),), Intake(script.feed), Tally())
    await made.start()
    asked = [asyncio.ensure_future(http_raw(http_at.port, post()))]
    async with channel(str(grpc_at)) as opened:
        asked.append(asyncio.ensure_future(export(opened)))
        await script.wait_for(2)
        await asyncio.wait_for(made.stop(0.2), 10)
        ends = await asyncio.gather(*asked, return_exceptions=True)
    assert all(isinstance(end, Exception) for end in ends)


@pytest.mark.parametrize("protocol", ["gRPC", "HTTP"])
async def test_the_first_port_in_use_is_named(protocol: str) -> None:
    """One port in use among several listeners is an error that names it, and what was started can be stopped."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        there = Endpoint("127.0.0.1", taken.getsockname()[1])
        grpc_at, http_at = (there, free()) if protocol == "gRPC" else (free(), there)
        made = Servers(
            (Receiver("otlp", GrpcListener(grpc_at), HttpListener(http_at)),), Intake(lambda _: None), Tally()
        )
        with pytest.raises(StartupError, match=rf"cannot listen on {there} \(OTLP/{protocol}\)"):
            await made.start()
        await made.stop(0)


PROGRAM = """
import asyncio, sys
from gateway.config.settings import Endpoint, GrpcListener, HttpListener, Receiver, Telemetry
from gateway.errors import StartupError
from gateway.metrics import Tally
from gateway.net import log, process
from gateway.net.grpc_server import GrpcServer
from gateway.net.intake import Intake
from gateway.net.native_server import NativeServer
from gateway.net.servers import Servers, grpc_front

async def main(stop):
    taken = Endpoint("127.0.0.1", int(sys.argv[1]))
    receiver = Receiver("otlp", GrpcListener(Endpoint("127.0.0.1", 0)), HttpListener(taken))
    servers = Servers((receiver,), Intake(lambda event: None), Tally())
    try:
        await servers.start()
    except StartupError:
        await servers.stop(0)
        raise

log.configure(Telemetry(), "test")
try:
    process.run(main)
except StartupError as error:
    sys.exit(f"{error}")
"""


@pytest.mark.integration
def test_a_process_that_cannot_start_ends_at_once() -> None:
    """A process whose second listener finds its port in use ends with one line, although its first was listening."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        words = [sys.executable, "-c", PROGRAM, str(taken.getsockname()[1])]
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("cannot listen on 127.0.0.1:")


async def test_what_comes_in_is_counted_by_receiver_and_transport() -> None:
    """Each listener counts under its receiver's name and its transport, and is there with 0 before anything came."""
    script = Script([Accepted(1, "one")])
    grpc_at, http_at = free(), free()
    tally = Tally()
    made = Servers((Receiver("otlp/a", GrpcListener(grpc_at), HttpListener(http_at)),), Intake(script.feed), tally)
    labels = ("otlp/a", "grpc"), ("otlp/a", "http")
    assert dict(tally.series(metrics.RECEIVER_REFUSED)) == dict.fromkeys(labels, 0)
    await made.start()
    assert (await http_raw(http_at.port, post())).status == 200
    await made.stop(0)
    assert dict(tally.series(metrics.RECEIVER_REFUSED)) == {labels[0]: 0, labels[1]: 1}
