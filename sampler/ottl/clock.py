"""Durations as texts and as numbers of their units. Of the day's time it knows nothing: decisions must be reproducible."""

from __future__ import annotations

import re
from collections.abc import Callable

from sampler.ottl.types import Duration, Fail, Time, int64

_UNITS = {"ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
_PART = re.compile(r"([0-9]*)(?:\.([0-9]*))?(ns|us|µs|μs|ms|s|m|h)")
_LARGEST = 1 << 63
_EXPECTED = 'a duration as in "1.5s" or "2h45m", with the units ns, us, ms, s, m, h'


def duration(text: bytes) -> Duration:
    """What a text like "1h15m30.5s" says.

    Raises Fail for any other text.
    """
    words = text.decode(errors="replace")
    negative, rest = words.startswith("-"), words[1:] if words[:1] in ("+", "-") else words
    if rest == "0":
        return Duration(0)
    total = _total(rest)
    if total > _LARGEST - (not negative):
        raise Fail("a duration of at most 292 years")
    return Duration(-total if negative else total)


def _total(text: str) -> int:
    total, at = 0, 0
    while part := _PART.match(text, at):
        whole, fraction, unit = part.groups()
        if not (whole or fraction) or len(whole) > len(str(_LARGEST)):
            break
        total += int(whole or 0) * _UNITS[unit] + _fraction(fraction or "", _UNITS[unit])
        at = part.end()
    if at == 0 or at < len(text):
        raise Fail(_EXPECTED)
    return total


def _fraction(digits: str, unit: int) -> int:
    """Of as many digits as 63 bits hold, by way of a float: to the nanosecond what the Collector makes of them."""
    value, scale = 0, 1
    for digit in digits:
        if value > (_LARGEST - 1) // 10 or value * 10 + int(digit) > _LARGEST:
            break
        value, scale = value * 10 + int(digit), scale * 10
    return int(value * (unit / scale))


def whole(unit: int) -> Callable[[int], int]:
    """How many whole units of so many nanoseconds, counted towards zero."""
    return lambda value: abs(value) // unit * (1 if value >= 0 else -1)


def share(unit: int) -> Callable[[int], float]:
    """How many units of so many nanoseconds, with a fraction."""
    count = whole(unit)

    def shared(value: int) -> float:
        units = count(value)
        return units + (value - units * unit) / unit

    return shared


def since_1970(unit: int) -> Callable[[int], int]:
    """How many whole units of so many nanoseconds an instant is after 1970, rounded down, in 64 bits."""
    return lambda value: int64(value // unit)


def from_1970(seconds: int, nanoseconds: int = 0) -> Time:
    """The instant that is so long after 1970."""
    return Time(seconds * 10**9 + nanoseconds)
