"""Undecided traces: what is waiting, when each is due, what all of it costs, and who of them is kept.

How they are stored is the kernel's (gateway.kernel.traces): bytes in an arena, a few dozen bytes of state a trace. Here time
becomes buckets, and settings become the kernel's programs. Nothing here evicts or refuses by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from gateway import kernel, limits
from gateway.config.settings import TailSampling
from gateway.kernel.journal import Journal
from gateway.kernel.names import DUE, SHUTDOWN, Added, Kept
from sampler.policy import Built
from sampler.randomness import randomness_of_request

BUCKET = 0.05  # seconds; traces due within one bucket are decided together, at its end
assert 2 * BUCKET <= limits.DECISION_SLACK, "half of the slack is left for the shell's timer"

SPAN_BYTES = 28  # a span id and, at worst, the head of a fragment of its own
_LAST_BUCKET = 2**62

Remember = Callable[[bytes, bool, int], None]
"""Is told of every decision: (trace id, whether it is kept, a note: see Note)."""


class Note(NamedTuple):
    """What is remembered of a decision beside keep or drop: the index of the deciding policy (-1: none), and when, roughly."""

    policy: int
    decided_at: float

    @staticmethod
    def stamp(now: float) -> int:
        """The note of now and no policy; the kernel adds the policy."""
        return (int(now * _NOTE_TICKS) & _NOTE_TIME) << _NOTE_POLICY_BITS

    @classmethod
    def read(cls, note: int, now: float) -> Note:
        """A note read at `now`; times are told apart within five days."""
        ago = (int(now * _NOTE_TICKS) - (note >> _NOTE_POLICY_BITS)) & _NOTE_TIME
        return cls((note & _NOTE_POLICY) - 1, now - ago / _NOTE_TICKS)


_NOTE_TICKS = 10  # a second
_NOTE_POLICY_BITS = 10
_NOTE_POLICY = (1 << _NOTE_POLICY_BITS) - 1
_NOTE_TIME = (1 << 32 - _NOTE_POLICY_BITS) - 1
assert limits.POLICIES_MAX < _NOTE_POLICY


class Found(NamedTuple):
    """What a request holds: valid spans, rejected ones, what was wrong with the first of those, and the bytes of its envelopes,
    a resource counted for each scope in it: so often it is repeated when a trace with a span in every scope is kept."""

    spans: int
    rejected: int
    reason: str
    envelope_bytes: int


class Waiting(NamedTuple):
    """An undecided trace: its spans and bytes so far, and when it is due."""

    spans: int
    bytes: int
    due_at: float


class Decided(NamedTuple):
    """Traces that were decided and are not in the buffer any more."""

    traces: int
    spans_dropped: int
    kept: list[Kept]


class Buffer:
    """All undecided traces of a sampler, and the policies in force. Every decision is written into `journal`.

    The caller keeps `held` under `bytes_max` and the number of traces under the settings'. `seed` makes hashes unforeseeable.
    """

    def __init__(
        self, settings: TailSampling, built: Built, journal: Journal, *, bytes_max: int, seed: int = 0
    ) -> None:
        chosen = kernel.chosen
        self._wait = settings.decision_wait
        self._wait_after_root = settings.decision_wait_after_root_received
        self._program = chosen.Program([policy.node for policy in built.policies], built.rules, journal)
        self._spans = chosen.Spans(facts=True)
        self._matcher = chosen.Matcher(built.plan) if built.plan.probes else None
        self._settles = bool(built.rules.ingest or settings.maximum_trace_size_bytes)
        self._traces = chosen.Traces(
            self._spans,
            bytes_max=bytes_max,
            plan=built.plan,
            matcher=self._matcher,
            trace_bytes_max=settings.maximum_trace_size_bytes,
            eager=bool(built.rules.ingest),
            seed=seed,
        )
        self._traces.join(self._program)

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

    @property
    def votes(self) -> list[list[int]]:
        """By policy: on how many traces it voted what, in the order of the votes (gateway.kernel.names)."""
        return self._program.counts()

    def dropped_by(self, policy: int) -> int:
        """How many traces this policy has dropped so far."""
        return self._program.dropped(policy)

    def look(self, trace_id: bytes) -> Waiting | None:
        """An undecided trace; None if there is none with this id."""
        found = self._traces.look(trace_id)
        return found and Waiting(found[0], found[1], found[2] * BUCKET)

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
        if self._matcher is not None:
            self._matcher.read(request, self._spans)
        early = _bucket_after(now + self._wait_after_root) if self._wait_after_root else 0
        return self._traces.add(request, _bucket_after(now + self._wait), past, early)

    def settle(self, now: float, remember: Remember) -> Decided | None:
        """Decide what the request just added has settled: traces too large, and with span-ingest those that need not wait."""
        return Decided(*self._traces.settle(self._program, remember, now, Note.stamp(now))) if self._settles else None

    def decide_due(self, due_at: float, now: float, most: int, remember: Remember, cause: int = DUE) -> Decided:
        """Decide at most `most` of the traces whose time has come at `due_at`, earliest bucket first. None is early."""
        return self._decide(_LAST_BUCKET if due_at == math.inf else _bucket_before(due_at), now, most, remember, cause)

    def decide_oldest(self, now: float, remember: Remember, cause: int) -> Decided:
        """Decide the trace that is due first; among those of one bucket, the one that came first."""
        return self._decide(_LAST_BUCKET, now, 1, remember, cause)

    def drop(self, most: int, remember: Remember, now: float) -> Decided:
        """Decide against at most `most` traces, asking nobody."""
        stamp = Note.stamp(now)
        return Decided(
            *self._traces.decide(self._program, _LAST_BUCKET, most, remember, now, SHUTDOWN, stamp, drop=True)
        )

    def next_deadline(self) -> float | None:
        """When `decide_due` has something; None if the buffer is empty."""
        bucket = self._traces.first_bucket()
        return None if bucket is None else bucket * BUCKET

    def _decide(self, bucket_max: int, now: float, most: int, remember: Remember, cause: int) -> Decided:
        stamp = Note.stamp(now)
        return Decided(
            *self._traces.decide(
                self._program, bucket_max, most, remember, now, cause, stamp, randomness=randomness_of_request
            )
        )


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
