"""Consistent probability sampling, said as plainly as possible: whom the policies of a mix keep, and at which threshold.

A model beside the sampler: where the two estimate differently, one of them is wrong. Knows the few policy types that the mixes
of bench.probability use, and no bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from bench.population import Trace
from gateway.config.settings import PolicySettings
from sampler.tracestate import NEVER, threshold_of

WINDOW = 0.1  # seconds; traces due within are decided together
LIMITERS = ("rate_limiting",)
_threshold_of = cache(threshold_of)  # asked for every trace

Vote = int | None
"""The threshold at which a policy keeps a trace; None where it does not."""


class Bucket:
    """Tokens of one limiter."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate, self.burst = rate, burst
        self.tokens, self._at = burst, 0.0

    def refill(self, now: float) -> None:
        """As many as there are at `now`."""
        self.tokens = min(self.burst, self.tokens + (now - self._at) * self._rate)
        self._at = now


class Model:
    """All policies of a mix."""

    def __init__(self, policies: Sequence[PolicySettings]) -> None:
        self._policies = policies
        self._buckets: dict[PolicySettings, Bucket] = {}

    def run(self, arrivals: Iterator[Trace]) -> Iterator[tuple[Trace, int]]:
        """Whom it keeps of these, each with its threshold."""
        due: list[Trace] = []
        end = WINDOW
        for trace in arrivals:
            while trace.at >= end:
                yield from self._decide(due, end)
                due, end = [], end + WINDOW
            due.append(trace)
        yield from self._decide(due, end)

    def _decide(self, due: list[Trace], now: float) -> Iterator[tuple[Trace, int]]:
        said = [self._votes(policy, due, now) for policy in self._policies]
        for trace, votes in zip(due, zip(*said, strict=True), strict=True):
            keeping = [vote for vote in votes if vote is not None]
            if keeping:
                yield trace, min(keeping)

    def _votes(self, policy: PolicySettings, due: list[Trace], now: float) -> list[Vote]:
        """One a trace."""
        values: dict[str, Any] = dict(policy.values)
        if policy.type == "and":
            return self._all_of(values["and_sub_policy"], due, now)
        if policy.type in LIMITERS:
            return self._within(policy, values, due, now)
        return [_vote(policy.type, values, trace) for trace in due]

    def _all_of(self, parts: Sequence[PolicySettings], due: list[Trace], now: float) -> list[Vote]:
        """Those that every part keeps, at the largest threshold; limiters are asked last, about those that are left."""
        left = list(range(len(due)))
        votes: list[Vote] = [0] * len(due)
        for part in sorted(parts, key=lambda part: part.type in LIMITERS):
            found = self._votes(part, [due[i] for i in left], now)
            for i, vote in zip(left, found, strict=True):
                votes[i] = None if vote is None else max(vote, votes[i] or 0)
            left = [i for i in left if votes[i] is not None]
        return votes

    def _within(self, policy: PolicySettings, values: dict[str, Any], due: list[Trace], now: float) -> list[Vote]:
        """Falling randomness, as far as the tokens go; the cut-off lies just above the first that found none.

        A trace larger than the burst never passes, and stops nobody else.
        """
        rate = values["spans_per_second"]
        bucket = self._buckets.setdefault(policy, Bucket(rate, values.get("burst_capacity") or 2 * rate))
        bucket.refill(now)
        cut_off = 0
        fitting = [trace for trace in due if trace.shape.size <= bucket.burst]
        for trace in sorted(fitting, key=lambda trace: trace.randomness, reverse=True):
            if trace.shape.size > bucket.tokens:
                cut_off = trace.randomness + 1
                break
            bucket.tokens -= trace.shape.size
        return [cut_off if trace.randomness >= cut_off and trace.shape.size <= bucket.burst else None for trace in due]


def _vote(type_: str, values: dict[str, Any], trace: Trace) -> Vote:
    """What a policy that looks at one trace alone says of it."""
    match type_:
        case "probabilistic":
            threshold = _threshold_of(values["sampling_percentage"])
            return threshold if threshold < NEVER and trace.randomness >= threshold else None
        case "status_code":
            kept = trace.shape.error
        case "latency":
            kept = trace.shape.duration_ms > values["threshold_ms"]
        case "string_attribute":
            kept = any(service in values["values"] for service in trace.shape.spans)
        case _:
            raise ValueError(f"the model knows no policy of type {type_}")
    return 0 if kept else None
