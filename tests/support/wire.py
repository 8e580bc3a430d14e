"""A deliberately plain encoder of OTLP protobuf, and generators of requests as no SDK would write them but protobuf allows.

Nothing here shares code with gateway.otlp: it is the other side of the comparison. Messages are lists of encoded fields, so
that a test may put them in any order, give one twice, or add fields that nobody knows. `View` is the export request in which
resources, scopes and spans are plain bytes: what the official parser makes of the envelopes alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

VARINT, FIXED64, LENGTH, GROUP_START, GROUP_END, FIXED32 = 0, 1, 2, 3, 4, 5

# ---------------------------------------------------------------- encoding


def varint(value: int, width: int = 1) -> bytes:
    """The varint in at least `width` bytes: longer than needed is allowed."""
    out: list[int] = []
    while value > 0x7F or len(out) + 1 < width:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def tag(number: int, wire_type: int) -> bytes:
    return varint(number << 3 | wire_type)


def number_field(number: int, value: int) -> bytes:
    return tag(number, VARINT) + varint(value)


def fixed64_field(number: int, value: int) -> bytes:
    return tag(number, FIXED64) + value.to_bytes(8, "little")


def fixed32_field(number: int, value: int) -> bytes:
    return tag(number, FIXED32) + value.to_bytes(4, "little")


def bytes_field(number: int, value: bytes, width: int = 1) -> bytes:
    """A string, bytes or message field; its length takes at least `width` bytes."""
    return tag(number, LENGTH) + varint(len(value), width) + value


def group_field(number: int, *fields: bytes) -> bytes:
    return tag(number, GROUP_START) + b"".join(fields) + tag(number, GROUP_END)


def message(number: int, *fields: bytes) -> bytes:
    return bytes_field(number, b"".join(fields))


def plain_span(trace_id: bytes, span_id: bytes, *more: bytes) -> bytes:
    """A Span message with its ids first, as every SDK writes it."""
    return b"".join([bytes_field(1, trace_id), bytes_field(2, span_id), *more])


def padding(size: int) -> bytes:
    """An unknown field of about this many bytes."""
    return bytes_field(2000, b"x" * size)


def plain_request(*spans: bytes, resource: bytes = b"", scope: bytes = b"") -> bytes:
    """These Span messages in one scope of one resource; `resource` and `scope` are further fields of their envelopes."""
    scope_spans = [scope, *(bytes_field(2, span) for span in spans)]
    return message(1, resource, message(2, *scope_spans))


# ---------------------------------------------------------------- what the official classes say


def _view_class() -> type[Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tests/view.proto", package="view", syntax="proto3")
    repeated = descriptor_pb2.FieldDescriptorProto.LABEL_REPEATED
    single = descriptor_pb2.FieldDescriptorProto.LABEL_OPTIONAL
    of_bytes = descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
    of_message = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE
    shapes: dict[str, list[tuple[str, int, Any, Any, str]]] = {
        "ScopeSpans": [
            ("scope", 1, single, of_bytes, ""),
            ("spans", 2, repeated, of_bytes, ""),
            ("schema_url", 3, single, of_bytes, ""),
        ],
        "ResourceSpans": [
            ("resource", 1, single, of_bytes, ""),
            ("scope_spans", 2, repeated, of_message, ".view.ScopeSpans"),
            ("schema_url", 3, single, of_bytes, ""),
        ],
        "Request": [("resource_spans", 1, repeated, of_message, ".view.ResourceSpans")],
    }
    for name, fields in shapes.items():
        shape = file.message_type.add(name=name)
        for field, number, label, type_, type_name in fields:
            shape.field.add(name=field, number=number, label=label, type=type_, type_name=type_name or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("view.Request"))


View = _view_class()


def view_spans(request: bytes) -> list[bytes]:
    """The bytes of every span. Raises DecodeError where the official parser cannot read the envelopes."""
    parsed = View.FromString(request)
    return [span for outer in parsed.resource_spans for inner in outer.scope_spans for span in inner.spans]


class Standing(NamedTuple):
    """One span and where it stands, as the official classes write it again: equal means the same to every reader."""

    resource: bytes  # ResourceSpans without its scope_spans, unknown fields included
    scope: bytes  # ScopeSpans without its spans, unknown fields included
    span: bytes
    trace_id: bytes
    span_id: bytes

    @property
    def valid(self) -> bool:
        return _valid(self.trace_id, 16) and _valid(self.span_id, 8)


def _valid(id: bytes, size: int) -> bool:
    return len(id) == size and id != bytes(size)


def standings(request: bytes) -> list[Standing]:
    """Every span of the request with its envelope, in order."""
    out = []
    for resource_spans in ExportTraceServiceRequest.FromString(request).resource_spans:
        scopes = list(resource_spans.scope_spans)
        inner = [(_without(scope, "spans"), list(scope.spans)) for scope in scopes]
        outer = _without(resource_spans, "scope_spans")
        for scope, spans in inner:
            out += [
                Standing(outer, scope, span.SerializeToString(deterministic=True), span.trace_id, span.span_id)
                for span in spans
            ]
    return out


def _without(of: Any, field: str) -> bytes:
    copy = type(of)()
    copy.CopyFrom(of)
    copy.ClearField(field)
    return bytes(copy.SerializeToString(deterministic=True))


# ---------------------------------------------------------------- generators

TRACE_IDS = [bytes([letter]) * 16 for letter in b"ABCDE"]
_BAD_TRACE_IDS = [b"", b"A", b"A" * 15, b"A" * 17, bytes(16), b"A" * 8]
_BAD_SPAN_IDS = [b"", b"a", b"a" * 7, b"a" * 9, bytes(8), b"a" * 16]
_UNKNOWN_NUMBERS = st.sampled_from([20, 99, 1000, 2047, 2048, 536_870_911])

trace_ids = st.one_of(*[st.sampled_from(TRACE_IDS)] * 5, st.sampled_from(_BAD_TRACE_IDS))
span_ids = st.one_of(*[st.binary(min_size=8, max_size=8)] * 5, st.sampled_from(_BAD_SPAN_IDS))


def _groups(fields: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.builds(group_field, _UNKNOWN_NUMBERS, fields, fields)


unknown_fields = st.recursive(
    st.one_of(
        st.builds(number_field, _UNKNOWN_NUMBERS, st.integers(0, 2**64 - 1)),
        st.builds(fixed64_field, _UNKNOWN_NUMBERS, st.integers(0, 2**64 - 1)),
        st.builds(fixed32_field, _UNKNOWN_NUMBERS, st.integers(0, 2**32 - 1)),
        st.builds(bytes_field, _UNKNOWN_NUMBERS, st.binary(max_size=20), st.integers(1, 5)),
    ),
    _groups,
    max_leaves=4,
)
times = st.one_of(st.just(0), st.integers(1, 20), st.integers(0, 2**64 - 1))
_statuses = st.lists(
    st.one_of(
        st.builds(number_field, st.just(3), st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))),
        st.builds(bytes_field, st.just(2), st.sampled_from([b"", b"boom"])),
        unknown_fields,
    ),
    max_size=3,
).map(b"".join)
_attribute = message(9, bytes_field(1, b"key"), message(2, bytes_field(1, b"value")))
_span_fields = st.one_of(
    st.builds(fixed64_field, st.sampled_from([7, 8]), times),
    st.builds(bytes_field, st.just(15), _statuses),
    st.builds(bytes_field, st.just(5), st.sampled_from([b"", b"GET /"]), st.integers(1, 3)),
    st.just(_attribute),
    st.builds(fixed32_field, st.just(16), st.integers(0, 2**32 - 1)),
    unknown_fields,
)
_paddings = st.sampled_from([b"", b"", padding(80), padding(120), padding(120), padding(300), padding(16_400)])


@st.composite
def spans(draw: st.DrawFn) -> bytes:
    """A Span message that the official parser reads: as SDKs write it, or in any order, its ids wrong, absent or twice."""
    ids = [bytes_field(1, draw(trace_ids)), bytes_field(2, draw(span_ids))]
    more = [*draw(st.lists(_span_fields, max_size=5)), draw(_paddings)]
    if draw(st.integers(0, 2)):
        return b"".join([*ids, *more])
    again = draw(
        st.lists(st.one_of(trace_ids.map(lambda id: bytes_field(1, id)), span_ids.map(lambda id: bytes_field(2, id))))
    )
    kept = ids[: draw(st.integers(0, 2))] if not draw(st.integers(0, 5)) else ids
    # Never as SDKs begin one: there an id given twice counts as given first (see test_split).
    return b"".join([number_field(2047, 1), *draw(st.permutations([*kept, *again, *more]))])


_resources = st.sampled_from([b"", _attribute.replace(b"\x4a", b"\x0a", 1), number_field(2, 7), number_field(99, 1)])
_schema_urls = st.sampled_from([b"", b"https://one.example/1", b"https://two.example/2"])
_scopes = st.sampled_from([b"", bytes_field(1, b"lib"), bytes_field(1, b"lib") + bytes_field(2, b"1.0")])


def _envelope_fields(of: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    """The fields around: the resource or scope (also twice: they merge), the schema_url, unknown ones."""
    one = st.one_of(
        st.builds(bytes_field, st.just(1), of), st.builds(bytes_field, st.just(3), _schema_urls), unknown_fields
    )
    return st.lists(one, max_size=4)


def _mixed(*parts: st.SearchStrategy[list[bytes]]) -> st.SearchStrategy[bytes]:
    flat = st.tuples(*parts).map(lambda lists: [field for fields in lists for field in fields])
    return flat.flatmap(st.permutations).map(b"".join)


_span_lists = st.lists(st.builds(bytes_field, st.just(2), spans(), st.sampled_from([1, 1, 1, 2, 5])), max_size=5)
_scope_spans = st.builds(bytes_field, st.just(2), _mixed(_envelope_fields(_scopes), _span_lists))
_resource_spans = st.builds(
    bytes_field, st.just(1), _mixed(_envelope_fields(_resources), st.lists(_scope_spans, max_size=3))
)
requests: st.SearchStrategy[bytes] = _mixed(st.lists(_resource_spans, max_size=3), st.lists(unknown_fields, max_size=1))
"""Whole export requests that the official parser reads."""


def concat(bodies: Sequence[bytes]) -> bytes:
    """Requests concatenate: the bytes of several, one after the other, are one request holding all."""
    return b"".join(bodies)
