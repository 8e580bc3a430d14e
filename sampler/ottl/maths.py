"""Arithmetic: 64-bit ints that wrap, floats, times and durations. Anything else fails."""

from __future__ import annotations

import operator
from collections.abc import Callable

from sampler.ottl.types import Duration, Fail, Getter, Row, Time, int64

_DURATION_MAX = (1 << 63) - 1

Step = tuple[str, Getter]
"""An operator (+ - * /) and what stands to its right."""


def calculate(symbol: str, left: object, right: object) -> object:
    """The result.

    Raises Fail for operands that have none.
    """
    if type(left) is int and type(right) is int:
        return _ints(symbol, left, right)
    kind, other = type(left), type(right)
    if kind in (int, float) and other in (int, float):
        return _floats(symbol, float(left), float(right))  # type: ignore[arg-type]
    if (symbol, kind, other) in _TIMES:
        return _TIMES[symbol, kind, other](left, right)
    raise Fail("numbers, or times and durations to add or subtract")


def _ints(symbol: str, left: int, right: int) -> int:
    if symbol == "/":
        return _divided(left, right)
    return int64(_PLAIN[symbol](left, right))


def _divided(left: int, right: int) -> int:
    """Towards zero, as machines do it."""
    if right == 0:
        raise Fail("a divisor other than 0")
    quotient = abs(left) // abs(right)
    return int64(quotient if (left < 0) == (right < 0) else -quotient)


def _floats(symbol: str, left: float, right: float) -> float:
    if symbol != "/":
        return float(_PLAIN[symbol](left, right))
    if right == 0:
        raise Fail("a divisor other than 0")
    return left / right


_PLAIN: dict[str, Callable[[float, float], int]] = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def _apart(left: int, right: int) -> Duration:
    """The time between two instants, the longest that there is if it is longer."""
    between = int(left) - int(right)
    return Duration(between if -_DURATION_MAX <= between <= _DURATION_MAX else _nearest(between))


def _nearest(between: int) -> int:
    return _DURATION_MAX if between > 0 else -_DURATION_MAX - 1


_TIMES: dict[tuple[str, type, type], Callable[..., object]] = {
    ("-", Time, Time): _apart,
    ("-", Time, Duration): lambda left, right: Time(left - right),
    ("+", Time, Duration): lambda left, right: Time(left + right),
    ("+", Duration, Time): lambda left, right: Time(left + right),
    ("+", Duration, Duration): lambda left, right: Duration(int64(left + right)),
    ("-", Duration, Duration): lambda left, right: Duration(int64(left - right)),
}


def negative(value: object) -> object:
    """The value with its sign changed.

    Raises Fail for what is no number.
    """
    if type(value) is int:
        return int64(-value)
    if type(value) is float:
        return -value
    raise Fail("a number")


def subtract(left: object, right: object) -> object:
    """calculate("-", ...), the sooner for what it is mostly used on: times and ints."""
    if type(left) is Time and type(right) is Time:
        return _apart(left, right)
    return calculate("-", left, right)


def chain(first: Getter, rest: tuple[Step, ...]) -> Getter:
    """A calculation of one or more steps, from left to right."""
    if len(rest) == 1:
        ((symbol, second),) = rest
        if symbol == "-":
            return lambda row: subtract(first(row), second(row))
        return lambda row: calculate(symbol, first(row), second(row))

    def get(row: Row) -> object:
        value = first(row)
        for symbol, operand in rest:
            value = calculate(symbol, value, operand(row))
        return value

    return get
