"""Policy `latency`: a trace is kept when it took longer than a threshold, and no longer than an upper one if there is one."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.otlp.facts import Facts
from sampler.policy import Needs, Verdict

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
    def needs(self) -> Needs:
        """The running durations, when there is an upper bound."""
        return Needs(prefixes=self.upper_threshold_ms != 0)

    def vote(self, facts: Facts, trace_id: bytes) -> Verdict:
        """Keep when the duration lies inside the bounds."""
        if self.upper_threshold_ms == 0:
            return Verdict.KEEP if facts.duration_max // _MS > self.threshold_ms else Verdict.NO
        assert facts.durations is not None, "the buffer folds what the policies need"
        inside = any(self.threshold_ms < duration // _MS <= self.upper_threshold_ms for duration in facts.durations)
        return Verdict.KEEP if inside else Verdict.NO
