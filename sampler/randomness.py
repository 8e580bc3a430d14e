"""The randomness that a trace brings in its spans' trace_state. Knows where that stands in OTLP, not what it is used for."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from sampler.tracestate import randomness_of


def randomness_of_request(trace_id: bytes, request: bytes) -> int:
    """The 56 bits of the first span of the request that brings some, or else of the trace's id. Asked of few traces: those that
    are known to bring some."""
    try:
        resources = _RequestView.FromString(request).resource_spans
    except DecodeError:  # what is wrong with it is found out when it leaves
        return randomness_of(trace_id, ())
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    return randomness_of(trace_id, [span.trace_state for span in spans])


def _request_view() -> Any:
    """ExportTraceServiceRequest as a schema of nothing but trace_state: a span with a text that is none, which is left out when
    the trace leaves, hides no other's randomness."""
    file = descriptor_pb2.FileDescriptorProto(name="randomness.proto", package="randomness", syntax="proto3")
    within = (("Request", "resource_spans", 1), ("ResourceSpans", "scope_spans", 2), ("ScopeSpans", "spans", 2))
    for (name, field_name, number), inner in zip(within, ("ResourceSpans", "ScopeSpans", "Span"), strict=True):
        field = file.message_type.add(name=name).field.add(name=field_name, number=number)
        field.label, field.type, field.type_name = field.LABEL_REPEATED, field.TYPE_MESSAGE, f".randomness.{inner}"
    field = file.message_type.add(name="Span").field.add(name="trace_state", number=3)
    field.label, field.type = field.LABEL_OPTIONAL, field.TYPE_BYTES
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("randomness.Request"))


_RequestView: Any = _request_view()
