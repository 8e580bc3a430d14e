"""Policy `always_sample`: every trace is kept."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.otlp.facts import Facts
from sampler.policy import Needs, Verdict


@dataclass(frozen=True, slots=True)
class AlwaysSample:
    """Keeps everything; takes no parameters."""

    name: str

    @property
    def needs(self) -> Needs:
        """Nothing."""
        return Needs()

    def vote(self, facts: Facts, trace_id: bytes) -> Verdict:
        """Keep."""
        return Verdict.KEEP
