"""gateway.otlp.schema against the official descriptors."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from gateway.otlp import schema

LENGTH_TYPES = (FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def number(message: type, field: str) -> int:
    descriptor: Descriptor = message.DESCRIPTOR  # type: ignore[attr-defined]
    return int(descriptor.fields_by_name[field].number)


def test_field_numbers_are_the_official_ones() -> None:
    """Every field number that the wire relies on is opentelemetry-proto's."""
    assert number(ExportTraceServiceRequest, "resource_spans") == schema.RESOURCE_SPANS_FIELD
    assert number(ResourceSpans, "scope_spans") == schema.SCOPE_SPANS_FIELD
    assert number(ScopeSpans, "spans") == schema.SPANS_FIELD
    assert number(Span, "trace_id") == schema.TRACE_ID_FIELD
    assert number(Span, "span_id") == schema.SPAN_ID_FIELD


def test_tags_are_what_the_official_classes_write() -> None:
    """A field's tag is the first byte that the official classes write for it."""
    assert Span(trace_id=b"x").SerializeToString()[0] == schema.TRACE_ID_TAG
    assert Span(span_id=b"x").SerializeToString()[0] == schema.SPAN_ID_TAG
    assert Span(start_time_unix_nano=1).SerializeToString()[0] == schema.START_TIME_TAG
    assert Span(end_time_unix_nano=1).SerializeToString()[0] == schema.END_TIME_TAG
    assert Span(status=Status()).SerializeToString()[0] == schema.STATUS_TAG
    assert Status(code=Status.STATUS_CODE_ERROR).SerializeToString()[0] == schema.STATUS_CODE_TAG
    assert (
        ExportTraceServiceRequest(resource_spans=[ResourceSpans()]).SerializeToString()[0] == schema.RESOURCE_SPANS_TAG
    )
    assert ResourceSpans(scope_spans=[ScopeSpans()]).SerializeToString()[0] == schema.SCOPE_SPANS_TAG
    assert ScopeSpans(spans=[Span()]).SerializeToString()[0] == schema.SPANS_TAG


def test_fields_with_a_length_are_messages_and_strings() -> None:
    """The fields of the envelopes that must have a length are exactly those that are messages or strings."""
    for message, numbers in (
        (ResourceSpans, schema.RESOURCE_SPANS_LENGTH_FIELDS),
        (ScopeSpans, schema.SCOPE_SPANS_LENGTH_FIELDS),
    ):
        assert {field.number for field in message.DESCRIPTOR.fields if field.type in LENGTH_TYPES} == numbers
