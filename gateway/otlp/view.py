"""A second way to read a request: protobuf's own C parser over a view of the schema in which a span is plain bytes.

Three times as fast as the walk in gateway.otlp.split where nothing is compiled (measured on 512 spans of 350 bytes: parsing and
grouping by owner 0.6 µs a span against 1.8), but it cannot say where a broken request is broken, and it merges, drops and
re-encodes what is written twice or oddly. So it reads only requests of which not one byte would change on the way through, and
leaves every other to the walk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass

from gateway.otlp import schema

T = TypeVar("T")

_ZERO_SPAN_ID = schema.ZERO_SPAN_ID
_PACKAGE = "tailgate.view"


class ScopeView(NamedTuple):
    """The Span messages of one ScopeSpans, and the two messages they stand in, in which `write` encloses them again."""

    resource_spans: Any
    scope_spans: Any
    spans: Iterable[bytes]
    envelope_bytes: int


def read(request: bytes) -> list[ScopeView] | None:
    """All scopes of the request in order; None if it is anything but usual: then gateway.otlp.split says what it is.

    Usual: sound framing, known fields only, each written once, in the shortest form.
    """
    try:
        message = _Request.FromString(request)
    except DecodeError:
        return None
    message.DiscardUnknownFields()
    if message.ByteSize() != len(request):
        return None
    out = []
    for resource_spans in message.resource_spans:
        outer = len(resource_spans.resource) + len(resource_spans.schema_url)
        for scope_spans in resource_spans.scope_spans:
            size = outer + len(scope_spans.scope) + len(scope_spans.schema_url)
            out.append(ScopeView(resource_spans, scope_spans, scope_spans.spans, size))
    return out


def group(
    scope: ScopeView, owner_of: Callable[[bytes], T], known: dict[bytes, T]
) -> list[tuple[T, list[bytes]]] | None:
    """The scope's spans by what `owner_of(trace_id)` says, asked once per trace as long as `known` is handed on (begin with {}).

    None if a span does not begin with a valid trace id and a valid span id. Owners are told apart as objects, and stand in the
    order in which they come. HOT: the loop runs once per span.
    """
    found: list[tuple[T, list[bytes]]] = []
    add_by_head: dict[bytes, Callable[[bytes], None]] = {}
    for span in scope.spans:
        head = span[: schema.USUAL_HEAD_BYTES]
        add = add_by_head.get(head)
        if add is None:
            owner = known.get(head)
            if owner is None:
                trace_id = head[2:18]
                if not schema.is_usual_head(head) or trace_id == schema.ZERO_TRACE_ID:
                    return None
                owner = known[head] = owner_of(trace_id)
            add = add_by_head[head] = _spans_of(owner, found).append
        if span[20:28] == _ZERO_SPAN_ID or len(span) < schema.USUAL_IDS_BYTES:
            return None
        add(span)
    return found


def _spans_of(owner: T, found: list[tuple[T, list[bytes]]]) -> list[bytes]:
    for one, spans in found:
        if one is owner:
            return spans
    found.append((owner, []))
    return found[-1][1]


class Writer:
    """Writes one request out of spans that were read."""

    def __init__(self) -> None:
        self._message = _Request()
        self.spans = 0

    def add(self, scope: ScopeView, spans: list[bytes]) -> None:
        """These spans of this scope, in their envelope."""
        outer = self._message.resource_spans.add()
        _copy_set(scope.resource_spans, outer, ("resource", "schema_url"))
        inner = outer.scope_spans.add()
        _copy_set(scope.scope_spans, inner, ("scope", "schema_url"))
        inner.spans.extend(spans)
        self.spans += len(spans)

    def finish(self) -> bytes:
        """The request's bytes."""
        return bytes(self._message.SerializeToString())


def _copy_set(source: Any, target: Any, fields: tuple[str, ...]) -> None:
    for field in fields:
        if source.HasField(field):
            setattr(target, field, getattr(source, field))


def _schema() -> FileDescriptorProto:
    file = FileDescriptorProto(name="tailgate/view.proto", package=_PACKAGE, syntax="proto2")
    one, many = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
    messages: dict[str, list[tuple[str, int, int, str]]] = {
        "ScopeSpans": [
            ("scope", schema.SCOPE_FIELD, one, ""),
            ("spans", schema.SPANS_FIELD, many, ""),
            ("schema_url", schema.SCHEMA_URL_FIELD, one, ""),
        ],
        "ResourceSpans": [
            ("resource", schema.RESOURCE_FIELD, one, ""),
            ("scope_spans", schema.SCOPE_SPANS_FIELD, many, "ScopeSpans"),
            ("schema_url", schema.SCHEMA_URL_FIELD, one, ""),
        ],
        "Request": [("resource_spans", schema.RESOURCE_SPANS_FIELD, many, "ResourceSpans")],
    }
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, number, label, of in fields:
            kind = FieldDescriptorProto.TYPE_MESSAGE if of else FieldDescriptorProto.TYPE_BYTES
            type_name = f".{_PACKAGE}.{of}" if of else None
            message.field.add(name=field, number=number, label=label, type=kind, type_name=type_name)
    return file


_pool = DescriptorPool()
_pool.Add(_schema())
_Request: Any = GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.Request"))
