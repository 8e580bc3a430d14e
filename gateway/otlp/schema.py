"""Field numbers and tags, from opentelemetry-proto 1.x (collector/trace/v1, trace/v1). The only place that names them."""

from __future__ import annotations

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = 0, 1, 2, 3, 4, 5

# ExportTraceServiceRequest: repeated ResourceSpans resource_spans = 1
# ResourceSpans: Resource resource = 1; repeated ScopeSpans scope_spans = 2; string schema_url = 3
# ScopeSpans: InstrumentationScope scope = 1; repeated Span spans = 2; string schema_url = 3
RESOURCE_SPANS_FIELD = 1
RESOURCE_FIELD = 1
SCOPE_SPANS_FIELD = 2
SCOPE_FIELD = 1
SPANS_FIELD = 2
SCHEMA_URL_FIELD = 3

RESOURCE_SPANS_TAG = RESOURCE_SPANS_FIELD << 3 | LENGTH
SCOPE_SPANS_TAG = SCOPE_SPANS_FIELD << 3 | LENGTH
SPANS_TAG = SPANS_FIELD << 3 | LENGTH

# Fields that are messages or strings in all versions; another wire type under these numbers is not OTLP.
RESOURCE_SPANS_LENGTH_FIELDS = frozenset({1, 2, 3})
SCOPE_SPANS_LENGTH_FIELDS = frozenset({1, 2, 3})

# Span: bytes trace_id = 1; bytes span_id = 2; fixed64 start_time_unix_nano = 7; fixed64 end_time_unix_nano = 8;
# Status status = 15
TRACE_ID_FIELD = 1
SPAN_ID_FIELD = 2
TRACE_ID_TAG = TRACE_ID_FIELD << 3 | LENGTH
SPAN_ID_TAG = SPAN_ID_FIELD << 3 | LENGTH
START_TIME_TAG = 7 << 3 | FIXED64
END_TIME_TAG = 8 << 3 | FIXED64
STATUS_TAG = 15 << 3 | LENGTH

# Status: string message = 2; StatusCode code = 3
STATUS_CODE_TAG = 3 << 3 | VARINT

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8
