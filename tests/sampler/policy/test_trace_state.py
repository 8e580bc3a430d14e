"""sampler.policy.trace_state."""

from __future__ import annotations

import pytest

from gateway.kernel.names import MARKED, SPAN, Look, Node
from sampler.policy.marks import NO, YES, Marks
from sampler.policy.negation import NEVER
from sampler.policy.trace_state import HasMember, trace_state


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b"a=1", YES),
        (b"x=y,a=2", YES),
        (b"a=3", NO),
        (b"b=1", NO),
        (b"", NO),
        (None, NO),
    ],
)
def test_the_value_under_the_key_is_looked_up(raw: bytes | None, answer: int) -> None:
    """A span matches when its tracestate has one of the values under the key."""
    assert HasMember(b"a", frozenset({b"1", b"2"}))((raw,)) == answer


def test_a_hostile_tracestate_takes_linear_time() -> None:
    """Neither blanks nor commas without end take longer than they are long."""
    member = HasMember(b"a", frozenset({b"1"}))
    assert member((b"a=1" + b" " * 500_000 + b"\x00",)) == NO
    assert member((b"," * 500_000,)) == NO


def test_one_span_is_enough() -> None:
    """The policy is a mark that any span sets, by its tracestate."""
    marks = Marks()
    assert trace_state(marks, "a", ("1", "", "2")) == Node(MARKED, 0)
    (probe,) = marks.plan().probes
    assert probe.looks == (Look(SPAN, 3),)
    assert (probe.judge((b"a=2",)), probe.judge((b"a=3",))) == (1, 0)


@pytest.mark.parametrize(("key", "values"), [("a", ()), ("a", ("",)), ("a", ("v" * 255,)), ("", ("v",))])
def test_what_no_tracestate_can_hold_is_not_looked_for(key: str, values: tuple[str, ...]) -> None:
    """Values that are empty, or longer than 255 bytes with their key, are ignored; without any left nothing matches."""
    marks = Marks()
    assert trace_state(marks, key, values) == NEVER and marks.plan().marks == 0


def test_what_just_fits_is() -> None:
    """Key and value together may be 255 bytes."""
    assert trace_state(Marks(), "a", ("v" * 254,)) == Node(MARKED, 0)
