"""Texts of values as the Collector's converters write them: JSON where the value is no string."""

from __future__ import annotations

import math
from base64 import b64encode
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from json import dumps

from sampler.ottl.types import Blob, Duration, Fail, Map, Opaque, Time, Words

_ESCAPED = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029\b\f"}
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 -- the alias of 3.11 says no more


def text_of(value: object) -> bytes:
    """The text of a value other than nil.

    Raises Fail for what has none: floats that are no numbers, times far away.
    """
    if type(value) is bytes:
        return value
    if type(value) is Blob:
        return value.hex().encode()
    return json(value).encode()


def text_of_item(value: object) -> bytes:
    """The text of an item of an array of the data, in which nil is empty and bytes are base64.

    Raises Fail as text_of does.
    """
    if value is None:
        return b""
    return b64encode(value) if type(value) is Blob else text_of(value)


def json(value: object) -> str:
    """JSON with the keys of maps in order. Of lists and maps of the data nothing is shown inside a list that is written out.

    Raises Fail for what JSON has no word for.
    """
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case Time():
            return f'"{_time(value)}"'
        case int():
            return str(int(value))
        case float():
            return number(value)
        case Blob():
            return f'"{b64encode(value).decode()}"'
        case bytes():
            return _string(value)
        case Opaque():
            return _opaque(value)
        case list():
            return f"[{','.join('{}' if type(item) in (tuple, Map) else json(item) for item in value)}]"
        case tuple():
            return f"[{','.join(map(json, value))}]"
        case Map():
            pairs = value.raw()
            return f"{{{','.join(f'{_string(key)}:{json(pairs[key])}' for key in sorted(pairs))}}}"
    raise Fail("a value that has a text")


def number(value: float) -> str:
    """The shortest digits that read back as this number.

    Raises Fail where it is not finite.
    """
    if not math.isfinite(value):
        raise Fail("a finite number")
    size = abs(value)
    if size and (size < 1e-6 or size >= 1e21):
        return repr(value)  # Python writes these with an exponent too
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def _string(raw: bytes) -> str:
    return dumps(raw.decode(errors="replace"), ensure_ascii=False).translate(_ESCAPED)


def _opaque(value: Opaque) -> str:
    """An id is the list of its bytes; of other things nothing is shown."""
    return f"[{','.join(map(str, value.raw))}]" if value.what.endswith("id") else "{}"


def _time(value: Time) -> str:
    seconds, nanoseconds = divmod(int(value), 1_000_000_000)
    try:
        day = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        raise Fail("a time within the years 1 to 9999") from None
    fraction = f".{nanoseconds:09}".rstrip("0") if nanoseconds else ""
    return f"{day.isoformat()[:19]}{fraction}Z"


assert issubclass(Words, tuple) and issubclass(Duration, int)
