"""OTLP/HTTP as a server: the rows S- (both transports) and H- of the conformance list, over real sockets.

Rows about JSON, other encodings, CORS and TLS are not served in this release: protobuf and gzip only.
"""

from __future__ import annotations

import asyncio
import gzip

import aiohttp
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from gateway.core import Accepted, Invalid, Overloaded
from tests.support.edge import Answer, Edge, balancer_edge, edge, http_raw, post, read_answer, until
from tests.support.gzips import MIB, Peak, broken, zeros
from tests.support.spans import padded, request, span, span_id, spans_of, trace_id

PROTOBUF = "application/x-protobuf"
BODY = request(span("A", 1), span("B", 2))


async def ask(made: Edge, body: bytes = BODY, **headers: str | None) -> Answer:
    return await http_raw(made.http_port, post(body, **headers))


def check_status(answer: Answer, http_status: int, code: int) -> str:
    """It is an error with a google.rpc.Status in protobuf; its message."""
    assert (answer.status, answer.headers["content-type"]) == (http_status, PROTOBUF), answer
    status = Status.FromString(answer.body)
    assert status.code == code
    assert status.message
    return str(status.message)


# ---------------------------------------------------------------- S-: both transports


async def test_s01_plain_and_gzip() -> None:
    """Plain and gzip bodies are accepted and arrive as the same request."""
    async with edge() as made:
        assert (await ask(made)).status == 200
        assert (await ask(made, gzip.compress(BODY), content_encoding="gzip")).status == 200
        half = len(BODY) // 2
        members = gzip.compress(BODY[:half]) + gzip.compress(BODY[half:])
        assert (await ask(made, members, content_encoding="GZIP")).status == 200
        assert [received.request for received in made.script.received] == [BODY] * 3


@pytest.mark.parametrize("size", [1000, 1001])
async def test_s02_the_bound_is_inclusive(size: int) -> None:
    """A request of exactly the bound is taken, plain and inflated; one byte more is too large."""
    body = b"x" * size
    async with edge(bytes_max=1000) as made:
        statuses = [
            (await ask(made, body)).status,
            (await ask(made, gzip.compress(body), content_encoding="gzip")).status,
        ]
    assert statuses == ([200, 200] if size == 1000 else [413, 413])


async def test_s02_a_gzip_bomb_is_not_inflated() -> None:
    """A small body that inflates to 200 MiB is refused in the memory of the bound, not of what it would become."""
    bomb = zeros(200 * MIB)
    async with edge(bytes_max=MIB) as made:
        peak = Peak()
        check_status(await ask(made, bomb, content_encoding="gzip"), 413, 8)
        assert peak.bytes() < 40 * MIB
        assert not made.script.received


@pytest.mark.parametrize("body", [b"", b"\x0a\x00", b"\x0a\x02\x12\x00"], ids=["empty", "resource", "scope"])
async def test_s03_no_telemetry(body: bytes) -> None:
    """A request with no spans in it succeeds, and nothing is forwarded for it."""
    async with balancer_edge() as (made, sends):
        answer = await ask(made, body)
        assert (answer.status, answer.body) == (200, b"")
        assert not sends


async def test_s04_full_success_is_no_bytes() -> None:
    """Full success is an empty message: no partial_success in it."""
    async with balancer_edge() as (made, _):
        answer = await ask(made)
    assert (answer.status, answer.headers["content-type"], answer.body) == (200, PROTOBUF, b"")


async def test_s05_partial_success() -> None:
    """Spans accepted in part: 200 with how many were rejected, and why."""
    async with balancer_edge() as (made, sends):
        answer = await ask(made, request(span("A", 1), span("B", 0)))
        partial = ExportTraceServiceResponse.FromString(answer.body).partial_success
        assert (answer.status, partial.rejected_spans) == (200, 1)
        assert "span id" in partial.error_message
        assert sum(send.spans for send in sends) == 1


async def test_s06_warning() -> None:
    """A warning on full acceptance is a message with no span rejected."""
    async with edge(Accepted(0, "the clock is off")) as made:
        partial = ExportTraceServiceResponse.FromString((await ask(made)).body).partial_success
    assert (partial.rejected_spans, partial.error_message) == (0, "the clock is off")


async def test_s07_responses_are_bounded() -> None:
    """However long the reasons, an answer stays small: the message is cut."""
    async with edge(Accepted(1, "é" * 5 * MIB), Invalid("é" * 5 * MIB), Overloaded("é" * 5 * MIB)) as made:
        answers = [await ask(made) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 400, 503]
    assert all(0 < len(answer.body) < 8192 for answer in answers)


async def test_s08_unknown_fields_are_kept() -> None:
    """Fields of a later OTLP are no error and are forwarded byte for byte."""
    unknown = b"\xfa\x3f\x03new"  # field 1023
    inner = span("A", 1).SerializeToString() + unknown
    scope = b"\x12" + bytes([len(inner)]) + inner + unknown
    resource = b"\x12" + bytes([len(scope)]) + scope + unknown
    body = b"\x0a" + bytes([len(resource)]) + resource
    async with balancer_edge() as (made, sends):
        assert (await ask(made, body + unknown)).status == 200
        assert sends[0].request.count(unknown) >= 3
        assert inner in sends[0].request


async def test_s09_flags_are_kept() -> None:
    """All 32 bits of a span's flags are forwarded untouched."""
    flagged = span("A", 1)
    flagged.flags = 0xFFFF_FFFF
    async with balancer_edge() as (made, sends):
        assert (await ask(made, request(flagged))).status == 200
        assert spans_of(sends[0].request)[0].flags == 0xFFFF_FFFF


@pytest.mark.parametrize(
    ("trace", "span_bytes"),
    [
        (b"\0" * 16, span_id(1)),
        (b"", span_id(1)),
        (b"x" * 15, span_id(1)),
        (b"x" * 17, span_id(1)),
        (trace_id("A"), b"\0" * 8),
        (trace_id("A"), b""),
        (trace_id("A"), b"x" * 7),
        (trace_id("A"), b"x" * 9),
    ],
)
async def test_s10_one_bad_id_costs_one_span(trace: bytes, span_bytes: bytes) -> None:
    """A span with an invalid id is rejected by itself; the others of its request are kept."""
    bad = span("A", 1)
    bad.trace_id, bad.span_id = trace, span_bytes
    async with balancer_edge() as (made, sends):
        answer = await ask(made, request(bad, span("B", 2)))
        assert answer.status == 200
        assert ExportTraceServiceResponse.FromString(answer.body).partial_success.rejected_spans == 1
        assert [one.span_id for one in spans_of(sends[0].request)] == [span_id(2)]


def nested(depth: int) -> bytes:
    """A request whose one span has an attribute of so many arrays within arrays."""
    value = b"\x0a\x01x"
    for _ in range(depth):
        array = b"\x0a" + varint(len(value)) + value
        value = b"\x2a" + varint(len(array)) + array
    attribute = b"\x0a\x01k\x12" + varint(len(value)) + value
    inner = span("A", 1).SerializeToString() + b"\x4a" + varint(len(attribute)) + attribute
    for field in (b"\x12", b"\x12", b"\x0a"):
        inner = field + varint(len(inner)) + inner
    return inner


def varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


async def test_s16_deep_nesting_does_no_harm() -> None:
    """Values nested far beyond protobuf's own bound pass; groups nested so in unknown fields are a clean 400."""
    async with balancer_edge() as (made, sends):
        assert (await ask(made, nested(5_000))).status == 200
        assert len(sends) == 1
        groups = b"\x0b" * 100_000
        check_status(await ask(made, groups + b"\x0c" * 100_000), 400, 3)
        assert (await ask(made)).status == 200


# ---------------------------------------------------------------- H-: HTTP alone


async def test_h01_traces_path_and_keep_alive() -> None:
    """POST /v1/traces on one connection, again and again."""
    async with edge() as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
        for _ in range(20):
            writer.write(post(BODY))
            assert (await read_answer(reader)).status == 200
        writer.close()
        assert len(made.script.received) == 20


@pytest.mark.parametrize(
    "content_type", [PROTOBUF, "Application/X-Protobuf", f"{PROTOBUF}; charset=utf-8", f" {PROTOBUF} "]
)
async def test_h02_content_types(content_type: str) -> None:
    """The content type's case and parameters do not matter, and the answer carries the request's type."""
    async with edge() as made:
        answer = await ask(made, content_type=content_type)
    assert (answer.status, answer.headers["content-type"]) == (200, PROTOBUF)


async def test_h03_success_is_empty() -> None:
    """Success over HTTP is 200 with an ExportTraceServiceResponse of 0 bytes."""
    async with edge() as made:
        answer = await ask(made)
    assert (answer.status, answer.headers["content-length"]) == (200, "0")


async def test_h04_errors_carry_a_status() -> None:
    """Every 4xx and 5xx body is a google.rpc.Status in protobuf."""
    async with edge(Invalid("no"), Overloaded("later"), bytes_max=1000) as made:
        assert check_status(await ask(made), 400, 3) == "no"
        assert check_status(await ask(made), 503, 14) == "later"
        check_status(await ask(made, b"x" * 1001), 413, 8)
        check_status(await ask(made, content_type="application/json"), 415, 3)
        check_status(await ask(made, path="/v1/metrics"), 404, 5)
        check_status(await ask(made, path="/v1/tr%0Aaces"), 404, 5)
        check_status(await ask(made, method="PUT"), 405, 12)


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\xff" * 20, b"GET / HTTP/1.1\r\n\r\n", b"{}"])
async def test_h05_undecodable_protobuf(body: bytes) -> None:
    """A body that is not protobuf is 400 with the reason, and the next request is served."""
    async with balancer_edge() as (made, sends):
        assert "byte" in check_status(await ask(made, body), 400, 3)
        assert not sends
        assert (await ask(made)).status == 200


@pytest.mark.parametrize("which", sorted(broken(BODY)))
async def test_h05_bad_gzip(which: str) -> None:
    """A body that is not the gzip it claims to be is 400, never 500."""
    async with edge() as made:
        check_status(await ask(made, broken(BODY)[which], content_encoding="gzip"), 400, 3)
        assert not made.script.received


async def test_h05_an_empty_gzip_body_is_an_empty_request() -> None:
    """Some clients name gzip and send nothing: that is the request with no telemetry."""
    async with edge() as made:
        assert (await ask(made, b"", content_encoding="gzip")).status == 200
        assert made.script.received[0].request == b""


async def test_h06_too_large() -> None:
    """Too large is 413 whether the length is announced, chunked, or only seen when inflated; it is not retryable."""
    async with edge(bytes_max=1000) as made:
        chunked = [f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in (b"x" * 600, b"x" * 600, b"")]
        answers = [
            await ask(made, b"x" * 5000),
            await ask(made, zeros(MIB), content_encoding="gzip"),
            await http_raw(
                made.http_port,
                post(content_length=None, transfer_encoding="chunked"),
                rest=tuple(chunked),
            ),
        ]
        for answer in answers:
            check_status(answer, 413, 8)
            assert "retry-after" not in answer.headers
            assert not Status.FromString(answer.body).details
        assert not made.script.received


@pytest.mark.parametrize(("seconds", "header"), [(0.0, "1"), (0.3, "1"), (1.0, "1"), (1.2, "2"), (5.0, "5")])
async def test_h07_overload(seconds: float, header: str) -> None:
    """Overload is 503 with Retry-After in whole seconds, never 0, and RetryInfo in the body."""
    async with edge(Overloaded("busy", seconds)) as made:
        answer = await ask(made)
    check_status(answer, 503, 14)
    assert answer.headers["retry-after"] == header
    info = RetryInfo()
    assert Status.FromString(answer.body).details[0].Unpack(info)
    assert info.retry_delay.ToTimedelta().total_seconds() == pytest.approx(seconds)


HOSTILE = {
    "bytes in the content type": post(BODY, content_type="application/\xff\xfe"),
    "bytes in the content encoding": post(BODY, content_encoding="\xff\xfe"),
    "no content type": post(BODY, content_type=None),
    "an empty content type": post(BODY, content_type=""),
    "an impossible content type": post(BODY, content_type=";;/;=;"),
    "bytes in the path": post(BODY, path="/v1/\xff"),
    "a broken escape in the path": post(BODY, path="/v1/%zz"),
    "a path of dots": post(BODY, path="/../../v1/traces"),
    "a negative length": post(BODY, content_length="-1"),
    "a length that is no number": post(BODY, content_length="many"),
    "two lengths": post(BODY, Content_Length="3"),
    "length and chunks": post(b"0\r\n\r\n", transfer_encoding="chunked"),
    "an unknown transfer encoding": post(BODY, transfer_encoding="rot13"),
    "a chunk size that is no number": post(b"zz\r\nabc\r\n0\r\n\r\n", content_length=None, transfer_encoding="chunked"),
    "a chunk that is longer": post(b"2\r\nabcdef\r\n0\r\n\r\n", content_length=None, transfer_encoding="chunked"),
    "an endless chunk size": post(b"f" * 64 + b"\r\nabc", content_length=None, transfer_encoding="chunked"),
    "a very long header": post(BODY, x_long="x" * 70_000),
    "an unknown expectation": post(BODY, expect="a miracle"),
    "bytes in the expectation": post(BODY, expect="100-\xffcontinue"),
    "bytes in the expectation for another path": post(BODY, path="/v2", expect="\xff"),
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
    "TLS": bytes.fromhex("16030100a5010000a10303") + b"\x00" * 160 + b"\r\n\r\n",
    "noise": b"\x00\xff" * 50 + b"\r\n\r\n",
    "no host": post(BODY, host=None),
    "a wrong version": post(BODY).replace(b"HTTP/1.1", b"HTTP/9.9"),
    "an old version": post(BODY).replace(b"HTTP/1.1", b"HTTP/1.0"),
    "an upgrade": post(BODY, connection="upgrade", upgrade="h2c"),
    "a web socket": post(BODY, connection="upgrade", upgrade="websocket", sec_websocket_key="x"),
    "a proxy's request": post(BODY, method="CONNECT", path="example.com:443"),
    "a method of its own": post(BODY, method="EXPORT"),
}


@pytest.mark.parametrize("which", HOSTILE)
async def test_h08_nothing_ends_as_500(which: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a client sends, it is never told 500, which agents take for lost; and it is worth no stack trace."""
    async with edge() as made:
        try:
            answer = await http_raw(made.http_port, HOSTILE[which])
        except (asyncio.IncompleteReadError, ConnectionResetError):
            answer = None  # the connection was closed: retryable
        assert answer is None or answer.status < 500, answer
        assert not [record for record in caplog.records if record.levelname == "ERROR"], caplog.text
        assert (await ask(made)).status == 200


async def test_h08_a_client_that_leaves_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """Clients that go away in the middle of a body, of headers, or while they wait leave nothing behind."""
    async with edge(None) as made:
        for piece in (post(BODY)[:30], post(BODY)[:-5], post(BODY)):
            _, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
            writer.write(piece)
            await writer.drain()
            if piece == post(BODY):
                await made.script.wait_for(1)
            writer.transport.abort()
        made.script.outcomes = [Accepted()]
        assert (await ask(made)).status == 200
        made.script.answer_all(Accepted())
        await until(lambda: made.http.waiting == 0)
        assert not [record for record in caplog.records if record.levelname == "ERROR"], caplog.text


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_h09_method(method: str) -> None:
    """Another method than POST is 405 and names the one that is allowed."""
    async with edge() as made, aiohttp.ClientSession() as session, session.request(method, made.url) as response:
        assert (response.status, response.headers["Allow"]) == (405, "POST")
        assert not made.script.received


@pytest.mark.parametrize("path", ["/", "/v1/traces/", "//v1/traces", "/v1", "/V1/TRACES", "/v1/metrics", "/v1/logs"])
async def test_h09_path(path: str) -> None:
    """Another path is 404 and names the one that is meant."""
    async with edge() as made:
        assert "/v1/traces" in check_status(await ask(made, path=path), 404, 5)


@pytest.mark.parametrize("content_type", [None, "", "application/json", "text/plain", "application/grpc"])
async def test_h09_content_type(content_type: str | None) -> None:
    """A missing or unknown content type is 415; JSON is not served yet and says so."""
    async with edge() as made:
        assert PROTOBUF in check_status(await ask(made, content_type=content_type), 415, 3)


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip, gzip", "nonsense", "deflate"])
async def test_h10_unknown_content_encoding(encoding: str) -> None:
    """A coding that is not served is 415 and names those that are."""
    async with edge() as made:
        assert "gzip" in check_status(await ask(made, content_encoding=encoding), 415, 3)


@pytest.mark.parametrize("encoding", ["identity", "", "Identity", None])
async def test_h10_no_content_encoding(encoding: str | None) -> None:
    """A body as it is may be called identity or nothing."""
    async with edge() as made:
        assert (await ask(made, content_encoding=encoding)).status == 200


async def test_h12_outcomes_and_their_codes() -> None:
    """Invalid is 400, overload 503; a client that names gzip as acceptable gets a plain answer."""
    async with edge(Invalid("no"), Overloaded("later", 1.0), Accepted(2, "two")) as made:
        answers = [await ask(made, accept_encoding="gzip") for _ in range(3)]
    assert [answer.status for answer in answers] == [400, 503, 200]
    assert not [answer for answer in answers if "content-encoding" in answer.headers]


async def test_h13_chunked_bodies() -> None:
    """A body without Content-Length, in chunks of any size, arrives whole."""
    async with edge() as made, aiohttp.ClientSession() as session:

        async def pieces():
            for at in range(0, len(BODY), 7):
                yield BODY[at : at + 7]

        headers = {"Content-Type": PROTOBUF}
        async with session.post(made.url, data=pieces(), headers=headers) as response:
            assert response.status == 200
        assert made.script.received[0].request == BODY


async def test_h13_expect_continue() -> None:
    """A client that asks first is told to go on."""
    async with edge() as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
        writer.write(post(BODY, expect="100-continue").removesuffix(BODY))
        assert (await read_answer(reader)).status == 100
        writer.write(BODY)
        assert (await read_answer(reader)).status == 200
        writer.close()


# ---------------------------------------------------------------- as an agent sees it


@pytest.mark.integration
@pytest.mark.parametrize("compression", ["none", "gzip", "deflate"])
async def test_the_python_sdk_is_served(compression: str) -> None:
    """The Python SDK's exporter delivers plain and gzip; deflate, which is not served yet, fails in clear words."""
    from opentelemetry.exporter.otlp.proto.http import Compression

    one = TracerProvider().get_tracer("test").start_span("work")
    one.end()
    async with edge() as made:
        exporter = OTLPSpanExporter(made.url, compression=Compression(compression))
        result = await asyncio.to_thread(exporter.export, [one])
        exporter.shutdown()
        if compression == "deflate":
            assert result is SpanExportResult.FAILURE
        else:
            assert result is SpanExportResult.SUCCESS
            assert [each.name for each in spans_of(made.script.received[0].request)] == ["work"]


@pytest.mark.integration
async def test_the_python_sdk_tries_again_on_overload() -> None:
    """The Python SDK's exporter understands overload as: once more, after Retry-After."""
    one = TracerProvider().get_tracer("test").start_span("work")
    one.end()
    async with edge(Overloaded("busy", 0.1), Accepted()) as made:
        exporter = OTLPSpanExporter(made.url)
        assert await asyncio.to_thread(exporter.export, [one]) is SpanExportResult.SUCCESS
        exporter.shutdown()
        assert len(made.script.received) == 2


async def test_many_requests_at_once() -> None:
    """Hundreds of connections with a request each are served at once, and answered in any order."""
    body = request(*padded([span("A", n) for n in range(1, 9)], 200))
    async with edge(None) as made:
        asked = [asyncio.ensure_future(ask(made, body)) for _ in range(200)]
        await made.script.wait_for(200)
        assert made.http.waiting == 200
        made.script.answer_all(Accepted())
        assert {answer.status for answer in await asyncio.gather(*asked)} == {200}
        assert made.http.waiting == 0
