"""gateway.net.client: what comes of a Send, against real servers that behave in every way a destination can.

What holds for OTLP/HTTP as well is asked of both clients; what is HTTP's alone is in test_http_client.py.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field

import grpc
import pytest

from gateway.core import Accepted, Cancel, Delivered, Failed, Failure, Invalid, Overloaded, Send
from gateway.membership import ViewStamp
from gateway.net.grpc_server import TRACE_SERVICE
from gateway.otlp import reply
from tests.support.clients import BODY, KINDS, client
from tests.support.edge import PATIENCE, Edge, edge, until

both = pytest.mark.parametrize("kind", KINDS)


Handler = Callable[[bytes, grpc.aio.ServicerContext], object]


@dataclass
class Destination:
    """A gRPC server whose Export does what the handler does."""

    target: str
    server: grpc.aio.Server
    metadata: list[dict[str, str]] = field(default_factory=list)
    calls: int = 0


@asynccontextmanager
async def destination(handler: Handler, target: str = "127.0.0.1:0") -> AsyncIterator[Destination]:
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    made = Destination("", server)

    async def export(request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        made.calls += 1
        made.metadata.append(dict(context.invocation_metadata()))
        result = handler(request, context)
        return await result if asyncio.iscoroutine(result) else result

    method = grpc.unary_unary_rpc_method_handler(export)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(TRACE_SERVICE, {"Export": method}),))
    made.target = f"127.0.0.1:{server.add_insecure_port(target)}"
    await server.start()
    try:
        yield made
    finally:
        await server.stop(0)


def aborting(code: grpc.StatusCode, details: str = "so it is", trailers: tuple[tuple[str, bytes], ...] = ()) -> Handler:
    async def handler(request: bytes, context: grpc.aio.ServicerContext) -> None:
        await context.abort(code, details, trailers)

    return handler


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _waiting(server: Edge) -> int:
    return server.intake.waiting + server.http.waiting


# ---------------------------------------------------------------- delivered


@both
async def test_full_success(kind: str) -> None:
    """A request that is accepted is Delivered, without a view unless one was sent along."""
    async with client(kind) as made, edge() as server:
        assert await made.one(made.at(server)) == Delivered(1)
        assert server.script.received[0].request == BODY


@pytest.mark.parametrize(
    ("response", "rejected", "message"),
    [
        (b"", 0, ""),
        (b"\x0a\x00", 0, ""),
        (reply.success(3, "three"), 3, "three"),
        (reply.success(0, "a warning"), 0, "a warning"),
        (b"\xff\xff", 0, "the destination accepted the request with a reply that is not OTLP"),
    ],
)
async def test_c04_partial_success(response: bytes, rejected: int, message: str) -> None:
    """Partial success is Delivered with what was rejected; one that is present but empty is full success."""
    async with client() as made, destination(lambda *_: response) as server:
        assert await made.one(server.target) == Delivered(1, rejected, message)


@both
async def test_the_view_is_carried_and_read(kind: str) -> None:
    """A stamped request carries the sender's view, and every reply, good or bad, brings the receiver's."""
    mine, theirs = ViewStamp(4, "aa"), ViewStamp(5, "bb")
    async with (
        client(kind) as made,
        edge(Accepted(), Invalid("no"), Overloaded("busy"), stamp=lambda: theirs) as server,
    ):
        events = [await made.one(made.at(server), stamp=mine) for _ in range(3)]
        assert [event.peer_view for event in events] == [theirs] * 3
        assert [received.peer_view for received in server.script.received] == [mine] * 3


async def test_c12_headers_and_user_agent() -> None:
    """The configured headers and a User-Agent naming product, version and language reach the destination."""
    headers = (("x-team", "shop"), ("authorization", "Bearer secret"))
    async with client(headers=headers) as made, destination(lambda *_: b"") as server:
        await made.one(server.target)
        sent = server.metadata[0]
        assert (sent["x-team"], sent["authorization"]) == ("shop", "Bearer secret")
        assert sent["user-agent"].startswith("Tailgate/0.")
        assert "OTel-OTLP-Exporter-Python/0." in sent["user-agent"]


@asynccontextmanager
async def breaking() -> AsyncIterator[tuple[str, bytearray]]:
    """A server that seems to speak gRPC, takes a call and breaks the connection: its target, and the bytes it got."""
    got, broken = bytearray(), asyncio.Event()

    async def take_and_break(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\0\0\0\x04\0\0\0\0\0")  # SETTINGS
        while BODY * 9 not in got and b"\x1f\x8b" not in got and (chunk := await reader.read(100_000)):
            got.extend(chunk)
        writer.transport.abort()
        broken.set()

    server = await asyncio.start_server(take_and_break, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", got
        await broken.wait()


@pytest.mark.parametrize("gzip", [True, False])
async def test_gzip_is_sent_when_configured(gzip: bool) -> None:
    """Requests are compressed exactly when the configuration says so, in a single call as in thousands."""
    async with client(gzip=gzip) as made, breaking() as (target, got):
        made.client.send(Send(1, target, BODY * 500, 1, PATIENCE))
        await made.next()
    assert (b"\x1f\x8b" in got, BODY * 9 in got) == (gzip, not gzip)


# ---------------------------------------------------------------- failed

CODES = {
    grpc.StatusCode.CANCELLED: Failure.RETRYABLE,
    grpc.StatusCode.UNKNOWN: Failure.REFUSED,
    grpc.StatusCode.INVALID_ARGUMENT: Failure.REFUSED,
    grpc.StatusCode.DEADLINE_EXCEEDED: Failure.NO_ANSWER,
    grpc.StatusCode.NOT_FOUND: Failure.REFUSED,
    grpc.StatusCode.ALREADY_EXISTS: Failure.REFUSED,
    grpc.StatusCode.PERMISSION_DENIED: Failure.REFUSED,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Failure.REFUSED,
    grpc.StatusCode.FAILED_PRECONDITION: Failure.REFUSED,
    grpc.StatusCode.ABORTED: Failure.RETRYABLE,
    grpc.StatusCode.OUT_OF_RANGE: Failure.RETRYABLE,
    grpc.StatusCode.UNIMPLEMENTED: Failure.REFUSED,
    grpc.StatusCode.INTERNAL: Failure.REFUSED,
    grpc.StatusCode.UNAVAILABLE: Failure.RETRYABLE,
    grpc.StatusCode.DATA_LOSS: Failure.RETRYABLE,
    grpc.StatusCode.UNAUTHENTICATED: Failure.REFUSED,
}


@pytest.mark.parametrize("code", CODES, ids=lambda code: code.name)
async def test_c01_the_table_of_codes(code: grpc.StatusCode) -> None:
    """Exactly the specification's codes are retryable, and the reason names the code and what was said."""
    async with client() as made, destination(aborting(code)) as server:
        assert await made.one(server.target) == Failed(1, CODES[code], f"{code.name}: so it is")


def test_c01_every_code_is_in_the_table() -> None:
    """No code but OK is left out of the table."""
    assert {*CODES, grpc.StatusCode.OK} == {*grpc.StatusCode}


@pytest.mark.parametrize("seconds", [0.0, 0.5, 7.25])
@pytest.mark.parametrize("key", [reply.RETRY_INFO_KEY, reply.STATUS_DETAILS_KEY])
@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
async def test_c02_retry_info(seconds: float, key: str, code: grpc.StatusCode) -> None:
    """RetryInfo in either trailer is the pause that is reported, and makes RESOURCE_EXHAUSTED retryable."""
    info = reply.retry_info(seconds) if key == reply.RETRY_INFO_KEY else reply.status(8, "busy", seconds)
    async with client() as made, destination(aborting(code, trailers=((key, info),))) as server:
        failed = await made.failure(server.target)
    assert (failed.failure, failed.retry_after) == (Failure.RETRYABLE, seconds)


@pytest.mark.parametrize("key", [reply.RETRY_INFO_KEY, reply.STATUS_DETAILS_KEY])
async def test_c02_retry_info_that_is_none(key: str) -> None:
    """A RetryInfo that cannot be read is no RetryInfo, and no reason to stumble."""
    handler = aborting(grpc.StatusCode.UNAVAILABLE, trailers=((key, b"\xff\xff"), ("other-bin", b"\0")))
    async with client() as made, destination(handler) as server:
        failed = await made.failure(server.target)
    assert (failed.failure, failed.retry_after) == (Failure.RETRYABLE, None)


async def test_c03_invalid_argument_is_for_good() -> None:
    """A destination that finds the request invalid refuses it for good."""
    async with client() as made, edge(Invalid("no")) as server:
        assert await made.one(server.grpc_target) == Failed(1, Failure.REFUSED, "INVALID_ARGUMENT: no")


@both
async def test_c07_a_port_nobody_listens_on(kind: str) -> None:
    """A refused connection is direct evidence: the destination is unreachable."""
    async with client(kind) as made:
        for _ in range(2):  # also while grpc waits before it connects again
            failed = await made.failure(f"127.0.0.1:{free_port()}")
            assert failed.failure is Failure.UNREACHABLE, failed


@both
async def test_c07_a_name_nobody_has(kind: str) -> None:
    """A host name that does not resolve is unreachable too."""
    async with client(kind) as made:
        failed = await made.failure("no-such-host.invalid:4317")
        assert failed.failure is Failure.UNREACHABLE, failed


async def test_c07_a_server_that_is_killed_in_a_call() -> None:
    """A connection that breaks before an answer came is never taken for a refusal."""
    async with client() as made, breaking() as (target, _):
        made.client.send(Send(1, target, BODY * 500, 1, PATIENCE))
        failed = await made.next()
    assert isinstance(failed, Failed)
    assert failed.failure in (Failure.RETRYABLE, Failure.UNREACHABLE), failed


@both
async def test_c07_a_server_that_speaks_something_else(kind: str) -> None:
    """A port on which somebody speaks another protocol is no destination, and no refusal of the spans."""
    async with client(kind) as made, edge() as server:
        failed = await made.failure(made.elsewhere(server), after=3.0)
    assert failed.failure is not Failure.REFUSED, failed


@both
async def test_no_answer_within_the_timeout(kind: str) -> None:
    """A destination that takes the request and says nothing gives no answer, in the attempt's time."""
    async with client(kind) as made, edge(None) as server:
        failed = await made.failure(made.at(server), after=0.2)
        assert failed.failure is Failure.NO_ANSWER
        await server.script.wait_for(1)


@both
async def test_nobody_accepts_the_connection(kind: str) -> None:
    """A host that swallows packets gives no answer: whether it is there is not known."""
    with closing(socket.socket()) as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        target = full.getsockname()
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(target)
        async with client(kind) as made:
            failed = await made.failure(f"127.0.0.1:{target[1]}", after=0.3)
        for filler in fillers:
            filler.close()
    assert failed.failure in (Failure.NO_ANSWER, Failure.UNREACHABLE), failed


async def test_reasons_are_bounded() -> None:
    """What a destination says at length is cut, whatever bytes it says it in."""
    async with client() as made, destination(aborting(grpc.StatusCode.INTERNAL, "\N{SNOWMAN}\n" * 1200)) as server:
        failed = await made.failure(server.target)
    assert len(failed.reason) < 1100


@both
async def test_secrets_stay_out_of_reasons(kind: str) -> None:
    """The headers sent along, which hold tokens, are in no reason."""
    async with client(kind, headers=(("authorization", "Bearer hunter2"),)) as made, edge(Invalid("no")) as server:
        failures = [await made.failure(made.at(server)), await made.failure(f"127.0.0.1:{free_port()}")]
    assert "hunter2" not in repr(failures)


# ---------------------------------------------------------------- channels and tasks


@pytest.mark.integration
async def test_a_server_that_is_back_is_found_soon() -> None:
    """A destination that is there again is reached again within about a second, without a new channel."""
    async with client() as made:
        async with destination(lambda *_: b"") as server:
            assert isinstance(await made.one(server.target), Delivered)
        assert isinstance(await made.one(server.target), Failed)
        async with destination(lambda *_: b"", server.target):
            async with asyncio.timeout(5):
                while isinstance(await made.one(server.target), Failed):  # noqa: ASYNC110 -- each time is an attempt
                    await asyncio.sleep(0.1)


@both
async def test_many_at_once(kind: str) -> None:
    """Each of many attempts in flight is reported once, under its own number."""
    async with client(kind) as made, edge() as server:
        wanted = {made.send(made.at(server)) for _ in range(200)}
        await until(lambda: len(made.events) == 200)
        assert {event.attempt for event in made.events} == wanted


@both
async def test_cancel_reports_nothing(kind: str) -> None:
    """A cancelled attempt is never reported, at whatever moment it was cancelled; cancelling twice does no harm."""
    async with client(kind) as made, edge(None) as server:
        early = made.send(made.at(server))
        made.client.cancel(Cancel(early))
        late = made.send(made.at(server))
        await server.script.wait_for(1)
        made.client.cancel(Cancel(late))
        made.client.cancel(Cancel(late))
        server.script.answer_all(Accepted())
        server.script.outcomes = [Accepted()]
        assert await made.one(made.at(server)) == Delivered(3)
        assert not made.events


@both
async def test_retain_lets_what_is_in_flight_end(kind: str) -> None:
    """A destination that is dropped still answers what it was sent; a later send finds it again."""
    async with client(kind) as made, edge(None) as server, edge() as kept:
        await made.one(made.at(kept))
        attempt = made.send(made.at(server))
        await server.script.wait_for(1)
        made.client.retain([made.at(kept)])
        server.script.answer_all(Accepted())
        assert (await made.next()) == Delivered(attempt)
        assert made.targets() == [made.at(kept)]
        await until(lambda: not made.closing())
        server.script.outcomes = [Accepted()]
        assert isinstance(await made.one(made.at(server)), Delivered)


@both
async def test_retain_reports_what_is_never_answered(kind: str) -> None:
    """What a dropped destination never answers is reported when its time is over: the core never waits for ever."""
    async with client(kind) as made, edge(None) as server:
        attempt = made.send(made.at(server), after=0.5)
        await server.script.wait_for(1)
        made.client.retain([])
        failed = await made.next()
        assert isinstance(failed, Failed)
        assert (failed.attempt, failed.failure) == (attempt, Failure.NO_ANSWER)


@both
async def test_close_leaves_nothing(kind: str) -> None:
    """Closing gives everything up: nothing is reported, no task and no connection is left, dropped destinations included."""
    before = asyncio.all_tasks()
    async with edge(None) as server, edge(None) as other:
        async with client(kind) as made:
            made.send(made.at(server))
            made.send(made.at(other))
            await server.script.wait_for(1)
            await other.script.wait_for(1)
            made.client.retain([made.at(server)])
        if kind == "http":  # where a client that is gone looks like one that only sends no more
            server.script.answer_all(Accepted())
            other.script.answer_all(Accepted())
        await until(lambda: _waiting(server) == _waiting(other) == 0)
        assert not made.events
        assert not made.closing()
    assert not [task for task in asyncio.all_tasks() - before if "client.py" in repr(task)]
    await until(lambda: not server.http._connections)
