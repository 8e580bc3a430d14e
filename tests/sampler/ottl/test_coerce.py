"""sampler.ottl.coerce: what functions accept, and what they make of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.ottl import coerce
from sampler.ottl.types import Blob, Duration, Fail, Map, Opaque, Time, Words

ALL: tuple[object, ...] = (
    *(
        None,
        True,
        1,
        1.5,
        b"1",
        Blob(b"\1"),
        Time(1),
        Duration(1),
        Words([b"a"]),
        Opaque("status", b""),
        Map([]),
        (1,),
        [1],
    ),
)


@pytest.mark.parametrize(
    ("made", "kinds"),
    [
        (coerce.string, {bytes}),
        (coerce.integer, {int}),
        (coerce.double, {float}),
        (coerce.boolean, {bool}),
        (coerce.time, {Time}),
        (coerce.duration, {Duration}),
        (coerce.mapping, {Map}),
        (coerce.sequence, {tuple, list, Words}),
        (coerce.int_like, {type(None), bool, int, float, bytes}),
        (coerce.float_like, {type(None), bool, int, float, bytes}),
        (coerce.bool_like, {type(None), bool, int, float, bytes}),
        (coerce.bytes_like, {type(None), bool, int, float, bytes, Blob}),
        (coerce.string_like, {type(value) for value in ALL}),
        (coerce.anything, {type(value) for value in ALL}),
    ],
)
def test_each_accepts_its_kinds_alone(made: Callable[[object], object], kinds: set[type]) -> None:
    """A bool is no int here, bytes are no string, and a time is no number."""
    accepted = set()
    for value in ALL:
        try:
            made(value)
            accepted.add(type(value))
        except Fail as failed:
            assert str(failed), "it says what it expected"
    assert accepted == kinds


def test_ints_of_other_values() -> None:
    """Fractions are cut off, texts are decimal, and what does not fit in 64 bits becomes the smallest int."""
    found = [coerce.int_like(value) for value in (None, True, 1.9, -1.9, b"-12", b"+5", math.nan, 1e300)]
    assert found == [None, 1, 1, -1, -12, 5, -(2**63), -(2**63)]


@pytest.mark.parametrize(
    "text", [b"", b" 1", b"1.0", b"0x10", b"1_0", b"9223372036854775808", b"\xd9\xa1", b"1" * 9000]
)
def test_texts_that_are_no_int(text: bytes) -> None:
    """Only decimal digits of at most 64 bits are an int."""
    with pytest.raises(Fail):
        coerce.int_like(text)


def test_floats_of_other_values() -> None:
    """Texts may be decimal, hexadecimal or infinite, with underscores between digits."""
    texts = (b"1.5e3", b".5", b"5.", b"-Infinity", b"1_0", b"0x1p-2", b"0x_1p0", b"+inf")
    assert [coerce.float_like(text) for text in texts] == [1500.0, 0.5, 5.0, -math.inf, 10.0, 0.25, 1.0, math.inf]
    assert math.isnan(coerce.float_of_text(b"NaN"))
    assert [coerce.float_like(value) for value in (None, True, 3)] == [None, 1.0, 3.0]


@pytest.mark.parametrize(
    "text", [b"", b".", b"1e", b"+nan", b"1e400", b"0x1", b"1__0", b"_1", b" 1", b"0x1p99999", b"0xp1"]
)
def test_texts_that_are_no_float(text: bytes) -> None:
    """One that is too large is none either."""
    with pytest.raises(Fail):
        coerce.float_like(text)


def test_bools_of_other_values() -> None:
    """A number is true unless it is 0; of texts there are six of each kind."""
    assert [coerce.bool_like(value) for value in (None, 0, 2, 0.0, b"T", b"false", b"1", b"FALSE")] == [
        *(None, False, True, False, True, False, True, False)
    ]
    with pytest.raises(Fail):
        coerce.bool_like(b"yes")


def test_bytes_of_other_values() -> None:
    """Numbers have eight, the highest first; nil has none."""
    found = [coerce.bytes_like(value) for value in (None, True, 1, 1.0, b"x", Blob(b"y"))]
    assert found == [b"", b"\1", bytes(7) + b"\1", b"\x3f\xf0" + bytes(6), b"x", b"y"]


@given(st.binary(max_size=30))
def test_any_text_is_converted_or_fails(text: bytes) -> None:
    """Nothing but Fail is raised."""
    for made in (coerce.int_like, coerce.float_like, coerce.bool_like):
        try:
            assert made(text) is not None
        except Fail:
            continue
