"""Undecided traces: their bytes, their facts, when each is due, and what all of it costs.

Spans are stored as they came, in runs: spans of one trace that stood side by side in a request make one fragment, cut out of
the request so that it can be freed. Nothing here decides, evicts or refuses by itself: it says what it holds, and hands
traces out by deadline or oldest first. It knows past decisions only as a question it is given.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush

from gateway import limits
from gateway.otlp.facts import Facts, fold
from gateway.otlp.split import Envelope, Scope
from sampler.seen import ID_BYTES, NONE_SEEN, PACKED_MAX, SET_ID_BYTES, Seen, size_of, with_id

BUCKET = 0.05  # seconds; traces due within one bucket are decided together, at its end
assert 2 * BUCKET <= limits.DECISION_SLACK, "half of the slack is left for the shell's timer"

# What a trace costs beside its spans' bytes, in CPython 3.11 on 64 bits, allocator rounding included. Measured by
# tests/sampler/test_buffer.py with tracemalloc, where the buffer's own sum has to stay between 0.95 and 1.15 of what is taken.
TRACE_BYTES = 540
FRAGMENT_BYTES = 106  # the tuple (56), the bytes object's head (33) and its rounding, its place in the list
SPAN_BYTES = 4  # rounding; the ids are counted as they are kept (sampler.seen)
PREFIX_BYTES = 40  # one running duration
ENVELOPE_BYTES = 400  # two bytes objects, the tuple, the shared count and its entry


class Trace:
    """One undecided trace. `size` is what it costs, but for its span ids and spans' overhead."""

    __slots__ = ("decide_at", "facts", "fragments", "seen", "size")

    def __init__(self, decide_at: float, facts: Facts) -> None:
        self.decide_at = decide_at
        self.facts = facts
        self.fragments: list[tuple[Envelope, bytes]] = []
        self.seen: Seen = NONE_SEEN
        self.size = TRACE_BYTES


class _Shared:
    """An envelope and how many fragments stand in it."""

    __slots__ = ("envelope", "uses")

    def __init__(self, envelope: Envelope) -> None:
        self.envelope = envelope
        self.uses = 0


class Added:
    """What became of the spans of one request."""

    __slots__ = ("duplicates", "late", "late_dropped", "spans", "traces")

    def __init__(self) -> None:
        self.spans = 0  # taken in
        self.traces = 0  # new ones
        self.duplicates = 0
        self.late_dropped = 0
        self.late: dict[bytes, list[tuple[bytes, Envelope, bytes]]] = {}
        """Spans of kept traces, by trace id, in order: (span id, envelope, run)."""


class Buffer:
    """All undecided traces of a sampler."""

    def __init__(self, decision_wait: float, *, prefixes: bool = False) -> None:
        self._wait = decision_wait
        self._prefixes = prefixes
        self._span_bytes = SPAN_BYTES + PREFIX_BYTES * prefixes
        self._traces: dict[bytes, Trace] = {}
        self._due: dict[int, deque[bytes]] = {}  # by bucket number
        self._buckets: list[int] = []  # a heap of the keys of _due
        self._envelopes: dict[Envelope, _Shared] = {}
        self.bytes = 0
        self.spans = 0

    def __len__(self) -> int:
        """How many traces."""
        return len(self._traces)

    def cost_of(self, request_bytes: int, spans: int) -> int:
        """About what a request of so many spans will take, before it is known how many traces are in it."""
        return request_bytes + spans * self._span_bytes

    def add(self, request: bytes, scopes: list[Scope], now: float, past: Callable[[bytes], bool | None]) -> Added:
        """Take in the spans of a request. HOT: the inner loop runs once per span.

        Spans of unknown traces are asked about: `past(trace_id)` is True for a kept one, False for one decided against (its
        spans are counted and forgotten), None for a new one. A span id the trace has already is left out and counted.
        """
        added = Added()
        traces = self._traces
        cost = 0
        for envelope, spans in scopes:
            run: Trace | None = None
            run_start = run_stop = 0
            for trace_id, span_id, start, body, stop in spans:
                trace = traces.get(trace_id)
                if trace is None:
                    if (keep := past(trace_id)) is not None:
                        _late(added, keep, trace_id, span_id, envelope, request[start:stop])
                        continue
                    trace = self._open(trace_id, now)
                    added.traces += 1
                seen = with_id(trace.seen, span_id)
                if seen is None:
                    added.duplicates += 1
                    continue
                trace.seen = seen
                cost += ID_BYTES if isinstance(seen, bytes) else _grown(seen)
                fold(trace.facts, request, body, stop)
                added.spans += 1
                if trace is not run or start != run_stop:
                    if run is not None:
                        self._store(run, envelope, request[run_start:run_stop])
                    run, run_start = trace, start
                run_stop = stop
            if run is not None:
                self._store(run, envelope, request[run_start:run_stop])
        self.spans += added.spans
        self.bytes += cost + added.spans * self._span_bytes
        return added

    def take_due(self, now: float, most: float = math.inf) -> list[tuple[bytes, Trace]]:
        """Take out the traces whose time has come, at most so many, earliest bucket first. None is early."""
        taken: list[tuple[bytes, Trace]] = []
        while self._buckets and self._buckets[0] * BUCKET <= now and len(taken) < most:
            taken.append(self.take_oldest())
        return taken

    def take_oldest(self) -> tuple[bytes, Trace]:
        """Take out the trace that is due first; among those of one bucket, the one that came first."""
        number = self._buckets[0]
        trace_id = self._due[number].popleft()
        if not self._due[number]:
            del self._due[heappop(self._buckets)]
        return trace_id, self._release(trace_id)

    def take_all(self) -> list[tuple[bytes, Trace]]:
        """Take out everything, in the order in which it would have been due."""
        return self.take_due(math.inf)

    def next_deadline(self) -> float | None:
        """When `take_due` has something; None if the buffer is empty."""
        return self._buckets[0] * BUCKET if self._buckets else None

    def _open(self, trace_id: bytes, now: float) -> Trace:
        decide_at = now + self._wait
        number = math.ceil(decide_at / BUCKET)
        while number * BUCKET < decide_at:  # the division may have rounded down
            number += 1
        if number not in self._due:
            self._due[number] = deque()
            heappush(self._buckets, number)
        self._due[number].append(trace_id)
        trace = self._traces[trace_id] = Trace(decide_at, Facts(prefixes=self._prefixes))
        self.bytes += TRACE_BYTES
        return trace

    def _store(self, trace: Trace, envelope: Envelope, run: bytes) -> None:
        shared = self._envelopes.get(envelope)
        if shared is None:
            shared = self._envelopes[envelope] = _Shared(envelope)
            self.bytes += _envelope_cost(envelope)
        shared.uses += 1
        trace.fragments.append((shared.envelope, run))
        size = len(run) + FRAGMENT_BYTES
        trace.size += size
        self.bytes += size

    def _release(self, trace_id: bytes) -> Trace:
        trace = self._traces.pop(trace_id)
        for envelope, _ in trace.fragments:
            shared = self._envelopes[envelope]
            shared.uses -= 1
            if not shared.uses:
                del self._envelopes[envelope]
                self.bytes -= _envelope_cost(envelope)
        spans = trace.facts.span_count
        self.spans -= spans
        self.bytes -= trace.size + size_of(trace.seen) + spans * self._span_bytes
        return trace


def _late(added: Added, keep: bool, trace_id: bytes, span_id: bytes, envelope: Envelope, run: bytes) -> None:
    if keep:
        added.late.setdefault(trace_id, []).append((span_id, envelope, run))
    else:
        added.late_dropped += 1


def _grown(seen: set[bytes]) -> int:
    """What the last id added to a set cost; the id that made it a set pays for those before it."""
    return size_of(seen) - PACKED_MAX * ID_BYTES if len(seen) == PACKED_MAX + 1 else SET_ID_BYTES


def _envelope_cost(envelope: Envelope) -> int:
    return ENVELOPE_BYTES + len(envelope.resource) + len(envelope.scope)
