"""sampler.policy.latency."""

from __future__ import annotations

import pytest

from gateway.kernel.names import LASTED, LONGER_THAN, MARKED, Node
from sampler.policy import BadPolicyError
from sampler.policy.latency import latency
from sampler.policy.marks import Marks


def test_a_threshold_is_held_against_the_longest_duration() -> None:
    """Without an upper bound the question is whether the trace was ever longer, which needs no mark."""
    marks = Marks()
    assert latency(marks, 5) == Node(LONGER_THAN, 5)
    assert latency(marks) == Node(LONGER_THAN, 0)
    assert marks.plan().marks == 0


def test_an_upper_bound_is_asked_after_every_span() -> None:
    """With an upper bound it is whether the trace ever lay inside: an interval, which equal policies share."""
    marks = Marks()
    assert latency(marks, 5, 10) == latency(marks, 5, 10) == Node(MARKED, 0)
    assert latency(marks, 5, -10) == Node(MARKED, 1)
    assert marks.plan().intervals == ((5, 10, 0), (5, -10, 1))


def test_a_negative_threshold_can_be_missed() -> None:
    """A trace that ends before it begins can be shorter than a threshold below 0."""
    marks = Marks()
    assert latency(marks, -1) == Node(MARKED, 0)
    assert marks.plan().intervals == ((-1, 2**63 - 1, 0),)


def test_strict_judges_the_whole_trace() -> None:
    """With strict semantics bounds are about how long the whole trace took; without an upper one that is the same question."""
    marks = Marks()
    assert latency(marks, 5, 10, strict=True) == Node(LASTED, 5, 10)
    assert latency(marks, 5, strict=True) == Node(LONGER_THAN, 5)
    assert marks.plan().marks == 0


@pytest.mark.parametrize(("key", "bounds"), [("threshold_ms", (-1, 5)), ("upper_threshold_ms", (1, -5))])
def test_strict_refuses_what_no_trace_is(key: str, bounds: tuple[int, int]) -> None:
    """With strict semantics a bound below 0 is a mistake."""
    with pytest.raises(BadPolicyError) as caught:
        latency(Marks(), *bounds, strict=True)
    assert caught.value.path == (key,)
