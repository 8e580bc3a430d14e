"""sampler.policy.latency, over facts folded from real spans."""

from __future__ import annotations

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.kernel.names import ALWAYS, LONGER_THAN, MARKED
from gateway.otlp.facts import Facts
from sampler.policy import Verdict
from sampler.policy.latency import Latency
from tests.support.facts import facts_of


def facts(policy: Latency, *times_ns: tuple[int, int]) -> Facts:
    spans = [Span(start_time_unix_nano=start, end_time_unix_nano=end) for start, end in times_ns]
    return facts_of(spans, policy.intervals)


MS = 1_000_000


@pytest.mark.parametrize(
    ("policy", "times", "expected"),
    [
        (Latency("l", 5), [(MS, 6 * MS)], Verdict.NO),  # equal
        (Latency("l", 5), [(MS, 7 * MS - 1)], Verdict.NO),  # 5.99 ms count as 5
        (Latency("l", 5), [(MS, 7 * MS)], Verdict.KEEP),
        (Latency("l", 5), [(1 * MS, 4 * MS), (3 * MS, 7 * MS)], Verdict.KEEP),  # only together
        (Latency("l", 5), [(0, 3 * MS), (2 * MS, 4 * MS)], Verdict.NO),  # the second span replaces the unset start
        (Latency("l", 5, 10), [(MS, 6 * MS)], Verdict.NO),
        (Latency("l", 5, 10), [(MS, 11 * MS)], Verdict.KEEP),  # the upper bound is inclusive
        (Latency("l", 5, 10), [(MS, 12 * MS - 1)], Verdict.KEEP),
        (Latency("l", 5, 10), [(MS, 12 * MS)], Verdict.NO),
        (Latency("l", 5, 10), [(MS, 7 * MS), (MS, 100 * MS)], Verdict.KEEP),  # it fitted once
        (Latency("l", 5, 10), [(MS, 100 * MS), (MS, 7 * MS)], Verdict.NO),
        (Latency("l", 5, 10), [(20 * MS, 13 * MS)], Verdict.NO),  # it ended before it began
        (Latency("l", -9, -7), [(20 * MS, 13 * MS + 1)], Verdict.NO),  # -6.99 ms count as -6
        (Latency("l", -9, -6), [(20 * MS, 13 * MS + 1)], Verdict.KEEP),
        (Latency("l", -1), [(20 * MS, 13 * MS)], Verdict.KEEP),
        (Latency("l"), [], Verdict.NO),
    ],
)
def test_bounds(policy: Latency, times: list[tuple[int, int]], expected: Verdict) -> None:
    """The lower bound is exclusive, the upper one inclusive and asked after each span; milliseconds are rounded down."""
    assert policy.vote(facts(policy, *times), bytes(16)) is expected


def test_only_an_upper_bound_needs_a_mark() -> None:
    """Without an upper bound the longest duration is asked; with one, whether the trace was ever inside."""
    marks = ((1, 2), (5, 10))
    assert Latency("l", 5).intervals == () and Latency("l", 5).test(marks) == (LONGER_THAN, 5, 0)
    assert Latency("l", 5, 10).intervals == ((5, 10),) and Latency("l", 5, 10).test(marks) == (MARKED, 1, 0)


def test_no_trace_is_shorter_than_nothing() -> None:
    """Below a threshold under 0 there is no trace."""
    assert Latency("l", -1).test(()) == (ALWAYS, 0, 0)
