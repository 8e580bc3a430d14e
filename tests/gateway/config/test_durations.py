"""gateway.config.durations"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import PydanticCustomError

from gateway.config.durations import Duration, duration_text


def refusal(kind: Duration, value: object) -> str:
    with pytest.raises(PydanticCustomError) as caught:
        kind.validate(value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10),
        ("1h30m", 5400),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("1.s", 1),
        ("100ms", 0.1),
        ("1us", 1e-6),
        ("1µs", 1e-6),
        ("1μs", 1e-6),
        ("1ns", 1e-9),
        ("0", 0),
        ("0s", 0),
        ("+5s", 5),
        ("1m1m", 120),
        (0, 0),
    ],
)
def test_durations_are_gos(text: object, seconds: float) -> None:
    """What Go's ParseDuration takes is taken, exact to the nearest float."""
    assert Duration().validate(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "10", "10 s", "1d", "1h-5m", "1,5s", "٣s", "1e3s", "+", "." * 60 + "s", "9" * 100 + "s"]
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    """Anything else is a mistake that shows the form."""
    assert "such as 10s" in refusal(Duration(), text)


def test_a_number_needs_a_unit() -> None:
    """A bare number is refused, with the reason, whether it is in quotes or not."""
    for value in (10, 1.5, "10"):
        assert refusal(Duration(), value).startswith("a duration needs a unit")
    assert refusal(Duration(), True) == "expected a duration such as 10s, 1.5s or 1h30m, got true"


def test_bounds_are_told_as_durations() -> None:
    """A duration out of bounds is refused in its own words."""
    assert refusal(Duration(), "-5s") == 'a duration cannot be negative, got "-5s"'
    assert refusal(Duration(above=0), "0s") == 'must be above 0s, got "0s"'
    assert refusal(Duration(min=1), "10ms") == 'must be at least 1s, got "10ms"'
    assert refusal(Duration(max=60), "2m") == 'must be at most 1m, got "2m"'
    assert refusal(Duration(), "9999999h").startswith("must be at most 8784h")


@given(st.integers(1, 10**7))
def test_durations_are_written_as_they_are_read(milliseconds: int) -> None:
    """The text of a duration reads back as the same duration."""
    seconds = milliseconds / 1000
    assert Duration().validate(duration_text(seconds)) == pytest.approx(seconds, rel=1e-4)
