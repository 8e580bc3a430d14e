"""Write on kept spans why they are there: their threshold into trace_state, the deciding policy into their scopes.

Nothing is encoded again. What is written is appended (protobuf: of a singular field the last one counts, a singular message that
comes again is merged), the lengths of the messages around it are made right, and every other byte stays as it came. Knows where
things go in OTLP; what a tracestate means is sampler.tracestate's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans

from gateway.otlp import schema
from sampler.tracestate import with_threshold

POLICY = "tailsampling.policy"
COMPOSITE_POLICY = "tailsampling.composite_policy"
CACHED_DECISION = "tailsampling.cached_decision"

_REMEMBERED_BYTES_MAX = 512  # what W3C asks everybody to pass on; a client's longer ones may fill no memory here

Attributes = Sequence[tuple[str, str | bool]]


def stamp(request: bytes, spans: int, *, threshold: int | None, attributes: Attributes) -> bytes:
    """A kept trace's request, which is of `spans` spans, with a threshold (56 bits) on each span and attributes on each scope.

    None and no attributes leave it as it is. A span that states this threshold already, or a larger one, stays as it is, and so
    does one that cannot be read at all. An attribute that a scope has already is there twice then.
    """
    if threshold is not None:
        writer = _SpanWriter(threshold)
        request = _in_scopes(request, writer.scope)
        assert writer.spans == spans, f"{writer.spans} spans in a request of {spans}"
    if attributes:
        field = _scope_field(tuple(attributes))
        request = _in_scopes(request, lambda data, at, end: data[at:end] + field)
    return request


class _SpanWriter:
    """Puts one threshold on spans, and counts them."""

    def __init__(self, threshold: int) -> None:
        self.spans = 0
        self._threshold = threshold

    def scope(self, data: bytes, at: int, end: int) -> bytes:
        """The content of a ScopeSpans. HOT: the loop runs once a span."""
        pieces: list[bytes] = []
        for tag, start, body, stop in _fields(data, at, end):
            if tag == schema.SPANS_TAG:
                self.spans += 1
                span = data[body:stop]
                field = self._field(span)
                if field:
                    pieces += (_head(tag, len(span) + len(field)), span, field)
                    continue
            pieces.append(data[start:stop])
        return b"".join(pieces)

    def _field(self, span: bytes) -> bytes:
        """What is to stand behind this span."""
        try:
            was: bytes = _read_span(span).trace_state
        except DecodeError:
            return b""
        return (_remembered if len(was) <= _REMEMBERED_BYTES_MAX else _state_field)(was, self._threshold)


def _state_field(was: bytes, threshold: int) -> bytes:
    """The field `trace_state` for a span that had this one; empty where it stays."""
    value = with_threshold(was, threshold)
    field: bytes = b"" if value == was else _SpanView(trace_state=value).SerializeToString()
    return field


_remembered = lru_cache(maxsize=1024)(_state_field)  # the spans of a trace mostly have the same


@lru_cache(maxsize=1024)
def _scope_field(attributes: tuple[tuple[str, str | bool], ...]) -> bytes:
    """The field `scope` of a ScopeSpans, with these attributes and nothing else."""
    pairs = [KeyValue(key=key, value=_any(value)) for key, value in attributes]
    field: bytes = ScopeSpans(scope=InstrumentationScope(attributes=pairs)).SerializeToString()
    return field


def _any(value: str | bool) -> AnyValue:
    return AnyValue(bool_value=value) if isinstance(value, bool) else AnyValue(string_value=value)


# ---------------------------------------------------------------- fields in fields

Change = Callable[[bytes, int, int], bytes]
"""The new content for the message `data[at:end]`: the old one, perhaps with something behind it."""


def _in_scopes(request: bytes, change: Change) -> bytes:
    def resource(data: bytes, at: int, end: int) -> bytes:
        return _each(data, at, end, schema.SCOPE_SPANS_TAG, change)

    return _each(request, 0, len(request), schema.RESOURCE_SPANS_TAG, resource)


def _each(data: bytes, at: int, end: int, tag: int, change: Change) -> bytes:
    """The message `data[at:end]` with every field of this tag changed."""
    pieces: list[bytes] = []
    for found, start, body, stop in _fields(data, at, end):
        if found == tag:
            content = change(data, body, stop)
            if len(content) != stop - body:
                pieces += (_head(tag, len(content)), content)
                continue
        pieces.append(data[start:stop])
    return b"".join(pieces)


@lru_cache(maxsize=4096)
def _head(tag: int, size: int) -> bytes:
    """Tag and length of a field; spans are of few sizes."""
    head = bytearray([tag])
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)


def _fields(data: bytes, at: int, end: int) -> Iterator[tuple[int, int, int, int]]:
    """The fields of a message that was read before, as (tag, start, body, stop). HOT: once a span."""
    while at < end:
        start = at
        tag, at = _varint(data, at)
        if tag & 7 == schema.LENGTH:
            size, at = _varint(data, at)
            body, at = at, at + size
        else:
            body, at = at, _after(data, at, tag)
        yield tag, start, body, at
    assert at == end, "a field ends behind its message"


def _after(data: bytes, at: int, tag: int) -> int:
    """Where the field ends whose tag ends at `at`."""
    match tag & 7:
        case schema.VARINT:
            return _varint(data, at)[1]
        case schema.FIXED64:
            return at + 8
        case schema.FIXED32:
            return at + 4
        case schema.LENGTH:
            size, at = _varint(data, at)
            return at + size
        case schema.GROUP_START:
            return _after_group(data, at)
    raise AssertionError(f"tag {tag} in a request that was read before")


def _after_group(data: bytes, at: int) -> int:
    while True:
        tag, at = _varint(data, at)
        if tag & 7 == schema.GROUP_END:
            return at
        at = _after(data, at, tag)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A varint, and where it ends."""
    value, shift, at = data[at], 7, at + 1
    if value < 0x80:
        return value, at
    value &= 0x7F
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7


def _span_view() -> Any:
    """Span as a schema of one field, and that as bytes: what cannot be seen need not be decoded."""
    file = descriptor_pb2.FileDescriptorProto(name="stamp.proto", package="stamp", syntax="proto3")
    field = file.message_type.add(name="Span").field.add(name="trace_state", number=3)
    field.label, field.type = field.LABEL_OPTIONAL, field.TYPE_BYTES
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("stamp.Span"))


_SpanView: Any = _span_view()
_read_span = _SpanView.FromString
