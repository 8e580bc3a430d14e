"""What arguments of functions must be, and what they are made into. Each raises Fail with what it expected."""

from __future__ import annotations

import math
import re
from struct import pack
from typing import cast

from sampler.ottl.gojson import text_of
from sampler.ottl.types import Blob, Duration, Fail, Map, Time, Words

_INT = re.compile(rb"[+-]?[0-9]+")
_DIGITS = rb"[0-9](?:_?[0-9])*"
_FLOAT = re.compile(
    rb"[+-]?(?:%b\.?|(?:%b)?\.%b)(?:e[+-]?%b)?|[+-]?(?:inf|infinity)|nan" % (_DIGITS, _DIGITS, _DIGITS, _DIGITS),
    re.IGNORECASE,
)
_HEX_FLOAT = re.compile(rb"[+-]?0x(?:_?[0-9a-f])*\.?(?:[0-9a-f](?:_?[0-9a-f])*)?p[+-]?[0-9](?:_?[0-9])*", re.IGNORECASE)
_TRUE = (b"1", b"t", b"T", b"TRUE", b"true", b"True")
_FALSE = (b"0", b"f", b"F", b"FALSE", b"false", b"False")
_INT_DIGITS_MAX = 4000  # Python refuses to read longer ones; beyond 19 they are out of range anyway
_INT_MIN = -(1 << 63)


def anything(value: object) -> object:
    """The value as it is."""
    return value


def string(value: object) -> bytes:
    """A string."""
    if type(value) is bytes:
        return value
    raise Fail("a string")


def integer(value: object) -> int:
    """An int."""
    if type(value) is int:
        return value
    raise Fail("an int")


def double(value: object) -> float:
    """A float."""
    if type(value) is float:
        return value
    raise Fail("a float")


def boolean(value: object) -> bool:
    """A bool."""
    if type(value) is bool:
        return value
    raise Fail("a bool")


def time(value: object) -> Time:
    """An instant."""
    if type(value) is Time:
        return value
    raise Fail("a time")


def duration(value: object) -> Duration:
    """A duration."""
    if type(value) is Duration:
        return value
    raise Fail("a duration")


def mapping(value: object) -> Map:
    """A map."""
    if type(value) is Map:
        return value
    raise Fail("a map")


def sequence(value: object) -> tuple[object, ...]:
    """A list, whoever wrote it."""
    if type(value) in (tuple, list, Words):
        return tuple(cast("list[object]", value))
    raise Fail("a list")


def string_like(value: object) -> bytes | None:
    """The text of any value, None of nil."""
    return value if type(value) is bytes else None if value is None else text_of(value)


def int_like(value: object) -> int | None:
    """A number without its fraction, or what a text of digits says, None of nil."""
    match value:
        case None:
            return None
        case bytes() if type(value) is bytes:
            return int_of_text(value)
        case float():
            return int_of_float(value)
        case int() if type(value) in (bool, int):
            return int(value)
    raise Fail("a number, a bool or a text of digits")


def int_of_text(text: bytes) -> int:
    """Decimal digits with or without a sign, within 64 bits."""
    if len(text) <= _INT_DIGITS_MAX and _INT.fullmatch(text) and _INT_MIN <= (number := int(text)) < -_INT_MIN:
        return number
    raise Fail("a text of digits, within 64 bits")


def int_of_float(value: float) -> int:
    """The whole part; the smallest int where it does not fit, as amd64 converts."""
    fits = math.isfinite(value) and -(2.0**63) <= value < 2.0**63
    return int(value) if fits else _INT_MIN


def float_like(value: object) -> float | None:
    """A number, or what a text says, None of nil."""
    match value:
        case None:
            return None
        case bytes() if type(value) is bytes:
            return float_of_text(value)
        case float():
            return value
        case int() if type(value) in (bool, int):
            return float(value)
    raise Fail("a number, a bool or the text of a number")


def float_of_text(text: bytes) -> float:
    """A decimal or hexadecimal number; only one that is written as infinite may be infinite."""
    try:
        if _HEX_FLOAT.fullmatch(text):
            return float.fromhex(text.replace(b"_", b"").decode())
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isfinite(number) or b"n" in text.lower():
                return number
    except (ValueError, OverflowError):
        pass
    raise Fail("the text of a number that is not too large")


def bool_like(value: object) -> bool | None:
    """A bool, a number other than 0, or what a text says, None of nil."""
    match value:
        case None:
            return None
        case bytes() if value in _TRUE + _FALSE and type(value) is bytes:
            return value in _TRUE
        case int() | float() if type(value) in (bool, int, float):
            return value != 0
    raise Fail("a bool, a number or the text of a bool")


def bytes_like(value: object) -> bytes:
    """Bytes, of a string those it consists of, of a number its 8; none of nil."""
    match value:
        case None:
            return b""
        case bytes():
            return bytes(value)
        case bool():
            return bytes([value])
        case int() if type(value) is int:
            return pack(">q", value)
        case float():
            return pack(">d", value)
    raise Fail("bytes, a string or a number")


assert Blob is not bytes
