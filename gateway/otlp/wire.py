"""Protobuf framing: varints, tags, lengths, skipping a field. Every read is checked against the end it must not pass."""

from __future__ import annotations

from gateway import limits
from gateway.errors import MalformedRequestError
from gateway.otlp.schema import FIXED32, FIXED64, GROUP_END, GROUP_START, LENGTH, VARINT

_VARINT_BYTES_MAX = 10
_SHORT_BYTES_MAX = 5  # tags and lengths have 32 bits; official parsers refuse them in more bytes than that takes
_FIELD_MAX = (1 << 29) - 1


def read_varint(data: bytes, at: int, end: int, bytes_max: int = _VARINT_BYTES_MAX) -> tuple[int, int]:
    """The varint at `at` and where it ends. Values keep 64 bits, as protobuf does."""
    value = shift = 0
    for pos in range(at, min(end, at + bytes_max)):
        byte = data[pos]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, pos + 1
        shift += 7
    raise MalformedRequestError("truncated varint" if end - at < bytes_max else f"varint of over {bytes_max} bytes", at)


def read_tag(data: bytes, at: int, end: int) -> tuple[int, int]:
    """The tag (field number << 3 | wire type) at `at` and where it ends."""
    tag, pos = read_varint(data, at, end, _SHORT_BYTES_MAX)
    if not 1 <= tag >> 3 <= _FIELD_MAX:
        raise MalformedRequestError(f"field number {tag >> 3} is not possible", at)
    return tag, pos


def read_length(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Start and stop of the length-delimited value whose length stands at `at`."""
    length, start = read_varint(data, at, end, _SHORT_BYTES_MAX)
    if length > end - start:
        raise MalformedRequestError(f"length {length} passes the end ({end - start} bytes left)", at)
    return start, start + length


def skip(data: bytes, at: int, end: int, tag: int, depth: int = 0) -> int:
    """Where the value after `tag`, which starts at `at`, ends."""
    wire_type = tag & 7
    if wire_type == VARINT:
        return read_varint(data, at, end)[1]
    if wire_type == LENGTH:
        return read_length(data, at, end)[1]
    if wire_type == GROUP_START:
        return _skip_group(data, at, end, tag >> 3, depth + 1)
    if wire_type not in (FIXED64, FIXED32):
        raise MalformedRequestError(f"wire type {wire_type} is not possible here", at)
    stop = at + (8 if wire_type == FIXED64 else 4)
    if stop > end:
        raise MalformedRequestError("truncated fixed-size value", at)
    return stop


def _skip_group(data: bytes, at: int, end: int, field: int, depth: int) -> int:
    if depth > limits.FIELD_NESTING_MAX:
        raise MalformedRequestError("groups nested too deep", at)
    while at < end:
        tag, at = read_tag(data, at, end)
        if tag & 7 == GROUP_END:
            if tag >> 3 != field:
                raise MalformedRequestError("group ends under another field number", at)
            return at
        at = skip(data, at, end, tag, depth)
    raise MalformedRequestError("truncated group", at)


def varint(value: int) -> bytes:
    """A non-negative integer as a varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
