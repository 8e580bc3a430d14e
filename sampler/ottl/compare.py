"""How two values compare: by value within a kind, numbers of both kinds with each other.

Values of different kinds are unequal and in no order; nil equals only nil, and so does an empty value of type bytes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import cast

from sampler.ottl.types import Blob, Duration, Getter, Judge, Map, Opaque, Row, Time

Operator = Callable[[object, object], bool]
Items = list[object] | tuple[object, ...]

OPERATORS = cast(
    "dict[str, Operator]",
    {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge},
)
FLIPPED = {"==": "==", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
"""What the operator becomes when the sides change places."""

_ORDERED = (bool, bytes, Blob, Time, Duration)
_LISTS = (tuple, list)


def compare(symbol: str, left: object, right: object) -> bool:
    """Whether the comparison holds. Words can only be compared with other things: none of them are equal.

    The kinds of both sides must be those of sampler.ottl.types.
    """
    left, right = _nil(left), _nil(right)
    if left is None and right is None:
        return symbol in ("==", "<=", ">=")
    kind, other = type(left), type(right)
    if kind in (int, float) and other in (int, float):
        return OPERATORS[symbol](*_numbers(left, right))
    if kind is other and kind in _ORDERED:
        return OPERATORS[symbol](left, right)
    if symbol not in ("==", "!="):
        return False
    return _same(left, right) is (symbol == "==")


def _nil(value: object) -> object:
    return None if type(value) is Blob and not value else value


def _numbers(left: object, right: object) -> tuple[object, object]:
    """Both as floats where one of them is: the language loses the last bits of large ints there, and so must we."""
    if type(left) is type(right):
        return left, right
    return float(cast("int", left)), float(cast("int", right))


def _same(left: object, right: object) -> bool:
    if type(left) is Map and type(right) is Map:
        return same_maps(left, right)
    if type(left) in _LISTS and type(right) in _LISTS:
        return _same_lists(cast("Items", left), cast("Items", right))
    return type(left) is Opaque and type(right) is Opaque and left == right


def same_maps(left: Map, right: Map) -> bool:
    """Whether two maps have the same keys with the same values, in any order."""
    if len(left.pairs) != len(right.pairs):
        return False
    return all(right.has(key) and same_values(value, right.get(key)) for key, value in left.pairs)


def same_values(left: object, right: object) -> bool:
    """Whether two values inside of maps or arrays are the same, types included: 1 is not 1.0 there."""
    if type(left) is not type(right):
        return False
    if type(left) is Map and type(right) is Map:
        return same_maps(left, right)
    if type(left) in _LISTS:
        return _same_lists(cast("Items", left), cast("Items", right))
    return left == right


def _same_lists(left: Items, right: Items) -> bool:
    same = same_values if type(left) is type(right) else _same_outside
    return len(left) == len(right) and all(map(same, left, right))


def _same_outside(left: object, right: object) -> bool:
    """Of an item of the data and one of a list that the condition writes: maps, and arrays of the data in it, never match."""
    if type(left) in _LISTS and type(right) in _LISTS:
        return type(left) is not type(right) and _same_lists(cast("Items", left), cast("Items", right))
    return type(left) is not Map and same_values(left, right)


# ---------------------------------------------------------------- comparisons as closures


def with_constant(symbol: str, get: Getter, constant: object) -> Judge:
    """The comparison of what is got with a constant. The kinds that conditions are full of have their own short way."""
    test = OPERATORS[symbol]
    unlike = symbol == "!="
    if type(constant) in (bytes, bool, Time, Duration):
        return _with_like(test, get, constant, unlike)
    if type(constant) is int:
        return _with_int(test, get, constant, unlike)
    return lambda row: compare(symbol, get(row), constant)


def _with_like(test: Operator, get: Getter, constant: object, unlike: bool) -> Judge:
    kind = type(constant)

    def judge(row: Row) -> bool:
        value = get(row)
        return test(value, constant) if type(value) is kind else unlike

    return judge


def _with_int(test: Operator, get: Getter, constant: int, unlike: bool) -> Judge:
    as_float = float(constant)

    def judge(row: Row) -> bool:
        value = get(row)
        if type(value) is int:
            return test(value, constant)
        return test(value, as_float) if type(value) is float else unlike

    return judge


def of_both(symbol: str, left: Getter, right: Getter) -> Judge:
    """The comparison of two things that are got."""
    return lambda row: compare(symbol, left(row), right(row))
