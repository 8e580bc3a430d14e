"""Facts: the few numbers that policies ask of a trace. The kernel (gateway.kernel.traces) folds them from span bytes."""

from __future__ import annotations

from typing import NamedTuple

Interval = tuple[int, int]
"""Milliseconds: above the first, up to and including the second."""


class Facts(NamedTuple):
    """The aggregate of one trace. Instants are unix nanoseconds, durations nanoseconds.

    `duration_max` is the longest end_max - start_min seen after any span: what a latency policy without an upper bound asks.
    `inside` has the intervals that the trace's duration so far lay in after any span: what one with an upper bound asks
    (Collector parity). Bit N of `statuses` is set when a span has status code N (0 unset, 1 ok, 2 error).
    """

    span_count: int = 0
    start_min: int = 0
    end_max: int = 0
    duration_max: int = 0
    statuses: int = 0
    inside: frozenset[Interval] = frozenset()
