"""The randomness that a trace brings in its spans' trace_state. Knows where that stands in OTLP, not what it is used for."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from sampler.tracestate import randomness_of


def randomness_of_request(trace_id: bytes, request: bytes) -> int:
    """The 56 bits of the first span of the request that brings some, or else of the trace's id. Asked of few traces: those that
    are known to bring some."""
    try:
        resources = ExportTraceServiceRequest.FromString(request).resource_spans
    except DecodeError:  # what is wrong with it is found out when it leaves
        return randomness_of(trace_id, ())
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    return randomness_of(trace_id, [span.trace_state for span in spans])
