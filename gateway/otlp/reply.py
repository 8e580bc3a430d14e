"""What an OTLP client is told, in bytes, and what an OTLP server's answer means to us.

Sources: OTLP specification 1.x, "OTLP/gRPC Response" and "OTLP/HTTP Response"; google.rpc.Status and RetryInfo.
"""

from __future__ import annotations

from contextlib import suppress

from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from gateway import limits

STATUS_DETAILS_KEY = "grpc-status-details-bin"
RETRY_INFO_KEY = "google.rpc.retryinfo-bin"  # the only one that Python's SDK reads

# google.rpc.Code
INVALID_ARGUMENT = 3
DEADLINE_EXCEEDED = 4
NOT_FOUND = 5
RESOURCE_EXHAUSTED = 8
UNIMPLEMENTED = 12
UNAVAILABLE = 14

RETRYABLE_CODES = frozenset({1, 4, 10, 11, 14, 15})
"""CANCELLED, DEADLINE_EXCEEDED, ABORTED, OUT_OF_RANGE, UNAVAILABLE, DATA_LOSS: the specification's table. RESOURCE_EXHAUSTED (8)
is retryable only together with RetryInfo."""


def success(rejected_spans: int = 0, message: str = "") -> bytes:
    """An ExportTraceServiceResponse: no bytes at all on full success, a partial_success otherwise (OTLP S-04, S-05, S-06)."""
    response = ExportTraceServiceResponse()
    if rejected_spans or message:
        response.partial_success.rejected_spans = rejected_spans
        response.partial_success.error_message = message[: limits.MESSAGE_CHARS_MAX]
    return bytes(response.SerializeToString())


def read_success(response: bytes) -> tuple[int, str]:
    """(rejected spans, message) of an ExportTraceServiceResponse; an answer that cannot be read counts as full success."""
    try:
        partial = ExportTraceServiceResponse.FromString(response).partial_success
    except DecodeError:
        return 0, "the destination accepted the request with a reply that is not OTLP"
    return max(0, partial.rejected_spans), partial.error_message[: limits.MESSAGE_CHARS_MAX]


def retry_info(retry_after: float) -> bytes:
    """A google.rpc.RetryInfo."""
    return bytes(RetryInfo(retry_delay=_duration(retry_after)).SerializeToString())


def status(code: int, message: str, retry_after: float | None = None) -> bytes:
    """A google.rpc.Status: the body of an HTTP error, and gRPC's status details."""
    body = Status(code=code, message=message[: limits.MESSAGE_CHARS_MAX])
    if retry_after is not None:
        detail = Any()
        detail.Pack(RetryInfo(retry_delay=_duration(retry_after)))
        body.details.append(detail)
    return bytes(body.SerializeToString())


def retry_trailers(message: str, retry_after: float) -> tuple[tuple[str, bytes], ...]:
    """The trailing metadata of an UNAVAILABLE that asks to be tried again: in both of the places where clients look."""
    return (
        (STATUS_DETAILS_KEY, status(UNAVAILABLE, message, retry_after)),
        (RETRY_INFO_KEY, retry_info(retry_after)),
    )


def read_retry_after(trailers: dict[str, bytes]) -> float | None:
    """Seconds that the RetryInfo in these trailers asks for; None if there is none that can be read."""
    if RETRY_INFO_KEY in trailers:
        with suppress(DecodeError):  # the other place may still say it
            return _seconds(RetryInfo.FromString(trailers[RETRY_INFO_KEY]))
    with suppress(DecodeError):
        for detail in Status.FromString(trailers.get(STATUS_DETAILS_KEY, b"")).details:
            info = RetryInfo()
            if detail.Unpack(info):
                return _seconds(info)
    return None


def _duration(seconds: float) -> Duration:
    return Duration(seconds=int(seconds), nanos=int(seconds % 1 * 1e9))


def _seconds(info: RetryInfo) -> float:
    return max(0.0, float(info.retry_delay.seconds) + float(info.retry_delay.nanos) / 1e9)
