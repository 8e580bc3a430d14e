"""Readable builders of OTLP requests, with the official classes. For tests only: the product never builds a span.

A span is named by short words: `span("A", 1)` is span 1 of trace A. The same words always give the same ids.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

UNSET, OK, ERROR = 0, 1, 2
MS = 1_000_000  # nanoseconds


def trace_id(name: str) -> bytes:
    """The id of the trace of this name: its letters, filled up. At most 16 letters."""
    return name.encode().ljust(16, b"\xaa")


def span_id(number: int) -> bytes:
    """The id of the span of this number; 0 gives the invalid one."""
    return number.to_bytes(8, "big")


def attributes(values: Mapping[str, str | int | bool | float]) -> list[KeyValue]:
    """Attributes; Python's types are OTLP's."""
    return [KeyValue(key=key, value=_any(value)) for key, value in values.items()]


def _any(value: str | int | bool | float) -> AnyValue:
    match value:
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)


def span(
    trace: str | bytes,
    number: int,
    *,
    status: int = UNSET,
    start_ms: int = 0,
    end_ms: int = 0,
    name: str = "work",
    values: Mapping[str, str | int | bool | float] | None = None,
) -> Span:
    """A span of this trace. Times are milliseconds after the epoch; 0 leaves them unset."""
    made = Span(
        trace_id=trace if isinstance(trace, bytes) else trace_id(trace),
        span_id=span_id(number),
        name=name,
        start_time_unix_nano=start_ms * MS,
        end_time_unix_nano=end_ms * MS,
        attributes=attributes(values or {}),
    )
    if status:
        made.status.CopyFrom(Status(code=Status.StatusCode.ValueType(status)))
    return made


def resource_spans(spans: Iterable[Span], *, service: str = "shop", scope: str = "lib") -> ResourceSpans:
    """These spans in one scope of one resource."""
    made = ResourceSpans(schema_url="https://opentelemetry.io/schemas/1.27.0")
    made.resource.attributes.extend(attributes({"service.name": service}))
    inner = made.scope_spans.add(schema_url="https://example.com/scope")
    inner.scope.name = scope
    inner.spans.extend(spans)
    return made


def request(*spans: Span, service: str = "shop", scope: str = "lib") -> bytes:
    """An export request holding these spans, in one scope of one resource."""
    return export_request(resource_spans(spans, service=service, scope=scope))


def export_request(*parts: ResourceSpans) -> bytes:
    """An export request of these parts."""
    return ExportTraceServiceRequest(resource_spans=parts).SerializeToString()


def spans_of(body: bytes) -> list[Span]:
    """All spans of a request, in order."""
    parsed = ExportTraceServiceRequest.FromString(body)
    return [each for outer in parsed.resource_spans for inner in outer.scope_spans for each in inner.spans]


def padded(spans: Iterable[Span], size: int) -> list[Span]:
    """These spans with an attribute that makes each of them about `size` bytes."""
    made = list(spans)
    for each in made:
        each.attributes.extend(attributes({"pad": "x" * max(0, size - each.ByteSize() - 11)}))
    return made
