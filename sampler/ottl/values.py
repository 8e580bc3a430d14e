"""Decodes protobuf: AnyValue with everything in it, attributes, and the plain fields that conditions read.

Nothing here raises for any bytes: what cannot be decoded is nil, as if it were not there.
"""

from __future__ import annotations

from struct import Struct

from gateway import limits
from sampler.ottl.types import Blob, Map, int64

_DOUBLE = Struct("<d")
_VARINT, _LENGTH = 0, 2
_FIXED = {1: 8, 5: 4}
_VARINT_BYTES_MAX = 10


class MalformedError(Exception):
    """These bytes are no protobuf message."""


def varint(raw: bytes, at: int = 0) -> tuple[int, int]:
    """The number (64 bits, unsigned) that begins there, and where it ends.

    Raises MalformedError.
    """
    value, shift = 0, 0
    for byte in raw[at : at + _VARINT_BYTES_MAX]:
        at += 1
        if byte < 0x80:
            return (value | byte << shift) & 0xFFFF_FFFF_FFFF_FFFF, at
        value |= (byte & 0x7F) << shift
        shift += 7
    raise MalformedError


def fields(raw: bytes) -> list[tuple[int, int | bytes]]:
    """The fields of a message as (tag, value): numbers of varints, the bytes of all others.

    Raises MalformedError.
    """
    found: list[tuple[int, int | bytes]] = []
    at, end = 0, len(raw)
    while at < end:
        tag, at = (raw[at], at + 1) if raw[at] < 0x80 else varint(raw, at)
        wire = tag & 7
        if wire == _LENGTH and at < end and raw[at] < 0x80:
            length, at = raw[at], at + 1
        elif wire == _LENGTH:
            length, at = varint(raw, at)
        elif wire == _VARINT:
            number, at = varint(raw, at)
            found.append((tag, number))
            continue
        else:
            length = _FIXED.get(wire, end)  # a group: nothing that is read here has one
        if at + length > end:
            raise MalformedError
        found.append((tag, raw[at : at + length]))
        at += length
    return found


def fields_or_none(raw: bytes | None) -> list[tuple[int, int | bytes]]:
    """The same, nothing if it is no message."""
    try:
        return fields(raw or b"")
    except MalformedError:
        return []


def number(raw: bytes | None) -> int:
    """A varint field's value (64 bits, unsigned), 0 if there is none."""
    if raw is not None and len(raw) == 1 and raw[0] < 0x80:
        return raw[0]
    try:
        return varint(raw or b"\0")[0]
    except MalformedError:
        return 0


def number32(raw: bytes | None) -> int:
    """The value of a varint field of 32 bits, unsigned."""
    return number(raw) & 0xFFFF_FFFF


def enum(raw: bytes | None) -> int:
    """The value of an enum: 32 bits, signed."""
    value = number32(raw)
    return value - (1 << 32) if value >> 31 else value


def fixed(raw: bytes | None) -> int:
    """The value of a field of 4 or 8 bytes, unsigned, 0 if there is none."""
    return int.from_bytes(raw or b"", "little")


# ---------------------------------------------------------------- AnyValue


def any_value(raw: bytes | None) -> object:
    """The value, None (nil) for an empty or an undecodable one."""
    if not raw:
        return None
    # The short forms of what most attributes are: a string, a small number, a bool.
    size, tag = len(raw), raw[0]
    if tag == 0x0A and size > 1 and raw[1] == size - 2 and size < 130:
        return raw[2:]
    if tag == 0x18 and size == 3 and raw[1] >= 0x80 > raw[2]:
        return raw[1] - 0x80 | raw[2] << 7
    if tag == 0x18 and size == 2 and raw[1] < 0x80:
        return raw[1]
    try:
        return _any_value(raw, 0)
    except MalformedError:
        return None


def _any_value(raw: bytes, depth: int) -> object:
    value: object = None
    for tag, content in fields(raw):
        if isinstance(content, int):
            if tag == 0x10:
                value = content != 0
            elif tag == 0x18:
                value = int64(content)
        elif tag in _READERS:
            value = _READERS[tag](content, depth)
    return value


def _string(raw: bytes, depth: int) -> object:
    return raw


def _double(raw: bytes, depth: int) -> object:
    return float(_DOUBLE.unpack(raw)[0])


def _blob(raw: bytes, depth: int) -> object:
    return Blob(raw)


def _array(raw: bytes, depth: int) -> object:
    _watch(depth)
    return tuple(_any_value(item, depth + 1) for tag, item in fields(raw) if tag == 0x0A and isinstance(item, bytes))


def _pairs(raw: bytes, depth: int) -> object:
    _watch(depth)
    return Map([_pair(item, depth + 1) for tag, item in fields(raw) if tag == 0x0A and isinstance(item, bytes)])


def _watch(depth: int) -> None:
    if depth >= limits.VALUE_NESTING_MAX:
        raise MalformedError


def _pair(raw: bytes, depth: int) -> tuple[bytes, object]:
    key, value = b"", b""
    for tag, content in fields(raw):
        if isinstance(content, bytes):
            if tag == 0x0A:
                key = content
            elif tag == 0x12:
                value = content
    return key, _any_value(value, depth)


_READERS = {0x0A: _string, 0x21: _double, 0x2A: _array, 0x32: _pairs, 0x3A: _blob}


# ---------------------------------------------------------------- attributes


def attributes(raw: bytes | None, wanted: int) -> Map:
    """All attributes: the KeyValues among these fields that stand under the wanted tag. An undecodable one has no value."""
    contents = [content for tag, content in fields_or_none(raw) if tag == wanted and isinstance(content, bytes)]
    return Map([_attribute(content) for content in contents])


def _attribute(raw: bytes) -> tuple[bytes, object]:
    try:
        return _pair(raw, 0)
    except MalformedError:
        return b"", None
