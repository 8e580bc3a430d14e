"""sampler.ottl.types: the kinds of values."""

from __future__ import annotations

import pytest

from sampler.ottl.types import ABSENT, Blob, Duration, Map, Opaque, Time, Words, int64, name_of


def test_every_kind_has_a_name() -> None:
    """People are told "a duration", never a class."""
    values = [
        None,
        True,
        1,
        1.5,
        b"x",
        Blob(b"x"),
        Time(1),
        Duration(1),
        Words(),
        Opaque("status", b""),
        Map([]),
        (),
        [],
    ]
    assert [name_of(value) for value in values][:8] == [
        *("nil", "a bool", "an int", "a float", "a string", "bytes", "a time", "a duration")
    ]
    assert all(name_of(value) for value in values)


def test_of_two_equal_keys_the_first_counts() -> None:
    """But as a dictionary the last one does, as where the Collector makes one of a map."""
    pairs = Map([(b"a", 1), (b"a", 2), (b"n", None)])
    assert (pairs.get(b"a"), pairs.has(b"n"), pairs.has(b"x")) == (1, True, False)
    assert (pairs.get(b"n", ABSENT), pairs.get(b"x", ABSENT)) == (None, ABSENT)
    assert pairs.raw() == {b"a": 2, b"n": None}


@pytest.mark.parametrize(
    ("number", "wrapped"), [(2**63, -(2**63)), (-(2**63) - 1, 2**63 - 1), (5, 5), (-5, -5), (2**64, 0)]
)
def test_ints_have_64_bits(number: int, wrapped: int) -> None:
    """What is too large comes out at the other end."""
    assert int64(number) == wrapped
