"""Paths: what of a span, its event, its scope and its resource a condition can read, and from which raw fields.

The contexts are span, spanevent, scope (also instrumentation_scope) and resource. What paths mean is the Collector's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal as OneOf
from typing import NamedTuple, cast

from gateway.kernel.names import RESOURCE, SCOPE, SPAN, Look
from sampler.ottl import tracestate
from sampler.ottl.errors import OttlError, did_you_mean
from sampler.ottl.syntax import Field, Literal, Node, Path
from sampler.ottl.types import ABSENT, Fail, Getter, Map, Opaque, Row, Time
from sampler.ottl.values import any_value, attributes, enum, fields_or_none, fixed, number32

Context = OneOf["span", "spanevent"]

EVENTS = Look(SPAN, 11)
PARENT = Look(SPAN, 4)


class EventLook(NamedTuple):
    """A field of one of the span's events, as Look names those of spans."""

    field: int
    key: str = ""


Reader = Callable[[bytes | None], object]
Key = Callable[[Row], object]


class Slots:
    """Gives every field that a condition reads its place in the rows."""

    def __init__(self, context: Context) -> None:
        self.context = context
        self.asked: list[Look | EventLook] = [EVENTS] if context == "spanevent" else []

    def of(self, look: Look | EventLook) -> int:
        """The place of this field."""
        if look not in self.asked:
            self.asked.append(look)
        return self.asked.index(look)


# ---------------------------------------------------------------- reading fields


def _text(raw: bytes | None) -> object:
    return raw or b""


def _nanoseconds(raw: bytes | None) -> int:
    return int.from_bytes(raw[:8], "little", signed=True) if raw else 0


def _time(raw: bytes | None) -> object:
    return Time(_nanoseconds(raw))


def _id(what: str, size: int) -> Reader:
    return lambda raw: Opaque(what, (raw or b"").ljust(size, b"\0")[:size])


def _hex(size: int) -> Reader:
    return lambda raw: (raw or b"").ljust(size, b"\0")[:size].hex().encode()


_KINDS = (b"Unspecified", b"Internal", b"Server", b"Client", b"Producer", b"Consumer")


def _kind(raw: bytes | None) -> object:
    code = enum(raw)
    return _KINDS[code] if 0 <= code < len(_KINDS) else b""


def _old_kind(raw: bytes | None) -> object:
    kind = cast("bytes", _kind(raw)).upper()
    return b"SPAN_KIND_" + kind if kind else b""


def _status_code(raw: bytes | None) -> object:
    code = 0
    for tag, value in fields_or_none(raw):
        if tag == 0x18 and isinstance(value, int):
            code = value & 0xFFFF_FFFF
    return code - (1 << 32) if code >> 31 else code


def _status_message(raw: bytes | None) -> object:
    message: object = b""
    for tag, value in fields_or_none(raw):
        if tag == 0x12:
            message = value
    return message


def _status(raw: bytes | None) -> object:
    return Opaque("status", raw or b"")


def _items(what: str, wanted: int) -> Reader:
    return lambda raw: Opaque(what, raw or b"", sum(tag == wanted for tag, _ in fields_or_none(raw)))


def _all_attributes(field: int) -> Reader:
    return lambda raw: attributes(raw, field << 3 | 2)


class Access(NamedTuple):
    """How one path is read. `keyed` says that it takes keys: "" none, "tracestate" one, "attributes" any number."""

    field: int
    read: Reader
    keyed: str = ""


_SPAN: dict[str, Access] = {
    "trace_id": Access(1, _id("trace id", 16)),
    "trace_id.string": Access(1, _hex(16)),
    "span_id": Access(2, _id("span id", 8)),
    "span_id.string": Access(2, _hex(8)),
    "trace_state": Access(3, _text, "tracestate"),
    "parent_span_id": Access(4, _id("span id", 8)),
    "parent_span_id.string": Access(4, _hex(8)),
    "name": Access(5, _text),
    "kind": Access(6, enum),
    "kind.string": Access(6, _kind),
    "kind.deprecated_string": Access(6, _old_kind),
    "start_time_unix_nano": Access(7, _nanoseconds),
    "start_time": Access(7, _time),
    "end_time_unix_nano": Access(8, _nanoseconds),
    "end_time": Access(8, _time),
    "attributes": Access(9, _all_attributes(9), "attributes"),
    "dropped_attributes_count": Access(10, number32),
    "events": Access(11, _items("events", 0x5A)),
    "dropped_events_count": Access(12, number32),
    "links": Access(13, _items("links", 0x6A)),
    "dropped_links_count": Access(14, number32),
    "status": Access(15, _status),
    "status.code": Access(15, _status_code),
    "status.message": Access(15, _status_message),
    "flags": Access(16, fixed),
}

_EVENT: dict[str, Access] = {
    "time_unix_nano": Access(1, _nanoseconds),
    "time": Access(1, _time),
    "name": Access(2, _text),
    "attributes": Access(3, _all_attributes(3), "attributes"),
    "dropped_attributes_count": Access(4, number32),
    "event_index": Access(0, lambda _: _no_index()),
}

_SCOPE: dict[str, Access] = {
    "name": Access(1, _text),
    "version": Access(2, _text),
    "attributes": Access(3, _all_attributes(3), "attributes"),
    "dropped_attributes_count": Access(4, number32),
}

_RESOURCE: dict[str, Access] = {
    "attributes": Access(1, _all_attributes(1), "attributes"),
    "dropped_attributes_count": Access(2, number32),
}

_PATHS = {"span": _SPAN, "spanevent": _EVENT, "scope": _SCOPE, "instrumentation_scope": _SCOPE, "resource": _RESOURCE}
_WHERE = {"span": SPAN, "scope": SCOPE, "instrumentation_scope": SCOPE, "resource": RESOURCE}

_REFUSED = {
    "cache": "nothing could have been put into it before a condition of tail sampling",
    "otelcol": "what came with a client's request is not kept beside its spans",
    "schema_url": "schemas are not among what conditions read here",
}


def _no_index() -> object:
    """The Collector's tail sampling gives no index either: such a condition fails there, and so it does here."""
    raise Fail("a condition without event_index")


# ---------------------------------------------------------------- from paths to getters


def getter(path: Path, slots: Slots, key_of: Callable[[Node], Key]) -> Getter:
    """What reads this path; `key_of` makes a key's node into what gives the key.

    Raises OttlError for a path that is none.
    """
    context, parts = _context(path, slots.context)
    access = _access(path, context, parts)
    keys = _keys(path, parts, access)
    if access.keyed == "attributes" and keys:
        return _attribute(slots, context, access, keys, key_of)
    at = slots.of(_look(context, access.field))
    read = access.read
    if keys:
        return _member(at, keys)
    return lambda row: read(row[at])


def _context(path: Path, context: Context) -> tuple[str, tuple[Field, ...]]:
    """Where a path begins: with the name of a context, or in the condition's own."""
    first, *rest = path.fields
    known = {name: name for name in _PATHS if name != "spanevent" or context == "spanevent"}
    if rest and not first.keys and first.name in known:
        return first.name, tuple(rest)
    if first.name in ("otelcol", "cache"):
        raise OttlError(f"{first.name} is not supported: {_REFUSED[first.name]}", *path.place)
    return context, path.fields


def _access(path: Path, context: str, parts: tuple[Field, ...]) -> Access:
    known = _PATHS[context]
    name = ".".join(part.name for part in parts)
    if name in known:
        return known[name]
    reason = _REFUSED.get(parts[0].name)
    if reason:
        raise OttlError(f"{path} is not supported: {reason}", *parts[0].place)
    raise OttlError(f"{context} has no {name}: {did_you_mean(name, known)}", *parts[0].place)


def _keys(path: Path, parts: tuple[Field, ...], access: Access) -> tuple[Node, ...]:
    for part in parts:
        if part.keys and (not access.keyed or part is not parts[-1]):
            raise OttlError(f"{part.name} takes no key", *part.keys[0].place)
    keys = parts[-1].keys
    first = keys[0] if keys else None
    if isinstance(first, Literal) and not isinstance(first.value, bytes):
        raise OttlError(f'{path} takes a string for a key, as in {parts[-1].name}["key"]', *first.place)
    if access.keyed == "tracestate" and keys and (len(keys) > 1 or not isinstance(first, Literal)):
        raise OttlError("trace_state takes one key, a string that is written out", *keys[-1].place)
    return keys


def _look(context: str, field: int, key: str = "") -> Look | EventLook:
    return EventLook(field, key) if context == "spanevent" else Look(_WHERE[context], field, key)


def _member(at: int, keys: tuple[Node, ...]) -> Getter:
    key = cast("bytes", cast("Literal", keys[0]).value)
    return lambda row: tracestate.member(row[at] or b"", key)


def _attribute(
    slots: Slots, context: str, access: Access, keys: tuple[Node, ...], key_of: Callable[[Node], Key]
) -> Getter:
    first, *rest = keys
    deeper = tuple(map(key_of, rest))
    if isinstance(first, Literal) and first.value:
        at = slots.of(_look(context, access.field, cast("bytes", first.value).decode()))
        if not deeper:
            return lambda row: any_value(row[at])
        return _nested(lambda row: ABSENT if row[at] is None else any_value(row[at]), deeper)
    return _nested(_looked_up(slots.of(_look(context, access.field)), access.read, key_of(first)), deeper)


def _looked_up(at: int, read: Reader, key: Key) -> Getter:
    """An attribute whose name is only known on the span."""

    def get(row: Row) -> object:
        name = key(row)
        if type(name) is not bytes:
            raise Fail("a string for a key")
        return cast("Map", read(row[at])).get(name, ABSENT)

    return get


def _nested(get: Getter, keys: tuple[Key, ...]) -> Getter:
    """What lies inside a value: nil where there is no such key in a map, a failure in what takes no such key."""

    def descend(row: Row) -> object:
        value = get(row)
        for key in keys:
            if value is ABSENT:
                return None
            value = _step(value, key(row))
        return None if value is ABSENT else value

    return descend


def _step(value: object, key: object) -> object:
    if type(value) is Map and type(key) is bytes:
        return value.get(key, ABSENT)
    if type(value) is tuple and type(key) is int and 0 <= key < len(value):
        return value[key]
    raise Fail("a value that has such a key")
