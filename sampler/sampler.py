"""The sampler's core: receive, buffer, decide each trace once, export what is kept. No clock, no socket, no log.

Memory is one budget for the undecided (buffer) and the undelivered (outboxes). Under pressure the oldest traces are decided
early, by the policies; when that can no longer help, requests are refused with a retryable answer before anything of them is
stored. A kept trace is never thrown away because an outbox is full: intake is refused instead. What was answered with
Accepted has been appended, and ends as exported, dropped or, when delivery is given up, counted lost.

Owns: which policies are in force, what the clients are told, the drain. How spans are read is gateway.otlp's subject, what
waits is the buffer's, what leaves is the exports'.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from gateway import kernel, limits, metrics
from gateway.config.settings import Batch, Exporter, TailSampling
from gateway.core import (
    Accepted,
    Action,
    Delivered,
    Draining,
    Event,
    Failed,
    Finished,
    Invalid,
    Level,
    Note,
    Outcome,
    Overloaded,
    ReadView,
    Received,
    Reply,
    ViewChanged,
)
from gateway.errors import MalformedRequestError
from gateway.kernel.names import Added
from gateway.membership import ViewStamp
from gateway.metrics import Tally
from gateway.otlp.join import join
from gateway.otlp.split import Envelope
from sampler.buffer import Buffer, Decided, Found
from sampler.decisions import Exported
from sampler.drain import Drain
from sampler.exports import Exports
from sampler.kept import prepare
from sampler.policy.build import build_policies
from sampler.seen import from_ids

_ACCEPTED = Accepted()  # of every request without a fault: making a frozen value costs a microsecond
_ASKED_MAX = 16  # a header is all it takes to ask; the regular poll finds out anyway


class Sampler:
    """One sampler process's state. Implements gateway.core.Core.

    `budget` is in bytes, for buffer and outboxes together. `alone`: it is no member of a cluster, so views mean nothing to it.
    Raises sampler.policy.BadPolicyError when the settings name a policy that makes no sense.
    """

    def __init__(
        self,
        tail_sampling: TailSampling,
        exporters: Sequence[Exporter],
        batch: Batch,
        tally: Tally,
        *,
        budget: int,
        alone: bool,
        duplicate_window: float = limits.DUPLICATE_WINDOW,
        seed: int = 0,
    ) -> None:
        assert budget > 0 and tail_sampling.num_traces > 0
        self._policies = build_policies(tail_sampling.policies)
        self._traces_max = tail_sampling.num_traces
        self._budget = budget
        self._alone = alone
        self._spans_max = batch.spans_max
        self._tally = tally
        self._buffer = Buffer(
            tail_sampling.decision_wait,
            self._policies,
            bytes_max=budget,
            traces_max=tail_sampling.num_traces,
            seed=seed,
        )
        self._decisions = kernel.chosen.Decisions(
            tail_sampling.sampled_cache_size or limits.DECISIONS_MAX,
            tail_sampling.non_sampled_cache_size or limits.DECISIONS_MAX,
            seed,
        )
        self._exported = Exported(duplicate_window, limits.DUPLICATE_BYTES_MAX)
        self._exports = Exports(exporters, batch, tally)
        self._view: ViewStamp | None = None
        self._asked: list[ViewStamp] = []  # stamps for which the lease store was read since the view changed
        self._drain: Drain | None = None
        self._closed = False  # nothing is accepted and nothing is undecided any more
        self._finished = False
        self._lost_before_drain = 0
        self._next_at = math.inf
        self._settled = False  # since then nothing but spans was added: see _go_on

    # ------------------------------------------------------------ the seam

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in one event. A Received is answered at once: its Reply is among the actions."""
        match event:
            case Received():
                actions = self._received(event, now)
                if self._settled and now < self._next_at:
                    return actions
            case Delivered():
                actions = self._exports.delivered(event)
            case Failed():
                actions = self._exports.failed(event, now)
            case ViewChanged():
                actions = self._view_changed(event, now)
            case Draining():
                actions = self._draining(event, now)
        return actions + self._go_on(now)

    def tick(self, now: float) -> list[Action]:
        """Decide what is due, send what may leave, go on with the drain."""
        return self._go_on(now)

    def next_deadline(self) -> float | None:
        """When the next trace is due, a batch may leave, an attempt is tried again or the drain goes on."""
        return None if self._next_at == math.inf else self._next_at

    def _go_on(self, now: float) -> list[Action]:
        actions = self._do_what_is_due(now)
        # Spans that are added to a buffer with something in it bring no deadline forward: until then there is nothing to do.
        self._settled = self._drain is None and len(self._buffer) > 0
        self._next_at = self._next_deadline()
        return actions

    def _next_deadline(self) -> float:
        times = [self._buffer.next_deadline(), self._exports.next_deadline()]
        if self._drain is not None and not self._finished:
            undecided = not self._closed or len(self._buffer)
            times.append(self._drain.close_at if undecided else self._drain.give_up_at)
        return min((at for at in times if at is not None), default=math.inf)

    def publish(self) -> None:
        """Set the gauges. The shell calls this before it shows the tally to anybody."""
        tally = self._tally
        tally.set(metrics.BUFFER_BYTES, self._buffer.held)
        tally.set(metrics.BUFFER_BYTES_MAX, self._budget)
        tally.set(metrics.BUFFER_TRACES, len(self._buffer))
        tally.set(metrics.BUFFER_SPANS, self._buffer.spans)
        tally.set(metrics.DECISIONS_REMEMBERED, self._decisions.kept, "keep")
        tally.set(metrics.DECISIONS_REMEMBERED, self._decisions.dropped, "drop")
        self._exports.publish()

    def _do_what_is_due(self, now: float) -> list[Action]:
        if self._drain is not None and not self._closed and now >= self._drain.close_at:
            self._closed = True
            self._exports.hasten(now)
        actions = self._decide_due(math.inf if self._closed else now, now)
        if self._drain is not None and self._closed and now >= self._drain.give_up_at:
            while len(self._buffer):
                actions += self._decide_due(math.inf, now)
            return actions + self._finish()
        actions += self._exports.send(now, flush=self._closed)
        done = self._closed and not len(self._buffer) and self._exports.idle()
        return actions + self._finish() if done else actions

    # ------------------------------------------------------------ receive

    def _received(self, event: Received, now: float) -> list[Action]:
        self._tally.add(metrics.REQUESTS_RECEIVED)
        actions = self._compare_views(event.peer_view)
        if self._drain is not None:
            self._drain.forwarded(event.peer_view, now)
        outcome = self._take_in(event.request, now, actions)
        actions.append(Reply(event.token, outcome))
        return actions

    def _take_in(self, request: bytes, now: float, actions: list[Action]) -> Outcome:
        if self._closed:
            return self._overloaded("draining", "this sampler is draining")
        if exporter := self._exports.full():
            return self._overloaded("outbox_full", f"exporter {exporter} does not keep up")
        try:
            found = self._buffer.read(request)
        except MalformedRequestError as error:
            self._tally.add(metrics.REQUESTS_REJECTED, 1, "malformed")
            return Invalid(str(error))
        if found.envelope_bytes > len(request) + limits.ENVELOPES_REPEATED_MAX:
            self._tally.add(metrics.REQUESTS_REJECTED, 1, "too_large")
            return Invalid(f"its resources would take {found.envelope_bytes} bytes, repeated for each scope")
        size = max(len(request), found.envelope_bytes)
        if refusal := self._make_room(size, found.spans, now, actions):
            return refusal
        added = self._buffer.add(request, now, self._decisions.recall)
        self._count_received(found, added)
        if added.late or added.late_dropped:
            actions += self._late(added, now)
        if len(self._buffer) > self._traces_max or self._held > self._budget:
            self._trim(now, actions)
        return Accepted(found.rejected, found.reason) if found.rejected else _ACCEPTED

    def _overloaded(self, reason: str, message: str) -> Outcome:
        self._tally.add(metrics.REQUESTS_REJECTED, 1, reason)
        return Overloaded(message, limits.RETRY_AFTER)

    def _make_room(self, size: int, spans: int, now: float, actions: list[Action]) -> Outcome | None:
        """Find room for a request, deciding old traces early if need be; the refusal when there is none."""
        cost = self._buffer.cost_of(size, spans)
        if cost > self._budget:
            self._tally.add(metrics.REQUESTS_REJECTED, 1, "too_large")
            return Invalid(f"the request needs {cost} bytes, more than the whole budget of {self._budget}")
        if self._held + cost <= self._budget:
            return None
        self._evict(now, actions, bytes_max=self._budget - cost)
        if self._held + cost > self._budget:
            return self._overloaded("memory", "memory budget reached")
        return None

    def _trim(self, now: float, actions: list[Action]) -> None:
        """Back inside the bounds, now that the cost of what was added is known."""
        self._evict(now, actions, bytes_max=self._budget)
        while len(self._buffer) > self._traces_max:
            actions += self._decide_early("traces", now)

    @property
    def _held(self) -> int:
        return self._buffer.held + self._exports.held

    def _evict(self, now: float, actions: list[Action], *, bytes_max: int) -> None:
        """Decide the oldest early until no more than `bytes_max` is held, as long as that can help.

        Deciding frees what is dropped, and only moves what is kept. Once the undelivered hold their share of the budget it is
        the exporters that are behind, and cutting more traces short would not mend that.
        """
        while len(self._buffer) and self._held > bytes_max and self._exports.held <= limits.OUTBOX_SHARE * self._budget:
            actions += self._decide_early("bytes", now)

    def _decide_early(self, bound: str, now: float) -> list[Action]:
        self._tally.add(metrics.TRACES_EVICTED, 1, bound)
        return self._follow(self._buffer.decide_oldest(self._decisions.remember), now)

    def _count_received(self, found: Found, added: Added) -> None:
        tally = self._tally
        tally.add(metrics.SPANS_RECEIVED, found.spans + found.rejected)
        tally.add(metrics.SPANS_ACCEPTED, found.spans)
        tally.add(metrics.TRACES_RECEIVED, added.traces)
        if found.rejected:
            tally.add(metrics.SPANS_REJECTED, found.rejected, "invalid_id")
        if added.duplicates:
            tally.add(metrics.SPANS_DUPLICATE, added.duplicates)

    def _late(self, added: Added, now: float) -> list[Action]:
        """Late spans follow their trace's decision: at once."""
        self._settled = False
        if added.late_dropped:
            self._tally.add(metrics.SPANS_LATE, added.late_dropped, "drop")
            self._tally.add(metrics.SPANS_DROPPED, added.late_dropped)
        late: dict[bytes, list[tuple[Envelope, bytes]]] = {}
        for trace_id, span_id, envelope, span in added.late:
            if self._exported.add(trace_id, span_id, now):
                late.setdefault(trace_id, []).append((Envelope(*envelope), span))
        new = sum([len(spans) for spans in late.values()])
        if len(added.late) > new:
            self._tally.add(metrics.SPANS_DUPLICATE, len(added.late) - new)
        if new:
            self._tally.add(metrics.SPANS_LATE, new, "keep")
        actions: list[Action] = []
        for trace_id, spans in late.items():
            actions += self._export(trace_id, join(spans), len(spans), now)
        return actions

    # ------------------------------------------------------------ decide

    def _decide_due(self, due_at: float, now: float) -> list[Action]:
        """Decide what is due at `due_at`: a few at a time, so that requests and answers get their turn; whoever is left makes
        the next deadline one that is past."""
        return self._follow(self._buffer.decide_due(due_at, limits.DECIDE_AT_ONCE, self._decisions.remember), now)

    def _follow(self, decided: Decided, now: float) -> list[Action]:
        """These traces are decided, once and for all: count them, and send on what is kept."""
        self._settled = False
        if not decided.traces:
            return []
        for policy, traces in zip(self._policies, decided.kept_by, strict=True):
            if traces:
                self._tally.add(metrics.TRACES_DECIDED, traces, "keep", policy.name)
        if decided.traces > len(decided.kept):
            self._tally.add(metrics.TRACES_DECIDED, decided.traces - len(decided.kept), "drop", "")
            self._tally.add(metrics.SPANS_DROPPED, decided.spans_dropped)
        actions: list[Action] = []
        for trace_id, request, spans, span_ids, _ in decided.kept:
            self._exported.remember(trace_id, from_ids(span_ids), now)
            actions += self._export(trace_id, request, spans, now)
        return actions

    def _export(self, trace_id: bytes, request: bytes, spans: int, now: float) -> list[Action]:
        kept = prepare(request, spans, limits.EXPORT_REQUEST_BYTES_MAX, self._spans_max)
        self._exports.put(trace_id, kept.pieces, now)
        return self._exports.unreadable(trace_id, kept.unreadable)

    # ------------------------------------------------------------ views

    def _view_changed(self, event: ViewChanged, now: float) -> list[Action]:
        self._view = event.view.stamp
        self._asked.clear()
        self._tally.add(metrics.VIEWS_CHANGED)
        if self._drain is not None:
            self._drain.view_changed(event.view.epoch, now)
        fields: dict[str, object] = {"epoch": event.view.epoch, "members": len(event.view.members)}
        return [Note(Level.INFO, "view_changed", fields)]

    def _compare_views(self, peer: ViewStamp | None) -> list[Action]:
        """Read the view again when a peer shows a newer one, or another of the same epoch; once for each."""
        own = self._view
        if self._alone or peer is None or peer == own or (own is not None and peer.epoch < own.epoch):
            return []
        if peer in self._asked or len(self._asked) >= _ASKED_MAX:
            return []
        self._asked.append(peer)
        return [ReadView()]

    # ------------------------------------------------------------ drain

    def _draining(self, event: Draining, now: float) -> list[Action]:
        if self._drain is None:
            self._drain = Drain(now, event.finish_at, alone=self._alone)
            self._lost_before_drain = self._exports.lost
        return []

    def _finish(self) -> list[Action]:
        """The end: what has not left by now is lost."""
        if self._finished:
            return []
        self._finished = True
        return [*self._exports.abandon(), Finished(self._exports.lost - self._lost_before_drain)]
