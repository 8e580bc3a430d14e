"""OTLP/JSON to protobuf: one export request as text in, the same request as bytes out.

The text is decoded into structs by msgspec, which checks every type on the way, and written at once as protobuf, ids first:
no message of the official classes is built, which would cost twenty times as much. Beside proto3 JSON's rules stand OTLP's:
ids are hex, keys are lowerCamelCase, unknown ones are ignored at every level. Of several values in one AnyValue, which no
valid document has, the first in the order of their field numbers counts. Refuses to judge ids: one that is hex and of a wrong
length stays so, and whoever takes in the request rejects its span.
"""

from __future__ import annotations

import math
import re
import struct
from base64 import b64decode
from binascii import unhexlify
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

import msgspec

from gateway import limits
from gateway.errors import TailgateError
from gateway.otlp import schema
from gateway.otlp.schema import FIXED32, FIXED64, LENGTH, VARINT

Number = int | float | str
"""A whole number: proto3 JSON takes 7, 7.0 and "7"."""
Real = float | str
Name = int | str
"""An enumeration's value: OTLP writes the number; its name is understood too."""


class NotOtlpError(TailgateError):
    """The text is no OTLP/JSON export request; the whole request is refused (400). Names the place where it is known."""


class _Value(msgspec.Struct, gc=False, rename="camel"):
    string_value: str | None = None
    bool_value: bool | None = None
    int_value: Number | None = None
    double_value: Real | None = None
    array_value: _Array | None = None
    kvlist_value: _Pairs | None = None
    bytes_value: str | None = None


class _Pair(msgspec.Struct, gc=False, rename="camel"):
    key: str | None = None
    value: _Value | None = None


class _Array(msgspec.Struct, gc=False, rename="camel"):
    values: list[_Value] | None = None


class _Pairs(msgspec.Struct, gc=False, rename="camel"):
    values: list[_Pair] | None = None


class _Entity(msgspec.Struct, gc=False, rename="camel"):
    schema_url: str | None = None
    type: str | None = None
    id_keys: list[str] | None = None
    description_keys: list[str] | None = None


class _Event(msgspec.Struct, gc=False, rename="camel"):
    time_unix_nano: Number | None = None
    name: str | None = None
    attributes: list[_Pair] | None = None
    dropped_attributes_count: Number | None = None


class _Link(msgspec.Struct, gc=False, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    attributes: list[_Pair] | None = None
    dropped_attributes_count: Number | None = None
    flags: Number | None = None


class _Status(msgspec.Struct, gc=False, rename="camel"):
    message: str | None = None
    code: Name | None = None


class _Span(msgspec.Struct, gc=False, rename="camel"):
    trace_id: str | None = None
    span_id: str | None = None
    trace_state: str | None = None
    parent_span_id: str | None = None
    flags: Number | None = None
    name: str | None = None
    kind: Name | None = None
    start_time_unix_nano: Number | None = None
    end_time_unix_nano: Number | None = None
    attributes: list[_Pair] | None = None
    dropped_attributes_count: Number | None = None
    events: list[_Event] | None = None
    dropped_events_count: Number | None = None
    links: list[_Link] | None = None
    dropped_links_count: Number | None = None
    status: _Status | None = None


class _Scope(msgspec.Struct, gc=False, rename="camel"):
    name: str | None = None
    version: str | None = None
    attributes: list[_Pair] | None = None
    dropped_attributes_count: Number | None = None


class _ScopeSpans(msgspec.Struct, gc=False, rename="camel"):
    scope: _Scope | None = None
    spans: list[_Span] | None = None
    schema_url: str | None = None


class _Resource(msgspec.Struct, gc=False, rename="camel"):
    attributes: list[_Pair] | None = None
    dropped_attributes_count: Number | None = None
    entity_refs: list[_Entity] | None = None


class _ResourceSpans(msgspec.Struct, gc=False, rename="camel"):
    resource: _Resource | None = None
    scope_spans: list[_ScopeSpans] | None = None
    schema_url: str | None = None


class _Request(msgspec.Struct, gc=False, rename="camel"):
    resource_spans: list[_ResourceSpans] | None = None


def to_protobuf(text: bytes) -> bytes:
    """The export request that this OTLP/JSON document says. Raises NotOtlpError, naming the place."""
    try:
        return b"".join(_RESOURCE_SPANS(_DECODER.decode(text).resource_spans or ()))
    except msgspec.ValidationError as error:
        raise NotOtlpError(str(error)) from error
    except msgspec.DecodeError as error:
        raise NotOtlpError(str(error)) from error
    except UnicodeDecodeError as error:
        raise NotOtlpError(f"a text is not UTF-8: {error.reason}") from error
    except RecursionError as error:
        raise NotOtlpError("nested too deep") from error
    except _WrongError as error:
        raise NotOtlpError(f"{error.words} - at `$.{'.'.join(reversed(error.at))}`") from error


class _WrongError(Exception):
    """A value is of the right type and yet none of its field's. `at` is its place, the innermost name first."""

    def __init__(self, name: str, words: str) -> None:
        self.at = [name]
        self.words = words


# ---------------------------------------------------------------- fields


class _Heads(dict[int, bytes]):
    """The tag and the length of a field of so many bytes."""

    def __init__(self, number: int) -> None:
        tag = number << 3 | LENGTH
        super().__init__((size, _varint(tag) + _varint(size)) for size in range(_SIZES_KEPT))
        self._tag = _varint(tag)

    def __missing__(self, size: int) -> bytes:
        return self._tag + _varint(size)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


_SIZES_KEPT = 512
_WHOLE = re.compile(r"-?[0-9]{1,30}")
_REAL = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_URL_SAFE = str.maketrans("-_", "+/")

Write = Callable[[Any], bytes]
"""A field of this value, with its tag."""


def _whole(name: str, value: Number, low: int, high: int) -> int:
    """The whole number. Raises _WrongError."""
    found: int | None = None
    if isinstance(value, int):
        found = value
    elif isinstance(value, float):
        found = int(value) if value.is_integer() else None
    elif _WHOLE.fullmatch(value):
        found = int(value)
    if found is None or not low <= found <= high:
        raise _WrongError(name, f"Expected a whole number from {low} to {high}, got {_shown(value)}")
    return found


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"


def _text(name: str, number: int) -> Write:
    heads = _Heads(number)

    def write(value: str) -> bytes:
        body = value.encode()
        return heads[len(body)] + body

    return write


def _id(name: str, number: int) -> Write:
    heads = _Heads(number)

    def write(value: str) -> bytes:
        try:
            body = unhexlify(value)
        except ValueError:
            raise _WrongError(name, f"Expected an id in hex, got {_shown(value)}") from None
        return heads[len(body)] + body

    return write


def _uint32(name: str, number: int) -> Write:
    tag = _varint(number << 3 | VARINT)
    return lambda value: tag + _varint(_whole(name, value, 0, 2**32 - 1))


def _fixed32(name: str, number: int) -> Write:
    tag, pack = _varint(number << 3 | FIXED32), struct.Struct("<I").pack
    return lambda value: tag + pack(_whole(name, value, 0, 2**32 - 1))


def _fixed64(name: str, number: int) -> Write:
    tag, pack = _varint(number << 3 | FIXED64), struct.Struct("<Q").pack
    return lambda value: tag + pack(_whole(name, value, 0, 2**64 - 1))


def _enumeration(name: str, number: int, names: Sequence[str]) -> Write:
    tag = _varint(number << 3 | VARINT)

    def write(value: Name) -> bytes:
        if isinstance(value, str):
            if value not in names:
                raise _WrongError(name, f"Expected one of {', '.join(names)} or its number, got {_shown(value)}")
            value = names.index(value)
        return tag + _varint(_whole(name, value, -(2**31), 2**31 - 1) & 2**64 - 1)

    return write


def _one(name: str, number: int, inner: Write) -> Write:
    heads = _Heads(number)

    def write(value: object) -> bytes:
        try:
            body = inner(value)
        except _WrongError as error:
            error.at.append(name)
            raise
        return heads[len(body)] + body

    return write


def _many(name: str, number: int, inner: Write) -> Callable[[Sequence[object]], list[bytes]]:
    """The heads and bodies by turns, to be joined."""
    heads = _Heads(number)

    def write(values: Sequence[object]) -> list[bytes]:
        out: list[bytes] = []
        try:
            for value in values:
                body = inner(value)
                out.append(heads[len(body)])
                out.append(body)
        except _WrongError as error:
            error.at.append(f"{name}[{len(out) // 2}]")
            raise
        return out

    return write


def _all(name: str, number: int, inner: Write) -> Write:
    listed = _many(name, number, inner)
    return lambda values: b"".join(listed(values))


def _message(**fields: Write) -> Write:
    """The message of the fields of these attributes that are there, in this order."""
    pick = attrgetter(*fields)
    writes = list(fields.values())

    def write(value: object) -> bytes:
        return b"".join([write(it) for write, it in zip(writes, pick(value), strict=True) if it is not None])

    return write


def _fields(numbers: dict[str, int], **makers: Callable[[str, int], Write]) -> dict[str, Write]:
    """A writer for each of these attributes, by what makes one of a JSON name and a field number."""
    return {name: make(_camel(name), numbers[name]) for name, make in makers.items()}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


# ---------------------------------------------------------------- values

_ANY = schema.ANY_VALUE_FIELDS
_STRING = _Heads(_ANY["string_value"])
_TRUE, _FALSE = (_varint(_ANY["bool_value"] << 3 | VARINT) + bytes([bit]) for bit in (1, 0))
_INT_TAG = _varint(_ANY["int_value"] << 3 | VARINT)
_DOUBLE_TAG = _varint(_ANY["double_value"] << 3 | FIXED64)
_DOUBLE = struct.Struct("<d").pack
_ARRAY, _KVLIST, _BYTES = (_Heads(_ANY[name]) for name in ("array_value", "kvlist_value", "bytes_value"))
_LISTED = _Heads(schema.LIST_FIELDS["values"])
_KEY, _VALUE = (_Heads(schema.KEY_VALUE_FIELDS[name]) for name in ("key", "value"))
_REMEMBERED = 4096  # keys, and whole numbers: most come again and again
_SHORT = 128  # bytes of a key that is remembered


def _value(value: _Value, depth: int = 0) -> bytes:
    """The AnyValue."""
    if value.string_value is not None:
        body = value.string_value.encode()
        return _STRING[len(body)] + body
    if value.bool_value is not None:
        return _TRUE if value.bool_value else _FALSE
    if value.int_value is not None:
        return _int(value.int_value)
    if value.double_value is not None:
        return _DOUBLE_TAG + _DOUBLE(_real(value.double_value))
    if value.array_value is not None:
        return _list("arrayValue", _ARRAY, value.array_value.values or (), _value, depth)
    if value.kvlist_value is not None:
        return _list("kvlistValue", _KVLIST, value.kvlist_value.values or (), _pair, depth)
    if value.bytes_value is not None:
        body = _base64(value.bytes_value)
        return _BYTES[len(body)] + body
    return b""


@lru_cache(_REMEMBERED)
def _int(value: Number) -> bytes:
    return _INT_TAG + _varint(_whole("intValue", value, -(2**63), 2**63 - 1) & 2**64 - 1)


def _list(name: str, heads: _Heads, values: Sequence[Any], write: Callable[[Any, int], bytes], depth: int) -> bytes:
    if depth == limits.VALUE_NESTING_MAX:
        raise _WrongError(name, f"Expected at most {depth} lists within each other, got more")
    out: list[bytes] = []
    try:
        for value in values:
            body = write(value, depth + 1)
            out += (_LISTED[len(body)], body)
    except _WrongError as error:
        error.at += (f"values[{len(out) // 2}]", name)
        raise
    body = b"".join(out)
    return heads[len(body)] + body


def _real(value: Real) -> float:
    if isinstance(value, float):
        return value
    found = _WORDS.get(value) if not _REAL.fullmatch(value) else float(value)
    if found is None or (value not in _WORDS and math.isinf(found)):
        raise _WrongError("doubleValue", f"Expected a number, got {_shown(value)}")
    return found


def _base64(text: str) -> bytes:
    """Both alphabets, with and without padding: proto3 JSON takes all of them."""
    bare = text.rstrip("=")
    if not _BASE64.fullmatch(text) or len(bare) % 4 == 1:
        raise _WrongError("bytesValue", f"Expected base64, got {_shown(text)}")
    return b64decode(bare.translate(_URL_SAFE) + "=" * (-len(bare) % 4))


def _pair(pair: _Pair, depth: int = 0) -> bytes:
    """The KeyValue."""
    value = pair.value
    if value is None:
        return _KEYS[pair.key]
    try:
        body = _value(value, depth)
    except _WrongError as error:
        error.at.append("value")
        raise
    return _KEYS[pair.key] + _VALUE[len(body)] + body


class _Keys(dict[str | None, bytes]):
    """The key of a KeyValue, tag and length before it."""

    def __missing__(self, key: str | None) -> bytes:
        body = (key or "").encode()
        made = _KEY[len(body)] + body
        if len(body) <= _SHORT:
            if len(self) == _REMEMBERED:
                self.clear()
            self[key] = made
        return made


_KEYS = _Keys()


def _pairs(name: str, number: int) -> Write:
    return _all(name, number, _pair)


# ---------------------------------------------------------------- messages


def _texts(name: str, number: int) -> Write:
    heads = _Heads(number)
    return lambda values: b"".join([heads[len(body)] + body for body in map(str.encode, values)])


def _kind(name: str, number: int) -> Write:
    return lru_cache(64)(_enumeration(name, number, schema.SPAN_KINDS))


def _code(name: str, number: int) -> Write:
    return _enumeration(name, number, schema.STATUS_CODES)


def _of(inner: Write) -> Callable[[str, int], Write]:
    return lambda name, number: _one(name, number, inner)


def _each(inner: Write) -> Callable[[str, int], Write]:
    return lambda name, number: _all(name, number, inner)


_event = _message(
    **_fields(
        schema.EVENT_FIELDS, time_unix_nano=_fixed64, name=_text, attributes=_pairs, dropped_attributes_count=_uint32
    )
)
_link = _message(
    **_fields(
        schema.LINK_FIELDS,
        trace_id=_id,
        span_id=_id,
        trace_state=_text,
        attributes=_pairs,
        dropped_attributes_count=_uint32,
        flags=_fixed32,
    )
)
_status = _message(**_fields(schema.STATUS_FIELDS, message=_text, code=_code))
_seldom = _fields(
    schema.SPAN_FIELDS,
    trace_state=_text,
    dropped_attributes_count=_uint32,
    events=_each(_event),
    dropped_events_count=_uint32,
    links=_each(_link),
    dropped_links_count=_uint32,
)
_often = _fields(
    schema.SPAN_FIELDS,
    trace_id=_id,
    span_id=_id,
    parent_span_id=_id,
    flags=_fixed32,
    name=_text,
    kind=_kind,
    start_time_unix_nano=_fixed64,
    end_time_unix_nano=_fixed64,
    attributes=_pairs,
    status=_of(_status),
)
_write_seldom, _pick_seldom, _NO_SELDOM = _message(**_seldom), attrgetter(*_seldom), (None,) * len(_seldom)
_TRACE_ID, _SPAN_ID, _PARENT_ID = (
    bytes([number << 3 | LENGTH, size]).hex()
    for number, size in (
        (schema.SPAN_FIELDS["trace_id"], schema.TRACE_ID_BYTES),
        (schema.SPAN_FIELDS["span_id"], schema.SPAN_ID_BYTES),
        (schema.SPAN_FIELDS["parent_span_id"], schema.SPAN_ID_BYTES),
    )
)
_TRACE_ID_CHARS, _SPAN_ID_CHARS = 2 * schema.TRACE_ID_BYTES, 2 * schema.SPAN_ID_BYTES
_TIMES = struct.Struct("<BQBQ").pack
_flags = lru_cache(16)(_often["flags"])
_NAME, _ATTRIBUTE = _Heads(schema.SPAN_FIELDS["name"]), _Heads(schema.SPAN_FIELDS["attributes"])


def _span(span: _Span) -> bytes:
    """The Span. HOT: the fields that nearly every span has are written here, as nearly every span has them."""
    out = [_ids(span)]
    if span.name:
        body = span.name.encode()
        out += (_NAME[len(body)], body)
    if span.kind is not None:
        out.append(_often["kind"](span.kind))
    out.append(_times(span))
    if span.attributes:
        _add_attributes(span.attributes, out)
    if span.status is not None:
        out.append(_status_of(span.status))
    if span.flags is not None:
        out.append(_flags(span.flags))
    if _pick_seldom(span) != _NO_SELDOM:
        out.append(_write_seldom(span))
    return b"".join(out)


def _status_of(status: _Status) -> bytes:
    if status.message is None:
        return _status_code(status.code)
    return _often["status"](status)


@lru_cache(16)
def _status_code(code: Name | None) -> bytes:
    return _often["status"](_Status(code=code))


def _ids(span: _Span) -> bytes:
    trace, own, parent = span.trace_id or "", span.span_id or "", span.parent_span_id or ""
    if len(trace) == _TRACE_ID_CHARS and len(own) == _SPAN_ID_CHARS and len(parent) in (0, _SPAN_ID_CHARS):
        text = (
            f"{_TRACE_ID}{trace}{_SPAN_ID}{own}{_PARENT_ID}{parent}" if parent else f"{_TRACE_ID}{trace}{_SPAN_ID}{own}"
        )
        try:
            return unhexlify(text)
        except ValueError:
            pass  # below it is found which of them it is
    return _often["trace_id"](trace) + _often["span_id"](own) + _often["parent_span_id"](parent)


def _times(span: _Span) -> bytes:
    start, end = span.start_time_unix_nano, span.end_time_unix_nano
    digits = f"{start}{end}"
    if digits.isascii() and digits.isdigit():
        try:
            return _TIMES(schema.START_TIME_TAG, int(start or 0), schema.END_TIME_TAG, int(end or 0))
        except (ValueError, struct.error):
            pass  # too many digits: below it is found of which
    first = b"" if start is None else _often["start_time_unix_nano"](start)
    return first if end is None else first + _often["end_time_unix_nano"](end)


def _add_attributes(pairs: list[_Pair], out: list[bytes]) -> None:
    """HOT."""
    index = 0
    try:
        for index, pair in enumerate(pairs):  # noqa: B007 -- an error's place
            value = pair.value
            if value is not None and value.string_value is not None:
                text = value.string_value.encode()
                key, head = _KEYS[pair.key], _STRING[len(text)]
                size = len(head) + len(text)
                within = _VALUE[size]
                out += (_ATTRIBUTE[len(key) + len(within) + size], key, within, head, text)
            else:
                body = _pair(pair)
                out += (_ATTRIBUTE[len(body)], body)
    except _WrongError as error:
        error.at.append(f"attributes[{index}]")
        raise


_scope = _message(
    **_fields(schema.SCOPE_FIELDS, name=_text, version=_text, attributes=_pairs, dropped_attributes_count=_uint32)
)
_scope_spans = _message(**_fields(schema.SCOPE_SPANS_FIELDS, scope=_of(_scope), spans=_each(_span), schema_url=_text))
_entity = _message(
    **_fields(schema.ENTITY_REF_FIELDS, schema_url=_text, type=_text, id_keys=_texts, description_keys=_texts)
)
_resource = _message(
    **_fields(schema.RESOURCE_FIELDS, attributes=_pairs, dropped_attributes_count=_uint32, entity_refs=_each(_entity))
)
_resource_spans = _message(
    **_fields(schema.RESOURCE_SPANS_FIELDS, resource=_of(_resource), scope_spans=_each(_scope_spans), schema_url=_text)
)
_RESOURCE_SPANS = _many("resourceSpans", schema.REQUEST_FIELDS["resource_spans"], _resource_spans)
_DECODER = msgspec.json.Decoder(_Request)
