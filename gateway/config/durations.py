"""Durations in Go's notation.

Owns how they are read and written. A duration is float seconds everywhere else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from typing_extensions import override

from gateway.config.scalars import Kind, wrong

DURATION_MAX = 366 * 24 * 3600.0  # beyond a year somebody has mistyped a unit
DURATION_CHARS_MAX = 64

_UNITS = {
    "ns": Fraction(1, 10**9),
    "us": Fraction(1, 10**6),
    "µs": Fraction(1, 10**6),  # micro sign
    "μs": Fraction(1, 10**6),  # Greek letter
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_DURATION_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([^0-9.]*)", re.ASCII)
_FORM = "a duration such as 10s, 1.5s or 1h30m"


@dataclass(frozen=True, slots=True)
class Duration(Kind):
    """A duration in Go's notation, in seconds. `above` excludes itself; `min` and `max` do not."""

    min: float = 0.0
    max: float = DURATION_MAX
    above: float | None = None

    @property
    @override
    def name(self) -> str:
        if self.above is not None:
            return f"duration, above {duration_text(self.above)}"
        return f"duration, {duration_text(self.min)} or more" if self.min else "duration"

    @override
    def read(self, given: Any, said: str) -> object:
        if isinstance(given, bool) or not isinstance(given, (str, int, float)):
            raise wrong(f"expected {_FORM}, got {said}")
        if isinstance(given, (int, float)) and given != 0:
            raise wrong(f"a duration needs a unit: expected something such as 10s or 200ms, got {said}")
        seconds = duration(given, said) if isinstance(given, str) else 0.0
        if self.above is not None and seconds <= self.above:
            raise wrong(f"must be above {duration_text(self.above)}, got {said}")
        if seconds < self.min:
            raise wrong(f"must be at least {duration_text(self.min)}, got {said}")
        if seconds > self.max:
            raise wrong(f"must be at most {duration_text(self.max)}, got {said}")
        return seconds

    @override
    def written(self, value: object) -> str:
        assert isinstance(value, float)
        return duration_text(value)


def duration(text: str, said: str) -> float:
    """Seconds of a duration in the notation of Go's time.ParseDuration, without its negative ones. Raises `wrong`."""
    if text in ("0", "+0", "-0"):
        return 0.0
    if text.startswith("-"):
        raise wrong(f"a duration cannot be negative, got {said}")
    rest = text.removeprefix("+")
    total = Fraction(0)
    while rest:
        part = _DURATION_PART.match(rest)
        if part is None or len(text) > DURATION_CHARS_MAX:
            raise wrong(f"expected {_FORM}, got {said}")
        if not part[2]:
            raise wrong(f"a duration needs a unit: expected something such as 10s or 200ms, got {said}")
        if part[2] not in _UNITS:
            raise wrong(f"expected {_FORM} (units: ns us ms s m h), got {said}")
        total += Fraction(part[1]) * _UNITS[part[2]]
        rest = rest[part.end() :]
    if not text or text == "+":
        raise wrong(f"expected {_FORM}, got {said}")
    return float(min(total, Fraction(10**12)))


def duration_text(seconds: float) -> str:
    """Seconds as one would write them: 1.5s, 200ms, 5m."""
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds * 1000:g}ms" if 0 < seconds < 1 else f"{seconds:g}s"
