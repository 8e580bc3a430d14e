"""sampler.ottl.clock: durations and instants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.ottl import clock
from sampler.ottl.types import Duration, Fail, Time

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("0", 0),
        ("1s", SECOND),
        ("1h15m30.918s", 4530_918_000_000),
        ("-1.5h", -5400 * SECOND),
        ("+.5s", SECOND // 2),
        ("1.s", SECOND),
        ("1µs2μs3us", 6000),
        ("100ms1ns", 100_000_001),
        ("0.3333333333333333333333h", 1200 * SECOND),
        ("0.123456789012345678901234567890h", 444_444_440_444),
        ("2562047h47m16.854775807s", 2**63 - 1),
        ("-2562047h47m16.854775808s", -(2**63)),
    ],
)
def test_durations_are_read(text: str, nanoseconds: int) -> None:
    """Numbers with units one after the other, with a sign before them all."""
    assert clock.duration(text.encode()) == Duration(nanoseconds)


@pytest.mark.parametrize(
    "text",
    ["", "1", ".", "s", ".s", "1 s", "1d", "--1s", "1s-1s", "2562047h47m16.854775808s", "9" * 30 + "s", "1S", "\xff"],
)
def test_what_is_no_duration(text: str) -> None:
    """A unit is missing or unknown, or it is longer than 292 years."""
    with pytest.raises(Fail):
        clock.duration(text.encode())


@given(st.binary(max_size=12))
def test_any_text_is_a_duration_or_fails(text: bytes) -> None:
    """Nothing but Fail is raised."""
    try:
        assert abs(clock.duration(text)) <= 2**63
    except Fail as failed:
        assert str(failed)


def test_durations_in_units() -> None:
    """Whole units are counted towards zero; hours, minutes and seconds have fractions."""
    assert [clock.whole(10**6)(value) for value in (1_999_999, -1_999_999, 0)] == [1, -1, 0]
    assert clock.share(3600 * SECOND)(5400 * SECOND) == 1.5
    assert clock.share(SECOND)(-1_500_000_000) == -1.5


def test_instants_in_units() -> None:
    """Instants before 1970 are rounded down, and what does not fit in 64 bits comes out at the other end."""
    assert clock.since_1970(10**6)(Time(-1)) == -1
    assert clock.since_1970(1)(Time(2**63)) == -(2**63)
    assert clock.from_1970(2) == Time(2 * SECOND)
    assert clock.from_1970(-1, 5) == Time(5 - SECOND)
