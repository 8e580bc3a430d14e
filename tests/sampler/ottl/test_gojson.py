"""sampler.ottl.gojson: texts of values, as a Collector was seen to write them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.ottl.gojson import json as written
from sampler.ottl.gojson import number, text_of, text_of_item
from sampler.ottl.types import Blob, Duration, Fail, Map, Opaque, Time, Words


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"as it is <", "as it is <"),
        (Blob(b"\x01\xff"), "01ff"),
        (True, "true"),
        (-7, "-7"),
        (42.0, "42"),
        (Duration(1500), "1500"),
        (Time(1_700_000_000_120_000_000), '"2023-11-14T22:13:20.12Z"'),
        (Time(-5_000_000_000), '"1969-12-31T23:59:55Z"'),
        (Time(-62135596800 * 10**9), '"0001-01-01T00:00:00Z"'),
        ((b"a<", None, Blob(b"\1"), (1,)), '["a\\u003c",null,"AQ==",[1]]'),
        (Words([b"a", b"b"]), '["a","b"]'),
        (Map([(b"b", 1), (b"a", 2.5), (b"b", 3)]), '{"a":2.5,"b":3}'),
        ([Map([]), (1,), [2]], "[{},{},[2]]"),
        (Opaque("span id", b"\1\2"), "[1,2]"),
        (Opaque("status", b"\1\2"), "{}"),
        (Opaque("events", b"", 3), "{}"),
    ],
)
def test_texts(value: object, text: str) -> None:
    """Strings as they are, bytes in hexadecimal, everything else in JSON with the keys in order."""
    assert text_of(value) == text.encode()


def test_items_of_arrays_differ() -> None:
    """There nil is empty and bytes are base64."""
    assert [text_of_item(value) for value in (None, Blob(b"\1"), b"x", 1)] == [b"", b"AQ==", b"x", b"1"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1e-6, "0.000001"),
        (9.99e-7, "9.99e-07"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (123456789012345678901.0, "123456789012345680000"),
        (5e-324, "5e-324"),
        (-0.0, "-0"),
        (0.1, "0.1"),
    ],
)
def test_floats(value: float, text: str) -> None:
    """The shortest digits, with an exponent only for what is very large or very small."""
    assert number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back_as_themselves(value: float) -> None:
    """No digit that counts is lost."""
    assert float(number(value)) == value


@given(st.text())
def test_strings_are_valid_json(text: str) -> None:
    """Whatever signs are in them, and none of those that HTML reads."""
    made = written(text.encode())
    assert json.loads(made) == text
    assert not set(made[1:-1]) & set("<>&\u2028\u2029")


@pytest.mark.parametrize("value", [math.nan, math.inf, (1, -math.inf), Time(10**21), Time(-(10**21))])
def test_what_has_no_text(value: object) -> None:
    """Floats that are not finite, and times beyond the years that have four digits."""
    with pytest.raises(Fail):
        text_of(value)
