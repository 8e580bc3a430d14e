"""The OTLP edge with a scripted core behind it: real sockets in front, and a test says what becomes of each request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest

from gateway.config.settings import Endpoint, GrpcListener, HttpListener
from gateway.core import Accepted, Action, Delivered, Outcome, Received, Reply, Send, ViewChanged
from gateway.membership import Member, RingParameters, ViewStamp, make_view
from gateway.metrics import Tally
from gateway.net.driver import Driver
from gateway.net.grpc_front import TRACE_SERVICE, GrpcFront
from gateway.net.http_server import HttpServer
from gateway.net.intake import Intake
from gateway.net.servers import grpc_front
from loadbalancer.balancer import Balancer

LOOPBACK = Endpoint("127.0.0.1", 0)
FRONTS = ("grpcio", "native")
FRONT = "grpcio"  # of the edges that name none: the fixture `over_both_fronts` sets it
PATIENCE = 20.0  # how long a test waits for what must come; long enough never to be the reason of a failure


@pytest.fixture(params=FRONTS)
def over_both_fronts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test runs over each front; which one this is."""
    front: str = request.param
    monkeypatch.setattr("tests.support.edge.FRONT", front)
    return front


@dataclass
class Script:
    """A stand-in for driver and core. `outcomes` are given in order, the last one for ever; None means: not answered (yet)."""

    outcomes: list[Outcome | None] = field(default_factory=lambda: [Accepted()])
    received: list[Received] = field(default_factory=list)
    came: asyncio.Event = field(default_factory=asyncio.Event)

    def feed(self, event: Received) -> None:
        self.received.append(event)
        self.came.set()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is not None:
            Intake.reply(Reply(event.token, outcome))

    def answer_all(self, outcome: Outcome) -> None:
        """Answer whatever was received, in the reverse order; what was answered before does not mind."""
        for event in reversed(self.received):
            Intake.reply(Reply(event.token, outcome))

    async def wait_for(self, count: int) -> None:
        """Until so many requests have been received."""
        while len(self.received) < count:
            self.came.clear()
            await asyncio.wait_for(self.came.wait(), PATIENCE)


@dataclass
class Edge:
    """Both listeners, started, with one script behind them."""

    script: Script
    intake: Intake
    grpc: GrpcFront
    http: HttpServer
    grpc_port: int
    http_port: int

    @property
    def grpc_target(self) -> str:
        return f"127.0.0.1:{self.grpc_port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http_port}/v1/traces"


@asynccontextmanager
async def edge(
    *outcomes: Outcome | None,
    bytes_max: int | None = None,
    stamp: Callable[[], ViewStamp | None] = lambda: None,
    front: str | None = None,
) -> AsyncIterator[Edge]:
    """An edge whose core answers with these outcomes (Accepted for ever if none are given). `front` is FRONT unless named."""
    script = Script(list(outcomes) or [Accepted()])
    intake = Intake(script.feed)
    bound = {} if bytes_max is None else {"request_bytes_max": bytes_max}
    grpc_server = grpc_front(GrpcListener(LOOPBACK, front=front or FRONT, **bound), intake, stamp=stamp)
    http_server = HttpServer(HttpListener(LOOPBACK, **bound), intake, stamp=stamp)
    both = Edge(script, intake, grpc_server, http_server, await grpc_server.start(), await http_server.start())
    try:
        yield both
    finally:
        script.answer_all(Accepted())
        await grpc_server.stop(0)
        await http_server.stop(0)


@asynccontextmanager
async def channel(target: str, *options: tuple[str, object]) -> AsyncIterator[grpc.aio.Channel]:
    """A plain channel with a connection of its own."""
    own = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1), *options]
    async with grpc.aio.insecure_channel(target, options=own) as opened:
        yield opened


async def export(
    opened: grpc.aio.Channel, request: bytes = b"", *, method: str = f"/{TRACE_SERVICE}/Export", **call: object
) -> tuple[bytes, dict[str, str | bytes]]:
    """One call with raw bytes: (response, trailers). Raises AioRpcError."""
    going = opened.unary_unary(method)(request, **{"timeout": PATIENCE} | call)
    return await going, dict(await going.trailing_metadata())


async def refusal(opened: grpc.aio.Channel, request: bytes = b"", **call: object) -> grpc.aio.AioRpcError:
    """One call that must fail: its error."""
    try:
        response, _ = await export(opened, request, **call)
    except grpc.aio.AioRpcError as error:
        return error
    raise AssertionError(f"accepted with {response!r}")


async def until(condition: Callable[[], bool]) -> None:
    """Until the condition holds; it must come to hold."""
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 -- what is waited for tells nobody
            await asyncio.sleep(0.005)


# ---------------------------------------------------------------- a real core behind the edge


@asynccontextmanager
async def balancer_edge(*, bytes_max: int | None = None) -> AsyncIterator[tuple[Edge, list[Send]]]:
    """The edge of a real load balancer core whose one sampler accepts everything; and what that sampler was sent."""
    sends: list[Send] = []
    loop = asyncio.get_running_loop()

    def perform(action: Action) -> None:
        match action:
            case Reply():
                Intake.reply(action)
            case Send(attempt):
                sends.append(action)
                loop.call_soon(lambda: driver.feed(Delivered(attempt)))

    driver = Driver(Balancer(Tally()), perform)
    driver.feed(ViewChanged(make_view(0, [Member("one", "127.0.0.1:1")], RingParameters(method="consistent"))))
    async with edge(bytes_max=bytes_max) as made:
        made.intake._feed = driver.feed
        try:
            yield made, sends
        finally:
            driver.stop()


# ---------------------------------------------------------------- HTTP by hand


@dataclass(frozen=True)
class Answer:
    """One HTTP response."""

    status: int
    headers: dict[str, str]
    body: bytes


async def http_raw(port: int, request: bytes, *, rest: tuple[bytes, ...] = ()) -> Answer:
    """Send these very bytes (and then the rest, piece by piece) and read one answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for piece in (request, *rest):
            writer.write(piece)
            await writer.drain()
        return await read_answer(reader)
    finally:
        writer.close()


async def read_answer(reader: asyncio.StreamReader) -> Answer:
    async with asyncio.timeout(PATIENCE):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.rstrip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        return Answer(int(first.split()[1]), headers, body)


def post(body: bytes = b"", path: str = "/v1/traces", method: str = "POST", **headers: str | None) -> bytes:
    """A request's bytes. Header names are written with _ for -; None leaves one out."""
    usual: dict[str, str | None] = {
        "host": "test",
        "content-type": "application/x-protobuf",
        "content-length": str(len(body)),
    }
    named = usual | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items() if value is not None)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
