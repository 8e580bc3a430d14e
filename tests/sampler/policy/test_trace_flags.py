"""sampler.policy.trace_flags."""

from __future__ import annotations

import pytest

from gateway.kernel.names import MARKED, SPAN, Look, Node, Probe
from sampler.policy.marks import NO, YES, Marks
from sampler.policy.trace_flags import IsFlagged, trace_flags


@pytest.mark.parametrize(
    ("flags", "answer"),
    [(0, NO), (1, YES), (3, YES), (2, NO), (0x0100, NO), (0x0301, YES), (0x80000000, NO)],
)
def test_only_the_lowest_bit_counts(flags: int, answer: int) -> None:
    """The W3C flag `sampled` is the lowest bit of the low byte."""
    assert IsFlagged()((flags.to_bytes(4, "little"),)) == answer


@pytest.mark.parametrize("raw", [None, b"", b"\x01"])
def test_flags_that_are_not_there_are_not_set(raw: bytes | None) -> None:
    """A span without flags, or with a field of another kind in their place, is not flagged."""
    assert IsFlagged()((raw,)) == NO


def test_one_span_is_enough() -> None:
    """The policy is a mark that any span sets."""
    marks = Marks()
    assert trace_flags(marks) == Node(MARKED, 0)
    (probe,) = marks.plan().probes
    assert isinstance(probe, Probe) and probe.looks == (Look(SPAN, 16),)
    assert probe.judge((b"\x01\0\0\0",)) == 1
