"""Policy `latency`: a trace is kept when it took longer than a threshold, and no longer than an upper one if there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.kernel.names import ALWAYS, LONGER_THAN, MARKED
from gateway.otlp.facts import Facts, Interval
from sampler.policy import Test, Verdict

_MS = 1_000_000  # nanoseconds


@dataclass(frozen=True, slots=True)
class Latency:
    """Thresholds in whole milliseconds; `upper_threshold_ms` of 0 means none.

    Durations are rounded down to milliseconds; the lower bound is exclusive, the upper one inclusive. With an upper bound
    the question is, as in the Collector, whether the trace lay inside the bounds after any of its spans in order of arrival:
    a trace that ends up too long is still kept if it once fitted.
    """

    name: str
    threshold_ms: int = 0
    upper_threshold_ms: int = 0

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The bounds, when there is an upper one."""
        return ((self.threshold_ms, self.upper_threshold_ms),) if self.upper_threshold_ms else ()

    def vote(self, facts: Facts, trace_id: bytes) -> Verdict:
        """Keep when the duration lies inside the bounds."""
        if self.upper_threshold_ms == 0:
            return Verdict.KEEP if facts.duration_max // _MS > self.threshold_ms else Verdict.NO
        return Verdict.KEEP if (self.threshold_ms, self.upper_threshold_ms) in facts.inside else Verdict.NO

    def test(self, marks: Sequence[Interval]) -> Test:
        """The same for the kernel."""
        if self.upper_threshold_ms:
            return MARKED, marks.index((self.threshold_ms, self.upper_threshold_ms)), 0
        if self.threshold_ms < 0:  # no trace is shorter
            return ALWAYS, 0, 0
        return LONGER_THAN, self.threshold_ms, 0
