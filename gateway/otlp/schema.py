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
PARENT_SPAN_ID_TAG = 4 << 3 | LENGTH
START_TIME_TAG = 7 << 3 | FIXED64
END_TIME_TAG = 8 << 3 | FIXED64
STATUS_TAG = 15 << 3 | LENGTH

# Status: string message = 2; StatusCode code = 3
STATUS_CODE_TAG = 3 << 3 | VARINT

TRACE_ID_BYTES = 16
SPAN_ID_BYTES = 8

# What policies ask about: the wire types of the fields of each message, by number, and which fields are repeated.
RESOURCE_WIRE_TYPES = {1: LENGTH, 2: VARINT, 3: LENGTH}
RESOURCE_REPEATED = (1, 3)
RESOURCE_ATTRIBUTES = 1
SCOPE_WIRE_TYPES = {1: LENGTH, 2: LENGTH, 3: LENGTH, 4: VARINT}
SCOPE_REPEATED = (3,)
SCOPE_ATTRIBUTES = 3
SPAN_WIRE_TYPES = (
    dict.fromkeys((1, 2, 3, 4, 5, 9, 11, 13, 15), LENGTH)
    | dict.fromkeys((6, 10, 12, 14), VARINT)
    | dict.fromkeys((7, 8), FIXED64)
    | {16: FIXED32}
)
SPAN_REPEATED = (9, 11, 13)
SPAN_ATTRIBUTES = 9

# KeyValue: string key = 1; AnyValue value = 2
KEY_TAG = 1 << 3 | LENGTH
VALUE_TAG = 2 << 3 | LENGTH


def _numbered(names: str, first: int = 1) -> dict[str, int]:
    return {name: number for number, name in enumerate(names.split(), first)}


# Every field of the messages that are written from something else than protobuf (gateway.otlp.transcode).
REQUEST_FIELDS = _numbered("resource_spans")
RESOURCE_SPANS_FIELDS = _numbered("resource scope_spans schema_url")
RESOURCE_FIELDS = _numbered("attributes dropped_attributes_count entity_refs")
ENTITY_REF_FIELDS = _numbered("schema_url type id_keys description_keys")
SCOPE_SPANS_FIELDS = _numbered("scope spans schema_url")
SCOPE_FIELDS = _numbered("name version attributes dropped_attributes_count")
SPAN_FIELDS = _numbered(
    "trace_id span_id trace_state parent_span_id name kind start_time_unix_nano end_time_unix_nano attributes "
    "dropped_attributes_count events dropped_events_count links dropped_links_count status flags"
)
EVENT_FIELDS = _numbered("time_unix_nano name attributes dropped_attributes_count")
LINK_FIELDS = _numbered("trace_id span_id trace_state attributes dropped_attributes_count flags")
STATUS_FIELDS = _numbered("message code", first=2)
KEY_VALUE_FIELDS = _numbered("key value")
ANY_VALUE_FIELDS = _numbered("string_value bool_value int_value double_value array_value kvlist_value bytes_value")
LIST_FIELDS = _numbered("values")  # of ArrayValue and KeyValueList
SPAN_KINDS = tuple(
    f"SPAN_KIND_{kind}" for kind in ("UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")
)
STATUS_CODES = tuple(f"STATUS_CODE_{code}" for code in ("UNSET", "OK", "ERROR"))
