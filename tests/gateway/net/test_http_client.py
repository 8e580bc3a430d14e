"""gateway.net.http_client: what is HTTP's alone; what holds for both clients is in test_client.py."""

from __future__ import annotations

import asyncio
import gzip
import ssl
import time
from email.utils import formatdate

import pytest
from google.rpc.status_pb2 import Status

from gateway import limits
from gateway.config.settings import OtlpClient
from gateway.core import Accepted, Delivered, Failed, Failure, Invalid, Overloaded, Send
from gateway.membership import ViewStamp
from gateway.net.http_client import RETRYABLE_STATUSES, HttpClient, understood
from gateway.net.http_exchange import Response
from gateway.otlp import reply
from tests.support.clients import BODY, client, take_request, talking
from tests.support.edge import PATIENCE, edge, until

PROTOBUF = "application/x-protobuf"
OURS = (reply.INVALID_ARGUMENT, reply.RESOURCE_EXHAUSTED)


def response(status: int, body: bytes = b"", kind: str = PROTOBUF, **fields: str) -> Response:
    named = {"content-type": kind} | {name.replace("_", "-"): value for name, value in fields.items()}
    return Response(status, {name.encode(): value.encode() for name, value in named.items()}, body)


def answer(status: int, body: bytes = b"", *lines: str) -> bytes:
    head = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}", f"Content-Type: {PROTOBUF}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


# ---------------------------------------------------------------- what is sent


async def test_a_request_is_a_post_of_protobuf() -> None:
    """Path, length, types, configured headers and a User-Agent naming product and language are what is sent."""
    heads: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await take_request(reader)
        heads.append(head)
        assert body == BODY
        writer.write(answer(200))

    async with talking(talk) as target, client("http", headers=(("x-team", "shop"),), path="/otlp/v1/traces") as made:
        assert await made.one(target, stamp=ViewStamp(3, "ab")) == Delivered(1)
    lines = heads[0].lower().split("\r\n")
    assert lines[0] == "post /otlp/v1/traces http/1.1"
    assert {f"host: {target}", "x-team: shop", f"content-type: {PROTOBUF}", "content-length: 2"} <= {*lines}
    assert "x-tailgate-view: 3:ab" in lines
    assert "user-agent: tailgate/0." in heads[0].lower() and "otel-otlp-exporter-python/" in heads[0].lower()
    assert "content-encoding" not in heads[0].lower()


async def test_gzip_is_sent_when_configured() -> None:
    """A compressed body says so, and is gzip."""
    bodies: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head, body = await take_request(reader)
        assert "content-encoding: gzip\r\n" in head.lower()
        bodies.append(gzip.decompress(body))
        writer.write(answer(200))

    async with talking(talk) as target, client("http", gzip=True) as made:
        assert await made.one(target, body=BODY * 500) == Delivered(1)
    assert bodies == [BODY * 500]


# ---------------------------------------------------------------- what an answer means


@pytest.mark.parametrize(
    "status", [100, 301, 308, 400, 401, 403, 404, 405, 408, 409, 413, 415, 429, 500, 501, 502, 503, 504, 511]
)
def test_c01_the_table_of_statuses(status: int) -> None:
    """Exactly 429, 502, 503 and 504 may be tried again; the reason names the status."""
    failed = understood(1, response(status))
    assert isinstance(failed, Failed)
    wanted = Failure.RETRYABLE if status in (429, 502, 503, 504) else Failure.REFUSED
    assert (failed.failure, failed.reason) == (wanted, f"HTTP {status}")
    assert sorted(RETRYABLE_STATUSES) == [429, 502, 503, 504]


def test_between_the_tiers_only_their_own_refusals_refuse() -> None:
    """What a proxy answers, or a sampler for reasons of its own, costs no agent its spans."""
    for status in (400, 404, 413, 500, 503):
        html = understood(1, response(status, b"<html>no</html>", "text/html"), OURS)
        other = understood(1, response(status, reply.status(5, "not here")), OURS)
        assert isinstance(html, Failed) and isinstance(other, Failed)
        assert html.failure is other.failure is Failure.RETRYABLE
    for status, code in ((400, 3), (413, 8)):
        refused = understood(1, response(status, reply.status(code, "no")), OURS)
        assert refused == Failed(1, Failure.REFUSED, f"HTTP {status}: no")


@pytest.mark.parametrize(
    ("kind", "body", "rejected", "message"),
    [
        (PROTOBUF, b"", 0, ""),
        (PROTOBUF, reply.success(3, "three"), 3, "three"),
        (PROTOBUF, b"\xff\xff", 0, "the destination accepted the request with a reply that is not OTLP"),
        ("application/json; charset=utf-8", b'{"partialSuccess":{"rejectedSpans":"2","errorMessage":"two"}}', 2, "two"),
        ("application/json", b"{}", 0, ""),
        ("application/json", b'{"partialSuccess":null}', 0, ""),
        ("application/json", b"[1", 0, ""),
        ("application/json", b'[{"partialSuccess":3}]', 0, ""),
        ("text/html", b"<html>OK</html>", 0, ""),
    ],
)
def test_c04_partial_success(kind: str, body: bytes, rejected: int, message: str) -> None:
    """Partial success is read from protobuf and, as some backends answer nothing else, from JSON."""
    for status in (200, 202):
        assert understood(7, response(status, body, kind)) == Delivered(7, rejected, message)


def test_c02_retry_after() -> None:
    """The pause asked for is read in seconds, as a date, and from RetryInfo, which is finer; nonsense is none."""

    def pause(body: bytes = b"", **fields: str) -> float | None:
        failed = understood(1, response(503, body, **fields))
        assert isinstance(failed, Failed)
        return failed.retry_after

    assert pause() is None
    assert pause(retry_after="7") == 7.0
    assert pause(retry_after=" 0 ") == 0.0
    assert pause(reply.status(14, "busy", 0.3), retry_after="1") == pytest.approx(0.3)
    assert pause(reply.status(14, "busy"), retry_after="2") == 2.0
    soon = pause(retry_after=formatdate(time.time() + 1000, usegmt=True))
    assert soon is not None and 900 < soon <= 1001
    assert pause(retry_after="Wed, 21 Oct 2015 07:28:00 GMT") == 0.0
    for nonsense in ("soon", "-1", "1.5", "Wed, 99 Foo 2015", "", "\xb2"):
        assert pause(retry_after=nonsense) is None


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        (PROTOBUF, reply.status(3, "span 7 is odd"), ": span 7 is odd"),
        (PROTOBUF, b"\xff", ""),
        ("text/plain", b"no such\n tenant\n", ": no such tenant"),
        ("application/octet-stream", b"\x00\x01", ""),
    ],
)
def test_reasons_are_what_was_said(kind: str, body: bytes, said: str) -> None:
    """A refusal's reason is the Status's message, or text; never bytes that no log can show."""
    failed = understood(1, response(400, body, kind))
    assert isinstance(failed, Failed)
    if body == b"\xff":
        said = ": " + body.decode("utf-8", "replace")
    assert failed.reason == f"HTTP 400{said}"


def test_reasons_are_bounded() -> None:
    """What a destination says at length is cut."""
    for kind in (PROTOBUF, "text/plain"):
        body = Status(message="\N{SNOWMAN}" * 5000).SerializeToString() if kind == PROTOBUF else b"words " * 5000
        failed = understood(1, response(500, body, kind))
        assert isinstance(failed, Failed) and len(failed.reason) <= limits.MESSAGE_CHARS_MAX


async def test_our_own_server_is_understood() -> None:
    """What our HTTP front answers comes out as it went in."""
    async with (
        client("http", refusals=OURS) as made,
        edge(Invalid("no"), Overloaded("busy", 0.25), Accepted(2, "two")) as server,
    ):
        target = made.at(server)
        assert await made.one(target) == Failed(1, Failure.REFUSED, "HTTP 400: no")
        assert await made.one(target) == Failed(2, Failure.RETRYABLE, "HTTP 503: busy", 0.25)
        assert await made.one(target) == Delivered(3, 2, "two")


# ---------------------------------------------------------------- connections


async def test_a_connection_is_used_again() -> None:
    """Requests one after the other share a connection; those at the same time have one each, and no more."""
    async with client("http") as made, edge() as server:
        target = made.at(server)
        for _ in range(5):
            await made.one(target)
        assert len(server.http._connections) == 1
        server.script.outcomes = [None]
        for _ in range(3):
            made.send(target)
        await server.script.wait_for(8)
        assert len(server.http._connections) == 3
        server.script.answer_all(Accepted())
        await until(lambda: len(made.events) == 3)
        server.script.outcomes = [Accepted()]
        made.events.clear()
        await made.one(target)
        assert len(server.http._connections) == 3


async def test_old_connections_are_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that has been idle for long may be dead on the way: a new one is opened."""
    monkeypatch.setattr(limits, "HTTP_REUSE_TIME", 0.0)
    async with client("http") as made, edge() as server:
        for _ in range(3):
            await made.one(made.at(server))
        await until(lambda: len(server.http._connections) == 1)
        assert len(made.client._pools[made.at(server)].open) == 1


@pytest.mark.parametrize("ours", [True, False])
async def test_a_connection_that_was_closed_meanwhile(ours: bool) -> None:
    """A request lost to a connection closing under it goes out once more to a sampler, and fails towards a backend."""
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        for number in range(2):
            await take_request(reader)
            asked += 1
            if number == 1:
                return
            writer.write(answer(200))

    async with talking(talk) as target, client("http", refusals=OURS if ours else None) as made:
        assert await made.one(target) == Delivered(1)
        event = await made.one(target)
        if ours:
            assert (event, asked) == (Delivered(2), 3)
        else:
            assert isinstance(event, Failed) and (event.failure, asked) == (Failure.UNREACHABLE, 2)


async def test_a_new_connection_that_breaks_is_no_reason_to_try_again() -> None:
    """A server that takes a request and closes is unreachable, and has been asked once."""
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        await take_request(reader)
        asked += 1

    async with talking(talk) as target, client("http", refusals=OURS) as made:
        assert (await made.failure(target)).failure is Failure.UNREACHABLE
    assert asked == 1


async def test_the_server_may_close_after_an_answer() -> None:
    """Connection: close, and a body that ends with the connection, are answers like any other."""

    async def closing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(answer(200, b"", "Connection: close"))

    async def unframed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {PROTOBUF}\r\n\r\n".encode() + reply.success(1, "one"))

    for talk, wanted in ((closing, (0, "")), (unframed, (1, "one"))):
        async with talking(talk) as target, client("http") as made:
            for number in (1, 2):
                assert await made.one(target) == Delivered(number, *wanted)


async def test_interim_answers_are_passed_over() -> None:
    """100 and 103 come before the answer and are not it; chunks are put together."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = reply.success(2, "two")
        while True:
            await take_request(reader)
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            writer.write(f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: {PROTOBUF}\r\n\r\n".encode())
            for byte in body:
                writer.write(b"1\r\n" + bytes([byte]) + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\nTrailer: x\r\n\r\n")

    async with talking(talk) as target, client("http") as made:
        assert await made.one(target) == Delivered(1, 2, "two")
        assert await made.one(target) == Delivered(2, 2, "two")


# ---------------------------------------------------------------- hostile servers

NOISE = {
    "noise": b"\x00\xff" * 100,
    "SSH": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2": b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + b"\x00" * 18,
    "a broken status line": b"HTTP/1.1 OK\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a negative length": b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    "another protocol": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
    "a chunk that is no number": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "endless headers": b"HTTP/1.1 200 OK\r\n" + b"X: yyyyyyyyyyyyyyyyyyyyyyyyyy\r\n" * 3000,
    "an endless header": b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
    "endless interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 3000,
    "a huge body": b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * (limits.RESPONSE_BYTES_MAX + 1),
    "endless chunk extensions": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;"
    + b"x" * limits.RESPONSE_BYTES_MAX,
}


@pytest.mark.parametrize("which", NOISE)
async def test_what_is_no_answer_refuses_nothing(which: str) -> None:
    """Whoever answers something else than HTTP, or without end, costs neither the spans nor the client, nor much memory."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(NOISE[which])
        await writer.drain()
        await reader.read()

    async with talking(talk) as target, client("http") as made, edge() as server:
        failed = await made.failure(target)
        assert failed.failure is Failure.RETRYABLE, failed
        assert len(failed.reason) <= limits.MESSAGE_CHARS_MAX
        assert await made.one(made.at(server)) == Delivered(2)


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 2", answer(200, b"xxx")[:-1]], ids=["nothing", "head", "body"])
async def test_an_answer_that_never_ends(start: bytes) -> None:
    """A server that stops in the middle of an answer has given none when the time is over; one that closes is unreachable."""
    hold = True

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(start)
        if hold:
            await reader.read()

    async with talking(talk) as target, client("http") as made:
        assert (await made.failure(target, after=0.2)).failure is Failure.NO_ANSWER
        hold = False
        assert (await made.failure(target)).failure is Failure.UNREACHABLE


async def test_a_second_answer_is_nobodys() -> None:
    """Bytes behind an answer, or to no request, close the connection; they are never taken for the next answer."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(answer(200) + answer(400))
        await reader.read()

    async def talk_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await take_request(reader)
        writer.write(answer(200))
        await writer.drain()
        await asyncio.sleep(0.02)  # idle by then
        writer.write(answer(408))
        await reader.read()

    for each in (talk, talk_late):
        async with talking(each) as target, client("http") as made:
            assert await made.one(target) == Delivered(1)
            await until(lambda target=target: not made.client._pools[target].open)  # type: ignore[misc]
            assert await made.one(target) == Delivered(2)


async def test_tls_is_spoken_and_checked() -> None:
    """Without `insecure` the connection is TLS; a server without it, or without a certificate of an authority, is unreachable."""
    events: list[Delivered | Failed] = []
    first = asyncio.get_running_loop().create_future()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first.set_result(await reader.read(3))
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    made = HttpClient(OtlpClient(http_path="/v1/traces"), events.append)
    async with talking(talk) as target:
        made.send(Send(1, target, BODY, 1, PATIENCE))
        await until(lambda: bool(events))
        assert (await first)[:2] == b"\x16\x03"
    assert isinstance(events[0], Failed) and events[0].failure is Failure.UNREACHABLE
    assert made._context is not None and made._context.verify_mode is ssl.CERT_REQUIRED and made._context.check_hostname
    await made.close()
