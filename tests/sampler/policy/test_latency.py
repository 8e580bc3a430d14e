"""sampler.policy.latency, over facts folded from real spans."""

from __future__ import annotations

import pytest

from gateway.otlp.facts import Facts, fold
from sampler.policy import Needs, Verdict
from sampler.policy.latency import Latency
from tests.support.spans import span


def facts(*times_ns: tuple[int, int]) -> Facts:
    made = Facts(prefixes=True)
    for start, end in times_ns:
        each = span("A", 1)
        each.start_time_unix_nano, each.end_time_unix_nano = start, end
        body = each.SerializeToString()
        fold(made, body, 0, len(body))
    return made


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
        (Latency("l"), [], Verdict.NO),
    ],
)
def test_bounds(policy: Latency, times: list[tuple[int, int]], expected: Verdict) -> None:
    """The lower bound is exclusive, the upper one inclusive and asked after each span; milliseconds are rounded down."""
    assert policy.vote(facts(*times), bytes(16)) is expected


def test_only_an_upper_bound_needs_the_running_durations() -> None:
    """Without an upper bound a trace's durations are not kept."""
    assert Latency("l", 5).needs == Needs()
    assert Latency("l", 5, 10).needs == Needs(prefixes=True)
