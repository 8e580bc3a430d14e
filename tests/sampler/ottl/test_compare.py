"""sampler.ottl.compare: the rules of comparison, one by one and as laws."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.ottl import compare
from sampler.ottl.compare import FLIPPED, OPERATORS
from sampler.ottl.types import Blob, Duration, Map, Opaque, Time, Words

SYMBOLS = tuple(OPERATORS)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.binary(max_size=3),
    st.binary(max_size=3).map(Blob),
    st.integers(-5, 5).map(Time),
    st.integers(-5, 5).map(Duration),
    st.builds(Opaque, st.sampled_from(["span id", "status"]), st.binary(max_size=2)),
)
VALUES = st.one_of(
    SCALARS, st.lists(SCALARS, max_size=3), st.lists(SCALARS, max_size=3).map(tuple), st.just(Words([b"a"]))
)


def holding(left: object, right: object) -> set[str]:
    return {symbol for symbol in SYMBOLS if compare.compare(symbol, left, right)}


EQUAL, LESS, MORE = {"==", "<=", ">="}, {"!=", "<", "<="}, {"!=", ">", ">="}
UNLIKE, SAME, OTHER = {"!="}, {"=="}, {"!="}


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (None, None, EQUAL),
        (None, 0, UNLIKE),
        (b"", None, UNLIKE),
        (Blob(b""), None, EQUAL),
        (Blob(b"\1"), Blob(b"\2"), LESS),
        (1, 1.0, EQUAL),
        (1, 1.5, LESS),
        (2**53 + 1, float(2**53), EQUAL),
        (2**53 + 1, 2**53, MORE),
        (1.0, math.nan, UNLIKE),
        (1, True, UNLIKE),
        (False, True, LESS),
        (b"b", b"a", MORE),
        (b"1", 1, UNLIKE),
        (b"a", Blob(b"a"), UNLIKE),
        (Time(1), Time(2), LESS),
        (Duration(3), Duration(3), EQUAL),
        (Duration(3), 3, UNLIKE),
        (Time(3), Duration(3), UNLIKE),
        (Opaque("span id", b"a"), Opaque("span id", b"a"), SAME),
        (Opaque("span id", b"a"), Opaque("trace id", b"a"), OTHER),
        (Opaque("span id", b"a"), Blob(b"a"), OTHER),
        ((1, b"a"), (1, b"a"), SAME),
        ((1, 2), (1,), OTHER),
        ((1,), (1.0,), OTHER),
        ((1, (2,)), [1, [2]], SAME),
        ((1, (2,)), [1, (2,)], OTHER),
        ([1, None], [1, None], SAME),
        ((Map([(b"a", 1)]),), [Map([(b"a", 1)])], OTHER),
        ([Map([(b"a", 1)])], [Map([(b"a", 1)])], SAME),
        (Map([(b"a", 1), (b"b", ())]), Map([(b"b", ()), (b"a", 1)]), SAME),
        (Map([(b"a", 1)]), Map([(b"a", 1.0)]), OTHER),
        (Map([(b"a", None)]), Map([(b"b", None)]), OTHER),
        (Map([(b"a", Map([]))]), Map([(b"a", Map([]))]), SAME),
        (Map([]), (), OTHER),
        (Words([b"a"]), Words([b"a"]), OTHER),
        (Words([b"a"]), [b"a"], OTHER),
    ],
)
def test_rules(left: object, right: object, expected: set[str]) -> None:
    """Which of the six comparisons hold: numbers with numbers, kinds with themselves, nil with nil; order only of scalars."""
    assert holding(left, right) == expected


@given(VALUES, VALUES)
def test_sides_can_change_places(left: object, right: object) -> None:
    """a < b is b > a, for any two values: this is how a constant on the left is compared."""
    assert {FLIPPED[symbol] for symbol in holding(left, right)} == holding(right, left)


@given(VALUES, VALUES)
def test_equal_and_unequal_are_contraries(left: object, right: object) -> None:
    """Of == and != always one holds, and never both."""
    assert len(holding(left, right) & {"==", "!="}) == 1


@given(VALUES, VALUES, st.sampled_from(SYMBOLS))
def test_comparisons_with_constants_are_comparisons(value: object, constant: object, symbol: str) -> None:
    """The short ways with a constant, and those without one, answer as compare() does."""
    expected = compare.compare(symbol, value, constant)
    assert compare.with_constant(symbol, lambda row: value, constant)(()) is expected
    assert compare.of_both(symbol, lambda row: value, lambda row: constant)(()) is expected
