"""sampler.late."""

from __future__ import annotations

from sampler.late import LateCounts


def test_late_spans_are_counted_by_trace() -> None:
    """Late spans of a trace add up; of one that had none, or is not known, there are 0."""
    counts = LateCounts(10)
    counts.add(b"a", 2)
    counts.add(b"b", 5)
    counts.add(b"a", 1)
    assert (counts.of(b"a"), counts.of(b"b"), counts.of(b"c")) == (3, 5, 0)


def test_the_trace_whose_last_late_span_is_oldest_is_forgotten_first() -> None:
    """Beyond the bound the counts of traces go in the order of their last late spans."""
    counts = LateCounts(2)
    for trace in (b"a", b"b", b"a", b"c"):
        counts.add(trace, 1)
    assert (counts.of(b"a"), counts.of(b"b"), counts.of(b"c")) == (2, 0, 1)
    counts.add(b"b", 1)
    assert (counts.of(b"a"), counts.of(b"b"), counts.of(b"c")) == (0, 1, 1)
