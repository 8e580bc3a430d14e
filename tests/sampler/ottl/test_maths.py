"""sampler.ottl.maths: arithmetic as the Collector does it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.ottl.maths import calculate, chain, negative, subtract
from sampler.ottl.types import Duration, Fail, Time

LARGEST = 2**63 - 1
INTS = st.integers(-(2**63), LARGEST)
VALUES = st.one_of(
    INTS,
    st.floats(),
    st.integers(-(2**64), 2**64).map(Time),
    INTS.map(Duration),
    st.none(),
    st.just(b"1"),
    st.booleans(),
)


@pytest.mark.parametrize(
    ("left", "symbol", "right", "result"),
    [
        (7, "+", 2, 9),
        (7, "/", 2, 3),
        (-7, "/", 2, -3),
        (7, "/", -2, -3),
        (-(2**63), "/", -1, -(2**63)),
        (LARGEST, "+", 1, -(2**63)),
        (LARGEST, "*", LARGEST, 1),
        (7, "/", 2.0, 3.5),
        (1.5, "*", 2, 3.0),
        (1e308, "*", 10, float("inf")),
        (Time(5), "-", Time(3), Duration(2)),
        (Time(2**64), "-", Time(-(2**64)), Duration(LARGEST)),
        (Time(-(2**64)), "-", Time(2**64), Duration(-(2**63))),
        (Time(5), "-", Duration(3), Time(2)),
        (Time(5), "+", Duration(3), Time(8)),
        (Duration(5), "+", Time(3), Time(8)),
        (Duration(LARGEST), "+", Duration(1), Duration(-(2**63))),
        (Duration(5), "-", Duration(8), Duration(-3)),
    ],
)
def test_operations(left: object, symbol: str, right: object, result: object) -> None:
    """Ints have 64 bits and divide towards zero; with a float they become floats; times and durations add and subtract."""
    found = calculate(symbol, left, right)
    assert (type(found), found) == (type(result), result)


@pytest.mark.parametrize(
    ("left", "symbol", "right"),
    [
        (1, "/", 0),
        (1.0, "/", 0),
        (1, "+", None),
        (b"a", "+", b"b"),
        (True, "+", 1),
        (Duration(1), "*", 2),
        (2, "*", Duration(1)),
        (Time(1), "+", Time(1)),
        (Duration(1), "-", Time(1)),
        (Time(1), "-", 1),
    ],
)
def test_what_has_no_result(left: object, symbol: str, right: object) -> None:
    """Division by zero, and whatever is no number, time or duration in its place, fails."""
    with pytest.raises(Fail):
        calculate(symbol, left, right)


def test_signs() -> None:
    """A number changes its sign; nothing else has one."""
    assert (negative(5), negative(1.5), negative(-(2**63))) == (-5, -1.5, -(2**63))
    for value in (None, b"1", True, Duration(1)):
        with pytest.raises(Fail):
            negative(value)


@given(VALUES, VALUES, st.sampled_from("+-*/"))
def test_nothing_but_fail_is_raised(left: object, right: object, symbol: str) -> None:
    """Any two values have a result of the kinds there are, or fail; subtract is the same as calculate."""
    try:
        expected = calculate(symbol, left, right)
    except Fail:
        return
    assert type(expected) in (int, float, Time, Duration)
    if symbol == "-" and expected == expected:
        assert subtract(left, right) == expected


def test_chains_go_from_left_to_right() -> None:
    """7 - 2 - 1 is 4, not 6; one step or several."""
    numbers = [lambda row, number=number: number for number in (7, 2, 1)]
    assert chain(numbers[0], (("-", numbers[1]), ("-", numbers[2])))(()) == 4
    assert chain(numbers[0], (("-", numbers[1]),))(()) == 5
    assert chain(numbers[0], (("*", numbers[1]),))(()) == 14
