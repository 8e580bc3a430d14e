"""Policy `always_sample`: every trace is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.kernel.names import ALWAYS
from gateway.otlp.facts import Facts, Interval
from sampler.policy import Test, Verdict


@dataclass(frozen=True, slots=True)
class AlwaysSample:
    """Keeps everything; takes no parameters."""

    name: str

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """None."""
        return ()

    def vote(self, facts: Facts, trace_id: bytes) -> Verdict:
        """Keep."""
        return Verdict.KEEP

    def test(self, marks: Sequence[Interval]) -> Test:
        """The same for the kernel."""
        return ALWAYS, 0, 0
