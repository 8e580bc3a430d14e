"""Undecided traces: what is waiting, when each is due, what all of it costs, and who of them is kept.

How they are stored is the kernel's (gateway.kernel.traces): bytes in an arena, a few dozen bytes of state a trace. Here time
becomes buckets, and policies become the kernel's program. Nothing here evicts or refuses by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from gateway import kernel, limits
from gateway.kernel.names import Added, Kept
from sampler.policy import Policy, marks_of

BUCKET = 0.05  # seconds; traces due within one bucket are decided together, at its end
assert 2 * BUCKET <= limits.DECISION_SLACK, "half of the slack is left for the shell's timer"

SPAN_BYTES = 28  # a span id and, at worst, the head of a fragment of its own
_LAST_BUCKET = 2**62


class Found(NamedTuple):
    """What a request holds: valid spans, rejected ones, what was wrong with the first of those, and the bytes of its envelopes,
    a resource counted for each scope in it: so often it is repeated when a trace with a span in every scope is kept."""

    spans: int
    rejected: int
    reason: str
    envelope_bytes: int


class Decided(NamedTuple):
    """Traces that were decided and are not in the buffer any more. `kept_by` counts them by the index of their policy."""

    traces: int
    spans_dropped: int
    kept: list[Kept]
    kept_by: list[int]


class Buffer:
    """All undecided traces of a sampler, and the policies in force.

    The caller keeps `held` under `bytes_max` and the number of traces under `traces_max`. `seed` makes hashes unforeseeable.
    """

    def __init__(
        self, decision_wait: float, policies: Sequence[Policy], *, bytes_max: int, traces_max: int, seed: int = 0
    ) -> None:
        marks = marks_of(policies)
        self._wait = decision_wait
        self._policies = len(policies)
        self._program = kernel.chosen.Program([policy.test(marks) for policy in policies])
        self._spans = kernel.chosen.Spans(facts=True)
        self._traces = kernel.chosen.Traces(
            self._spans, bytes_max=bytes_max, traces_max=traces_max, intervals=list(marks), seed=seed
        )

    def __len__(self) -> int:
        """How many traces."""
        return len(self._traces)

    @property
    def held(self) -> int:
        """Bytes that they take, bookkeeping included."""
        return self._traces.held[1]

    @property
    def spans(self) -> int:
        """How many spans they have."""
        return self._traces.held[0]

    def read(self, request: bytes) -> Found:
        """Look through a request that may be added next. Raises MalformedRequestError."""
        self._spans.read(request)
        envelope_bytes = sum([len(resource) + len(scope) for resource, scope in self._spans.scopes()])
        return Found(*self._spans.found(), envelope_bytes)

    def cost_of(self, request_bytes: int, spans: int) -> int:
        """About what a request of so many spans will take, before it is known how many traces are in it."""
        return request_bytes + spans * SPAN_BYTES

    def add(self, request: bytes, now: float, past: Callable[[bytes], bool | None]) -> Added:
        """Take in the spans of the request that was just read.

        Spans of unknown traces are asked about: `past(trace_id)` is True for a kept one, False for one decided against (its
        spans are counted and forgotten), None for a new one. A span id the trace has already is left out and counted.
        """
        return self._traces.add(request, _bucket_after(now + self._wait), past)

    def decide_due(self, now: float, most: int, remember: Callable[[bytes, bool], None]) -> Decided:
        """Decide at most `most` of the traces whose time has come, earliest bucket first. None is early.

        `remember(trace_id, keep)` is told of every one.
        """
        return self._decide(_LAST_BUCKET if now == math.inf else _bucket_before(now), most, remember)

    def decide_oldest(self, remember: Callable[[bytes, bool], None]) -> Decided:
        """Decide the trace that is due first; among those of one bucket, the one that came first."""
        return self._decide(_LAST_BUCKET, 1, remember)

    def next_deadline(self) -> float | None:
        """When `decide_due` has something; None if the buffer is empty."""
        bucket = self._traces.first_bucket()
        return None if bucket is None else bucket * BUCKET

    def _decide(self, bucket_max: int, most: int, remember: Callable[[bytes, bool], None]) -> Decided:
        kept_by = [0] * self._policies
        traces, dropped, kept = self._traces.decide(self._program, bucket_max, most, remember, kept_by)
        return Decided(traces, dropped, kept, kept_by)


def _bucket_after(at: float) -> int:
    """The first bucket that ends at `at` or later."""
    number = math.ceil(at / BUCKET)
    while number * BUCKET < at:  # the division may have rounded down
        number += 1
    return number


def _bucket_before(at: float) -> int:
    """The last bucket that has ended at `at`."""
    number = math.floor(at / BUCKET) + 1
    while number * BUCKET > at:
        number -= 1
    return number
