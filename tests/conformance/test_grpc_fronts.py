"""What every gRPC front must survive and where the two must not differ; what they answer row by row is in test_otlp_grpc.py."""

from __future__ import annotations

import asyncio
import resource
import struct
from collections import Counter
from collections.abc import Iterator
from contextlib import AsyncExitStack, suppress

import grpc
import pytest
from grpc_health.v1 import health_pb2

from gateway.core import Accepted, Invalid, Overloaded
from gateway.membership import ViewStamp
from gateway.net.grpc_front import HEALTH_SERVICE, TRACE_SERVICE
from tests.support import http2
from tests.support.edge import FRONTS, PATIENCE, Edge, channel, edge, export, over_both_fronts, refusal, until
from tests.support.spans import request, span

__all__ = ["over_both_fronts"]
BODY = request(span("A", 1), span("B", 2))
CONNECTIONS = 1000
both = pytest.mark.usefixtures("over_both_fronts")


# ---------------------------------------------------------------- no difference


async def said(opened: grpc.aio.Channel, body: bytes = BODY, **call: object) -> tuple[object, ...]:
    """All that a client is told."""
    try:
        response, trailers = await export(opened, body, **call)
    except grpc.aio.AioRpcError as error:
        return error.code(), error.details(), sorted(error.trailing_metadata())
    return response, sorted(trailers.items())


async def everything_said(front: str) -> list[tuple[object, ...]]:
    """What a front says to each kind of call."""
    outcomes = (Accepted(), Accepted(2, "two"), Accepted(0, "hm"), Invalid("nö\n%"), Overloaded("busy", 0.5), None)
    nobody = health_pb2.HealthCheckRequest(service="nobody").SerializeToString()
    methods = ("/a.B/C", f"/{TRACE_SERVICE}/Import", f"/{HEALTH_SERVICE}/Cure")
    async with (
        edge(*outcomes, bytes_max=1000, stamp=lambda: ViewStamp(3, "x"), front=front) as made,
        channel(made.grpc_target) as opened,
    ):
        heard = [await said(opened) for _ in outcomes[:-1]]
        heard.append(await said(opened, timeout=0.1))
        heard += [
            await said(opened, size * b"x", compression=compression)
            for size in (1001, 1500)
            for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip)
        ]
        heard += [await said(opened, method=method) for method in methods]
        heard += [await said(opened, ask, method=f"/{HEALTH_SERVICE}/Check") for ask in (b"", nobody)]
        assert len(made.script.received) == len(outcomes), "nothing else reaches the core"
    return heard


async def test_no_client_can_tell_the_fronts_apart() -> None:
    """Status, message and trailers of every answer are the same on both fronts."""
    first, second = [await everything_said(front) for front in FRONTS]
    assert first == second


# ---------------------------------------------------------------- slow ones and many


def halves(stream: int) -> tuple[bytes, bytes]:
    """An Export's message, cut in the middle."""
    message = http2.message(BODY)
    return message[: len(message) // 2], message[len(message) // 2 :]


@both
async def test_a_slow_sender_holds_up_nobody() -> None:
    """A message that comes in pieces is taken when it is whole, and others are served meanwhile."""
    async with edge() as made, http2.connection(made.grpc_port) as slow, channel(made.grpc_target) as opened:
        first, second = halves(1)
        slow.call(1)
        slow.send(http2.DATA, 0, 1, first)
        assert (await export(opened, BODY))[0] == b""
        slow.send(http2.DATA, http2.END_STREAM, 1, second)
        assert (await slow.status(1))[0] == 0
        assert len(made.script.received) == 2


@both
async def test_a_client_that_never_reads_holds_up_nobody() -> None:
    """Hundreds of answers that their client does not read are not waited for, and others are served."""
    async with edge(Accepted(1, "x" * 1000)) as made, http2.connection(made.grpc_port) as deaf:
        for number in range(400):
            deaf.call(2 * number + 1, http2.message(b""))
        await made.script.wait_for(400)
        made.script.outcomes = [Accepted()]
        async with channel(made.grpc_target) as opened:
            assert (await export(opened, BODY))[0] == b""
        await until(lambda: made.grpc.waiting == 0)


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for both ends of many connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CONNECTIONS + 500
    if hard not in (-1, resource.RLIM_INFINITY) and hard < wanted:
        pytest.skip(f"this machine allows a process {hard} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@both
@pytest.mark.integration
@pytest.mark.usefixtures("many_files")
async def test_a_thousand_connections() -> None:
    """1,000 connections at once have a call waiting each, all are answered, and another thousand calls go over them."""
    async with edge(None) as made, AsyncExitStack() as stack:
        opened = []
        for _ in range(CONNECTIONS):
            opened.append(await stack.enter_async_context(http2.connection(made.grpc_port)))
        for raw in opened:
            raw.call(1, http2.message(BODY))
        await made.script.wait_for(CONNECTIONS)
        assert made.grpc.waiting == CONNECTIONS
        made.script.answer_all(Accepted())
        assert {(await raw.status(1))[0] for raw in opened} == {0}
        made.script.outcomes = [Accepted()]
        for raw in opened:
            raw.call(3, http2.message(BODY))
        assert {(await raw.status(3))[0] for raw in opened} == {0}


@both
async def test_more_than_a_thousand_calls_at_once() -> None:
    """1,500 calls that begin at once on one connection are all served: grpcio of itself cancels some beyond a thousand."""
    async with edge(None) as made, channel(made.grpc_target) as opened:
        calls = [asyncio.ensure_future(export(opened)) for _ in range(1500)]
        await made.script.wait_for(1500)
        made.script.answer_all(Accepted())
        assert {response for response, _ in await asyncio.gather(*calls)} == {b""}


# ---------------------------------------------------------------- leaving


@both
async def test_cancelled_calls_are_forgotten() -> None:
    """Of a hundred calls half are cancelled: the others are answered, and nothing waits for those who left."""
    async with edge(None) as made, channel(made.grpc_target) as opened:
        calls = [asyncio.ensure_future(export(opened, BODY)) for _ in range(100)]
        await made.script.wait_for(100)
        for call in calls[::2]:
            call.cancel()
        await until(lambda: made.grpc.waiting == 50)
        made.script.answer_all(Accepted())
        assert {response for response, _ in await asyncio.gather(*calls[1::2])} == {b""}
        assert made.grpc.waiting == 0


@both
async def test_a_broken_connection_is_forgotten() -> None:
    """Calls of a connection that breaks do not wait for anybody."""
    async with edge(None) as made:
        async with http2.connection(made.grpc_port) as raw:
            for number in range(10):
                raw.call(2 * number + 1, http2.message(BODY))
            await made.script.wait_for(10)
            raw.writer.transport.abort()
        await until(lambda: made.grpc.waiting == 0)
        made.script.answer_all(Accepted())  # too late
        made.script.outcomes = [Accepted()]
        async with channel(made.grpc_target) as opened:
            assert (await export(opened, BODY))[0] == b""


@both
async def test_calls_in_flight_end_well_when_a_server_stops(over_both_fronts: str) -> None:
    """Calls in flight on several connections, answered after the stop has begun, hear their answer; new ones UNAVAILABLE.

    grpcio hangs up right after a connection's last answer, and now and then a client finds the line cut before it has read it:
    that is UNAVAILABLE too, and sent again.
    """
    async with edge(None) as made, AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(channel(made.grpc_target)) for _ in range(4)]
        calls = [asyncio.ensure_future(said(channels[number % 4])) for number in range(200)]
        await made.script.wait_for(200)
        stopping = asyncio.ensure_future(made.grpc.stop(PATIENCE))
        late = await stack.enter_async_context(channel(made.grpc_target))
        assert (await refusal(late)).code() is grpc.StatusCode.UNAVAILABLE
        made.script.answer_all(Accepted())
        ends = Counter(str(end[0]) for end in await asyncio.gather(*calls))
        await stopping
    cut = ends.pop(str(grpc.StatusCode.UNAVAILABLE), 0)
    assert set(ends) == {str(b"")}
    assert cut == 0 or over_both_fronts == "grpcio"


@both
async def test_a_watch_does_not_hold_up_the_end() -> None:
    """Whoever watches the health is sent away when the server stops; its grace is for exports."""
    async with edge() as made, channel(made.grpc_target) as opened:
        watch = opened.unary_stream(f"/{HEALTH_SERVICE}/Watch")(b"")
        assert await watch.read() == b"\x08\x02"
        async with asyncio.timeout(PATIENCE / 2):
            await made.grpc.stop(0.3)
        assert await watch.code() in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}


# ---------------------------------------------------------------- hostile


def _frame(kind: int, flags: int, stream: int, payload: bytes, length: int | None = None) -> bytes:
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HELLO = PREFACE + _frame(http2.SETTINGS, 0, 0, b"")
HEAD = b"\x83\x86\x44\x02/x\x41\x01x"  # POST, http, a path, an authority
FRAMES: dict[str, bytes] = {
    "HTTP/1.1": b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
    "noise": bytes(range(256)) * 64,
    "half a preface": PREFACE[:10],
    "a preface and noise": PREFACE + b"\xff" * 10_000,
    "a frame of 16 MiB": HELLO + _frame(http2.DATA, 0, 1, bytes(100_000), length=2**24 - 1),
    "headers of 1 MiB": HELLO + _frame(http2.HEADERS, 4, 1, b"\x00\x01a\x7f\x80\x80\x3f" + bytes(60_000), length=2**20),
    "data on stream 0": HELLO + _frame(http2.DATA, 0, 0, b"x"),
    "data on no stream": HELLO + _frame(http2.DATA, 1, 7, b"x"),
    "a stream of the server's": HELLO + _frame(http2.HEADERS, 5, 2, HEAD),
    "no method": HELLO + _frame(http2.HEADERS, 5, 1, b"\x86"),
    "headers that are not HPACK": HELLO + _frame(http2.HEADERS, 5, 1, b"\xff" * 200),
    "headers without an end": HELLO + _frame(http2.HEADERS, 0, 1, HEAD) + _frame(http2.CONTINUATION, 0, 1, b"") * 5000,
    "a window that overflows": HELLO + _frame(http2.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff") * 2,
    "a window of nothing": HELLO + _frame(http2.WINDOW_UPDATE, 0, 0, bytes(4)),
    "settings that are cut": HELLO + _frame(http2.SETTINGS, 0, 0, b"\0\1\0"),
    "a frame of 0 bytes": HELLO + _frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 5, 0)),
    "settings, many": HELLO + _frame(http2.SETTINGS, 0, 0, struct.pack(">HI", 4, 1)) * 5000,
    "pings, many": HELLO + _frame(http2.PING, 0, 0, bytes(8)) * 20_000,
    "kinds unknown": HELLO + b"".join(_frame(kind, 255, 1, b"x" * kind) for kind in range(10, 256)),
    "rapid reset": HELLO
    + b"".join(
        _frame(http2.HEADERS, 4, stream, HEAD) + _frame(http2.RST_STREAM, 0, stream, b"\0\0\0\x08")
        for stream in range(1, 20_000, 2)
    ),
    "GOAWAY": HELLO + _frame(http2.GOAWAY, 0, 0, bytes(8)) * 100,
}


async def assault(made: Edge, sent: bytes) -> None:
    """Send these bytes on a connection and hang up when the server has closed, or after a moment."""
    reader, writer = await asyncio.open_connection("127.0.0.1", made.grpc_port)
    with suppress(ConnectionError, TimeoutError):
        writer.write(sent)
        async with asyncio.timeout(0.2):
            await writer.drain()
            while await reader.read(65_536):
                pass
    writer.transport.abort()


@both
@pytest.mark.parametrize("which", FRAMES)
async def test_hostile_frames(which: str) -> None:
    """Bytes that are no HTTP/2, or a misuse of it, harm whoever sent them: other connections are served, and go on."""
    async with edge() as made, channel(made.grpc_target) as opened:
        assert (await export(opened, BODY))[0] == b""
        await asyncio.gather(*(assault(made, FRAMES[which]) for _ in range(3)))
        assert (await export(opened, BODY))[0] == b""
        async with channel(made.grpc_target) as other:
            assert (await export(other, BODY))[0] == b""
        await until(lambda: made.grpc.waiting == 0)
        assert len(made.script.received) == 3, "none of it is a request"
