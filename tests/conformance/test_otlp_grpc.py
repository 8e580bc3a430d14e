"""OTLP/gRPC as a server and as a client: the rows S-, G- and C- of the conformance list, over real connections and both fronts.

Authentication (G-07), other message encodings than gzip, and TLS are not served in this release.
"""

from __future__ import annotations

import asyncio
import gzip

import grpc
import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult

from gateway.core import Accepted, Invalid, Overloaded
from gateway.membership import VIEW_HEADER, ViewStamp
from gateway.net.grpc_server import TRACE_SERVICE
from gateway.otlp.reply import RETRY_INFO_KEY, STATUS_DETAILS_KEY
from tests.support import http2
from tests.support.edge import Edge, balancer_edge, channel, edge, export, over_both_fronts, refusal, until
from tests.support.gzips import MIB, Peak, broken, zeros
from tests.support.spans import request, span, spans_of

__all__ = ["over_both_fronts"]
pytestmark = pytest.mark.usefixtures("over_both_fronts")
BODY = request(span("A", 1), span("B", 2))
RETRYABLE = {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}


def one_span() -> ReadableSpan:
    started = TracerProvider().get_tracer("test").start_span("work")
    started.end()
    assert isinstance(started, ReadableSpan)
    return started


# ---------------------------------------------------------------- S-: both transports


@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_s01_plain_and_gzip(compression: grpc.Compression) -> None:
    """Plain and gzip messages are accepted and arrive as the same request."""
    async with edge() as made, channel(made.grpc_target) as opened:
        assert (await export(opened, BODY, compression=compression))[0] == b""
        assert made.script.received[0].request == BODY


async def test_s02_the_bound_is_inclusive() -> None:
    """A message of exactly the bound is taken, plain and inflated; one byte more is too large."""
    async with edge(bytes_max=1000) as made, channel(made.grpc_target) as opened:
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            await export(opened, b"x" * 1000, compression=compression)
            error = await refusal(opened, b"x" * 1001, compression=compression)
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len(made.script.received) == 2


async def test_s02_the_default_is_64_mib() -> None:
    """By default a request of 64 MiB is taken: grpc's own default of 4 MiB is not left in force."""
    async with edge() as made, channel(made.grpc_target) as opened:
        await export(opened, bytes(64 * MIB), compression=grpc.Compression.Gzip)
        assert len(made.script.received[0].request) == 64 * MIB
        error = await refusal(opened, bytes(64 * MIB + 1), compression=grpc.Compression.Gzip)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_s02_a_gzip_bomb_is_not_inflated(over_both_fronts: str) -> None:
    """A small message that inflates to 60 MiB is refused; grpcio takes the memory of the bound, not of what it would become."""
    bomb = http2.message(zeros(60 * MIB), compressed=True)
    async with edge(bytes_max=MIB) as made, http2.connection(made.grpc_port) as raw:
        peak = Peak()
        raw.call(1, bomb, grpc_encoding="gzip")
        status, trailers = await raw.status(1)
        assert status == 8
        if over_both_fronts == "grpcio":  # native inflates first: a reason why it is not the default
            assert peak.bytes() < 20 * MIB
        assert not [name for name in trailers if "retry" in name]
        assert not made.script.received


@pytest.mark.parametrize("body", [b"", b"\x0a\x00", b"\x0a\x02\x12\x00"], ids=["empty", "resource", "scope"])
async def test_s03_no_telemetry(body: bytes) -> None:
    """A request with no spans in it succeeds, and nothing is forwarded for it."""
    async with balancer_edge() as (made, sends), channel(made.grpc_target) as opened:
        assert (await export(opened, body))[0] == b""
        assert not sends


async def test_s04_full_success_is_no_bytes() -> None:
    """Full success is a message of 0 bytes: no partial_success in it."""
    async with balancer_edge() as (made, _), channel(made.grpc_target) as opened:
        assert (await export(opened, BODY))[0] == b""


async def test_s05_partial_success() -> None:
    """Spans accepted in part: OK with how many were rejected, and why."""
    async with balancer_edge() as (made, sends), channel(made.grpc_target) as opened:
        response, _ = await export(opened, request(span("A", 1), span("B", 0)))
        partial = ExportTraceServiceResponse.FromString(response).partial_success
        assert (partial.rejected_spans, partial.error_message) == (1, "span id is zero")
        assert sum(send.spans for send in sends) == 1


async def test_s06_warning() -> None:
    """A warning on full acceptance is a message with no span rejected."""
    async with edge(Accepted(0, "the clock is off")) as made, channel(made.grpc_target) as opened:
        response, _ = await export(opened, BODY)
    partial = ExportTraceServiceResponse.FromString(response).partial_success
    assert (partial.rejected_spans, partial.error_message) == (0, "the clock is off")


@pytest.mark.parametrize("letter", ["x", "é", "\N{SNOWMAN}", "\N{PILE OF POO}", "\n", "%", "\0"])
async def test_s07_replies_are_bounded(letter: str) -> None:
    """However long and strange the reason, it never makes a reply too large for the client, who would drop its data."""
    long = letter * 100_000
    async with edge(Accepted(1, long), Invalid(long), Overloaded(long)) as made, channel(made.grpc_target) as opened:
        response, _ = await export(opened, BODY)
        assert len(response) < 8192
        assert (await refusal(opened, BODY)).code() is grpc.StatusCode.INVALID_ARGUMENT
        error = await refusal(opened, BODY)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert RETRY_INFO_KEY in dict(error.trailing_metadata())


async def test_s10_ids_are_judged_one_by_one() -> None:
    """A request of which every span has an invalid id is a partial success, not an error."""
    async with balancer_edge() as (made, sends), channel(made.grpc_target) as opened:
        response, _ = await export(opened, request(span(b"", 1), span(b"\0" * 16, 2)))
        assert ExportTraceServiceResponse.FromString(response).partial_success.rejected_spans == 2
        assert not sends


async def test_s16_deep_nesting_does_no_harm() -> None:
    """Groups nested deeper than protobuf allows are a clean INVALID_ARGUMENT, and the next request is served."""
    async with balancer_edge() as (made, _), channel(made.grpc_target) as opened:
        error = await refusal(opened, b"\x0b" * 100_000 + b"\x0c" * 100_000)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert (await export(opened, BODY))[0] == b""


# ---------------------------------------------------------------- G-: the gRPC server


async def test_g01_trace_service_export() -> None:
    """Any OTLP client's Export, with the official classes, is served."""
    async with edge(Accepted(3, "three")) as made, channel(made.grpc_target) as opened:
        call = opened.unary_unary(
            "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
            response_deserializer=ExportTraceServiceResponse.FromString,
        )
        assert (await call(BODY)).partial_success.rejected_spans == 3


@pytest.mark.parametrize("body", [b"\x0a", b"\x0a\xff\xff\xff\xff\x0f", b"\xff" * 20, b"{}", b"\x1f\x8b\x08\x00"])
async def test_g02_undecodable(body: bytes) -> None:
    """A message that is not protobuf is INVALID_ARGUMENT with the reason."""
    async with balancer_edge() as (made, sends), channel(made.grpc_target) as opened:
        error = await refusal(opened, body)
        assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert "ExportTraceServiceRequest" in error.details()
        assert not sends


async def test_g03_too_large() -> None:
    """Too large is RESOURCE_EXHAUSTED without RetryInfo: sending it again would not help."""
    async with edge(bytes_max=1000) as made, channel(made.grpc_target) as opened:
        error = await refusal(opened, b"x" * 1001)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert not {RETRY_INFO_KEY, STATUS_DETAILS_KEY} & dict(error.trailing_metadata()).keys()


@pytest.mark.parametrize("seconds", [0.0, 0.25, 1.0, 4.75])
async def test_g04_overload(seconds: float) -> None:
    """Overload is UNAVAILABLE with RetryInfo in both of the trailers where clients look for it."""
    async with edge(Overloaded("busy", seconds)) as made, channel(made.grpc_target) as opened:
        error = await refusal(opened, BODY)
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "busy")
    trailers = dict(error.trailing_metadata())
    alone = RetryInfo.FromString(trailers[RETRY_INFO_KEY])
    status, packed = Status.FromString(trailers[STATUS_DETAILS_KEY]), RetryInfo()
    assert (status.code, status.message) == (14, "busy")
    assert status.details[0].Unpack(packed)
    assert alone == packed
    assert alone.retry_delay.ToTimedelta().total_seconds() == seconds


async def test_g05_overload_is_never_resource_exhausted() -> None:
    """Hundreds of calls that are all refused for now are all UNAVAILABLE: no limit of grpc's own answers for us."""
    async with edge(Overloaded("busy")) as made, channel(made.grpc_target) as opened:
        errors = await asyncio.gather(*(refusal(opened, BODY) for _ in range(300)))
    assert {error.code() for error in errors} == {grpc.StatusCode.UNAVAILABLE}


HOSTILE: dict[str, tuple[bytes, dict[str, str]]] = {
    "gzip that is not": (http2.message(BODY, compressed=True), {"grpc_encoding": "gzip"}),
    "compressed without an encoding": (http2.message(gzip.compress(BODY), compressed=True), {}),
    "a length that is longer": (http2.message(BODY + b"x")[:-1], {}),
    "a length that is shorter": (http2.message(BODY) + b"x", {}),
    "two messages": (http2.message(BODY) * 2, {}),
    "half a prefix": (b"\0\0", {}),
    "a flag that is neither": (b"\7" + http2.message(BODY)[1:], {}),
    "no message": (b"", {}),
    "a length of 4 GiB": (b"\0\xff\xff\xff\xff", {}),
    "a deadline of nothing": (http2.message(BODY), {"grpc_timeout": "0n"}),
    "a deadline that is no time": (http2.message(BODY), {"grpc_timeout": "soon"}),
    "a deadline of ages": (http2.message(BODY), {"grpc_timeout": "99999999H"}),
    "an unknown content type": (http2.message(BODY), {"content_type": "application/grpc+cbor"}),
    "a view that is none": (http2.message(BODY), {"x_tailgate_view": "9" * 40 + ":"}),
    "a strange view": (http2.message(BODY), {"x_tailgate_view": "-1:\x7f"}),
} | {
    f"bad gzip: {name}": (http2.message(body, compressed=True), {"grpc_encoding": "gzip"})
    for name, body in broken(BODY).items()
}


@pytest.mark.parametrize("which", HOSTILE)
async def test_g06_nothing_ends_as_unknown(which: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever a client sends, it is never told UNKNOWN; it is worth no stack trace, and the next call is served."""
    message, headers = HOSTILE[which]
    async with edge() as made:
        async with http2.connection(made.grpc_port) as raw:
            raw.call(1, message, **headers)
            try:
                status = (await asyncio.wait_for(raw.status(1), 0.5))[0]
            except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
                status = None  # reset, closed or not answered: retryable
            assert status != 2
        async with channel(made.grpc_target) as opened:
            assert (await export(opened, BODY))[0] == b""
        await until(lambda: made.grpc.waiting == 0)
    assert not [record for record in caplog.records if record.levelname == "ERROR"], caplog.text


@pytest.mark.parametrize("signal", ["metrics.v1.MetricsService", "logs.v1.LogsService", "profiles.v1.ProfilesService"])
async def test_g08_other_signals(signal: str) -> None:
    """Metrics, logs and profiles, which have no pipeline, are UNIMPLEMENTED; so is a method that is not Export."""
    async with edge() as made, channel(made.grpc_target) as opened:
        for method in (f"/opentelemetry.proto.collector.{signal}/Export", f"/{TRACE_SERVICE}/Import"):
            assert (await refusal(opened, BODY, method=method)).code() is grpc.StatusCode.UNIMPLEMENTED


async def test_g09_many_calls_on_one_connection() -> None:
    """250 calls wait on one connection at once, and are answered in any order."""
    async with edge(None) as made, channel(made.grpc_target) as opened:
        calls = [asyncio.ensure_future(export(opened, BODY)) for _ in range(250)]
        await made.script.wait_for(250)
        assert made.grpc.waiting == 250
        made.script.answer_all(Accepted())
        assert {response for response, _ in await asyncio.gather(*calls)} == {b""}
        assert made.grpc.waiting == 0


async def test_g10_unknown_encoding() -> None:
    """A message in an encoding that grpc does not know is refused for good, naming the accepted ones; never UNKNOWN."""
    async with edge() as made, http2.connection(made.grpc_port) as raw:
        raw.call(1, http2.message(b"(\xb5/\xfd", compressed=True), grpc_encoding="zstd")
        status, _ = await raw.status(1)
        assert status in (12, 13)
        assert not made.script.received


async def ping(raw: http2.Connection, times: int, interval: float) -> None:
    """Ping so often and see each answered; GOAWAY or a closed connection is an error."""
    for number in range(times):
        await asyncio.sleep(interval)
        raw.send(http2.PING, 0, 0, number.to_bytes(8))
        answered = False
        while not answered:
            kind, flags, _, payload = await raw.next_frame()
            assert kind != http2.GOAWAY, payload
            if kind == http2.PING and not flags & http2.ACK:
                raw.send(http2.PING, http2.ACK, 0, payload)
            answered = kind == http2.PING and bool(flags & http2.ACK) and int.from_bytes(payload) == number


@pytest.mark.integration
async def test_g11_pings_are_tolerated() -> None:
    """A client that pings every second, while a call waits or idle, is answered and never cut off."""
    async with edge(None) as made, http2.connection(made.grpc_port) as busy, http2.connection(made.grpc_port) as idle:
        busy.call(1, http2.message(BODY))
        await made.script.wait_for(1)
        made.script.outcomes = [Accepted()]
        idle.call(1, http2.message(BODY))
        await idle.status(1)
        await asyncio.gather(ping(busy, 6, 0.9), ping(idle, 6, 0.9))
        made.script.answer_all(Accepted())
        assert (await busy.status(1))[0] == 0


async def drained(made: Edge, grace: float) -> asyncio.Task[None]:
    stopping = asyncio.ensure_future(made.grpc.stop(grace))
    async with channel(made.grpc_target) as other:  # a connection of its own is refused
        error = await refusal(other, BODY)
        assert error.code() is grpc.StatusCode.UNAVAILABLE
    return stopping


async def test_g12_drain_finishes_what_is_in_flight() -> None:
    """While a server stops, calls in flight finish, and new ones get UNAVAILABLE, on old connections and new ones."""
    async with edge(None) as made, channel(made.grpc_target) as opened:
        call = asyncio.ensure_future(export(opened, BODY))
        await made.script.wait_for(1)
        stopping = await drained(made, 20.0)
        assert (await refusal(opened, BODY)).code() is grpc.StatusCode.UNAVAILABLE
        made.script.answer_all(Accepted())
        assert (await call)[0] == b""
        await stopping


async def test_g12_drain_ends_with_its_grace() -> None:
    """A call that is not answered within the grace ends in a code that its client retries."""
    async with edge(None) as made, channel(made.grpc_target) as opened:
        call = asyncio.ensure_future(refusal(opened, BODY))
        await made.script.wait_for(1)
        await (await drained(made, 0.2))
        assert (await call).code() in RETRYABLE
        assert made.grpc.waiting == 0


async def test_g13_a_client_that_gives_up() -> None:
    """A client's deadline or cancel costs nothing but its answer: the request stays with the core, and nothing waits."""
    async with edge(None) as made, channel(made.grpc_target) as opened:
        assert (await refusal(opened, BODY, timeout=0.1)).code() is grpc.StatusCode.DEADLINE_EXCEEDED
        call = asyncio.ensure_future(export(opened, BODY))
        await made.script.wait_for(2)
        call.cancel()
        await until(lambda: made.grpc.waiting == 0)
        made.script.answer_all(Accepted())  # answers come too late
        made.script.outcomes = [Accepted()]
        assert (await export(opened, BODY))[0] == b""


async def test_g13_the_deadline_is_known_to_the_core() -> None:
    """The core is told when the client gives up, and None when it named no deadline."""
    async with edge() as made, channel(made.grpc_target) as opened:
        now = asyncio.get_running_loop().time()
        await export(opened, BODY, timeout=15.0)
        await export(opened, BODY, timeout=None)
    first, second = [received.deadline_at for received in made.script.received]
    assert first is not None
    assert now + 5 < first < now + 20
    assert second is None


async def test_views_travel_in_the_metadata() -> None:
    """The sender's view reaches the core, and the server's own view is on every reply, refusals included."""
    mine, theirs = ViewStamp(7, "abc"), ViewStamp(6, "def")
    async with (
        edge(Accepted(), Invalid("no"), Overloaded("busy"), stamp=lambda: mine) as made,
        channel(made.grpc_target) as opened,
    ):
        _, trailers = await export(opened, BODY, metadata=((VIEW_HEADER, str(theirs)),))
        refused = [dict((await refusal(opened, BODY)).trailing_metadata()) for _ in range(2)]
    assert [received.peer_view for received in made.script.received] == [theirs, None, None]
    assert [found.get(VIEW_HEADER) for found in (trailers, *refused)] == [str(mine)] * 3
    assert RETRY_INFO_KEY in refused[1]


# ---------------------------------------------------------------- health


async def test_health_follows_readiness() -> None:
    """The gRPC health service answers for the server and the trace service what readiness says, Check and Watch alike."""
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    async with edge() as made, channel(made.grpc_target) as opened:
        stub = health_pb2_grpc.HealthStub(opened)
        for service in ("", TRACE_SERVICE):
            await made.grpc.set_ready(False)
            asked = health_pb2.HealthCheckRequest(service=service)
            watch = stub.Watch(asked)
            seen = [(await watch.read()).status, (await stub.Check(asked)).status]
            await made.grpc.set_ready(True)
            seen += [(await watch.read()).status, (await stub.Check(asked)).status]
            await made.grpc.set_ready(False)
            seen += [(await watch.read()).status]
            assert seen == [not_serving, not_serving, serving, serving, not_serving]
            watch.cancel()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Check(health_pb2.HealthCheckRequest(service="nobody"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


# ---------------------------------------------------------------- as an agent sees it


@pytest.mark.integration
@pytest.mark.parametrize("compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip])
async def test_the_python_sdk_is_served(compression: grpc.Compression) -> None:
    """The Python SDK's exporter delivers, plain and gzip."""
    async with edge() as made:
        exporter = OTLPSpanExporter(made.grpc_target, insecure=True, compression=compression)
        assert await asyncio.to_thread(exporter.export, [one_span()]) is SpanExportResult.SUCCESS
        await asyncio.to_thread(exporter.shutdown)
        assert [each.name for each in spans_of(made.script.received[0].request)] == ["work"]


@pytest.mark.integration
async def test_the_python_sdk_tries_again_on_overload() -> None:
    """The Python SDK's exporter understands overload as: once more, after RetryInfo's delay."""
    async with edge(Overloaded("busy", 0.05), Accepted()) as made:
        exporter = OTLPSpanExporter(made.grpc_target, insecure=True)
        assert await asyncio.to_thread(exporter.export, [one_span()]) is SpanExportResult.SUCCESS
        await asyncio.to_thread(exporter.shutdown)
        assert len(made.script.received) == 2


@pytest.mark.integration
async def test_the_python_sdk_gives_up_on_bad_input() -> None:
    """The Python SDK's exporter understands INVALID_ARGUMENT as: never again."""
    async with edge(Invalid("no"), Accepted()) as made:
        exporter = OTLPSpanExporter(made.grpc_target, insecure=True)
        assert await asyncio.to_thread(exporter.export, [one_span()]) is SpanExportResult.FAILURE
        await asyncio.to_thread(exporter.shutdown)
        assert len(made.script.received) == 1
