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
from gateway.kernel.journal import Journal
from gateway.kernel.names import (
    DROP,
    DUE,
    ERROR,
    EVICTED_BYTES,
    EVICTED_TRACES,
    KEEP,
    NO,
    SHUTDOWN,
    SKIPPED,
    TOO_LARGE,
    VETO,
    Added,
    Kept,
    Record,
)
from gateway.membership import ViewStamp
from gateway.metrics import Tally
from gateway.otlp.join import join
from gateway.otlp.split import Envelope
from sampler.buffer import Buffer, Decided, Found
from sampler.buffer import Note as DecisionNote
from sampler.decisions import Exported
from sampler.drain import Drain
from sampler.exports import Exports
from sampler.kept import prepare
from sampler.late import LateCounts
from sampler.policy.build import build
from sampler.seen import from_ids
from sampler.stamp import stamp

_ACCEPTED = Accepted()  # of every request without a fault: making a frozen value costs a microsecond
_ASKED_MAX = 16  # a header is all it takes to ask; the regular poll finds out anyway
VOTES = {NO: "no", KEEP: "keep", DROP: "drop", ERROR: "error", SKIPPED: "skipped"}
"""What a vote is called."""
CAUSES = ("due", "root_received", "span_ingest", "evicted_bytes", "evicted_traces", "too_large", "shutdown")
"""Why a trace was decided when it was, by the numbers in gateway.kernel.names."""


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
        built = build(tail_sampling)
        self.policies = built.policies
        """Those in force, in the order of the configuration."""
        self.journal = Journal(len(built.policies), limits.DECISION_RECORDS_BYTES)
        """The last decisions."""
        self._settings = tail_sampling
        self._traces_max = tail_sampling.num_traces
        self._budget = budget
        self._alone = alone
        self._spans_max = batch.spans_max
        self._tally = tally
        self._buffer = Buffer(tail_sampling, built, self.journal, bytes_max=budget, seed=seed)
        self._decisions = kernel.chosen.Decisions(
            tail_sampling.sampled_cache_size or limits.DECISIONS_MAX,
            tail_sampling.non_sampled_cache_size or limits.DECISIONS_MAX,
            seed,
        )
        self._exported = Exported(duplicate_window, limits.DUPLICATE_BYTES_MAX)
        self._late_counts = LateCounts(limits.LATE_COUNTED_MAX)
        self._vetoes = {index: 0 for index, policy in enumerate(built.policies) if policy.node.op == VETO}
        self._votes_published = [[0] * len(VOTES) for _ in built.policies]
        self._exports = Exports(exporters, batch, tally)
        self._view: ViewStamp | None = None
        self._asked: list[ViewStamp] = []  # stamps for which the lease store was read since the view changed
        self._drain: Drain | None = None
        self._spans_read = 0  # in the request at hand, as far as it was read
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
        self._next_at = self._next_deadline(now)
        return actions

    def _next_deadline(self, now: float) -> float:
        due_at = self._buffer.next_deadline()
        if due_at is not None and self._must_not_decide():
            due_at = max(due_at, now + limits.DECIDE_PAUSE)
        times = [due_at, self._exports.next_deadline()]
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
        self._publish_votes()
        self._exports.publish()

    def _publish_votes(self) -> None:
        """Count the votes since the last time."""
        votes = self._buffer.votes
        for policy, now, before in zip(self.policies, votes, self._votes_published, strict=True):
            for vote, name in VOTES.items():
                if vote != SKIPPED and now[vote] > before[vote]:
                    self._tally.add(metrics.POLICY_VOTES, now[vote] - before[vote], policy.name, name)
            if now[ERROR] > before[ERROR]:
                self._tally.add(metrics.POLICY_ERRORS, now[ERROR] - before[ERROR], policy.name)
        self._votes_published = votes

    # ------------------------------------------------------------ why

    def explain(self, trace_id: bytes, now: float) -> dict[str, object]:
        """What is known of a trace: undecided, decided (and how, as long as the journal has it), or unknown.

        Instants are in seconds of the clock that the sampler is driven by.
        """
        if waiting := self._buffer.look(trace_id):
            known = {"state": "undecided", "spans": waiting.spans, "bytes": waiting.bytes}
            return {**known, "due_at": waiting.due_at, "due_in": round(max(0.0, waiting.due_at - now), 3)}
        late = self._late_counts.of(trace_id)
        if record := self.journal.find(trace_id):
            return {"state": "decided", **self._described(record), "late_spans": late}
        keep = self._decisions.recall(trace_id)
        if keep is None:
            return {"state": "unknown"}
        note = DecisionNote.read(self._decisions.note(trace_id), now)
        name = self.policies[note.policy].name if note.policy >= 0 else None
        remembered = {"state": "decided", "remembered_as": "keep" if keep else "drop"}
        return {**remembered, "policy": name, "decided_at": note.decided_at, "late_spans": late}

    def _described(self, record: Record) -> dict[str, object]:
        policy = self.policies[record.policy] if record.policy >= 0 else None
        return {
            "decision": "keep" if record.keep else "drop",
            "policy": policy and policy.name,
            "child": policy.children[record.child] if policy and record.child >= 0 else None,
            "cause": CAUSES[record.cause],
            "decided_at": record.decided_at,
            "spans": record.spans,
            "bytes": record.size,
            "votes": {each.name: VOTES[vote] for each, vote in zip(self.policies, record.votes, strict=True)},
        }

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
        self._spans_read = 0
        outcome = self._take_in(event.request, now, actions)
        actions.append(Reply(event.token, outcome, self._spans_read))
        return actions

    def _take_in(self, request: bytes, now: float, actions: list[Action]) -> Outcome:
        if self._closed:
            return self._overloaded("draining", "this sampler is draining")
        if exporter := self._exports.full():
            return self._overloaded("outbox_full", f"exporter {exporter} does not keep up")
        if self._settings.block_on_overflow and len(self._buffer) >= self._traces_max:
            return self._overloaded("traces", f"{self._traces_max} traces are waiting for their decision")
        try:
            found = self._buffer.read(request)
        except MalformedRequestError as error:
            self._tally.add(metrics.REQUESTS_REJECTED, 1, "malformed")
            return Invalid(str(error))
        self._spans_read = found.spans + found.rejected
        if found.envelope_bytes > len(request) + limits.ENVELOPES_REPEATED_MAX:
            self._tally.add(metrics.REQUESTS_REJECTED, 1, "too_large")
            return Invalid(f"its resources would take {found.envelope_bytes} bytes, repeated for each scope")
        size = max(len(request), found.envelope_bytes)
        if refusal := self._make_room(size, found.spans, now, actions):
            return refusal
        added = self._buffer.add(request, now, self._decisions.recall)
        if self._settings.decision_wait_after_root_received:
            self._settled = False  # a root may have brought a deadline forward
        self._count_received(found, added)
        if added.late or added.late_dropped:
            actions += self._late(added, now)
        written = self.journal.written
        if settled := self._buffer.settle(now, self._decisions.remember):
            actions += self._follow(settled, now)
            if self._settings.maximum_trace_size_bytes and settled.traces:
                too_large = sum([record.cause == TOO_LARGE for record in self.journal.since(written)])
                self._tally.add(metrics.TRACES_TOO_LARGE, too_large)
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
        while len(self._buffer) > self._traces_max and not self._settings.block_on_overflow:
            actions += self._decide_early(EVICTED_TRACES, now)

    @property
    def _held(self) -> int:
        return self._buffer.held + self._exports.held

    def _evict(self, now: float, actions: list[Action], *, bytes_max: int) -> None:
        """Decide the oldest early until no more than `bytes_max` is held, as long as that can help.

        Deciding frees what is dropped, and only moves what is kept. Once the undelivered hold their share of the budget it is
        the exporters that are behind, and cutting more traces short would not mend that.
        """
        while len(self._buffer) and self._held > bytes_max and self._exports.held <= limits.OUTBOX_SHARE * self._budget:
            actions += self._decide_early(EVICTED_BYTES, now)

    def _decide_early(self, cause: int, now: float) -> list[Action]:
        self._tally.add(metrics.TRACES_EVICTED, 1, "bytes" if cause == EVICTED_BYTES else "traces")
        return self._follow(self._buffer.decide_oldest(now, self._decisions.remember, cause), now)

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
        for trace_id, dropped in added.late_dropped.items():
            self._tally.add(metrics.SPANS_LATE, dropped, "drop")
            self._tally.add(metrics.SPANS_DROPPED, dropped)
            self._note_late(trace_id, dropped, now)
        late: dict[bytes, list[tuple[Envelope, bytes]]] = {}
        for trace_id, span_id, envelope, span in added.late:
            if self._exported.add(trace_id, span_id, now):
                late.setdefault(trace_id, []).append((Envelope(*envelope), span))
        new = sum([len(spans) for spans in late.values()])
        if len(added.late) > new:
            self._tally.add(metrics.SPANS_DUPLICATE, len(added.late) - new)
        actions: list[Action] = []
        for trace_id, spans in late.items():
            self._tally.add(metrics.SPANS_LATE, len(spans), "keep")
            policy = self._note_late(trace_id, len(spans), now)
            request = self._stamped_late(trace_id, join(spans), len(spans), policy)
            actions += self._export(trace_id, request, len(spans), now)
        return actions

    def _note_late(self, trace_id: bytes, spans: int, now: float) -> int:
        """Count late spans; the index of the policy that has decided, -1 if none is known."""
        note = DecisionNote.read(self._decisions.note(trace_id), now)
        self._tally.observe(metrics.LATE_SPAN_AGE, now - note.decided_at, count=spans)
        self._late_counts.add(trace_id, spans)
        return note.policy

    # ------------------------------------------------------------ decide

    def _decide_due(self, due_at: float, now: float) -> list[Action]:
        """Decide what is due at `due_at`: a few at a time, so that requests and answers get their turn; whoever is left makes
        the next deadline one that is past."""
        if self._must_not_decide():
            return []
        most, remember = limits.DECIDE_AT_ONCE, self._decisions.remember
        if self._closed and self._settings.drop_pending_traces_on_shutdown:
            return self._follow(self._buffer.drop(most, remember, now), now)
        cause = SHUTDOWN if self._closed else DUE
        return self._follow(self._buffer.decide_due(due_at, now, most, remember, cause), now)

    def _must_not_decide(self) -> bool:
        """Whether what is undelivered takes the whole budget. What is kept may be many times what was buffered of it: traces
        that share a large resource each get their own. At the end, time is shorter than memory."""
        return self._exports.held > self._budget and not self._closed

    def _follow(self, decided: Decided, now: float) -> list[Action]:
        """These traces are decided, once and for all: count them, and send on what is kept."""
        self._settled = False
        if not decided.traces:
            return []
        if decided.traces > len(decided.kept):
            self._count_dropped(decided.traces - len(decided.kept))
            self._tally.add(metrics.SPANS_DROPPED, decided.spans_dropped)
        kept_by: dict[int, int] = {}
        actions: list[Action] = []
        for kept in decided.kept:
            kept_by[kept.policy] = kept_by.get(kept.policy, 0) + 1
            threshold = kept.threshold if self._settings.tracestate else None
            self._exported.remember(kept.trace_id, from_ids(kept.span_ids), now, threshold)
            actions += self._export(kept.trace_id, self._stamped(kept), kept.spans, now)
        for policy, traces in kept_by.items():
            self._tally.add(metrics.TRACES_DECIDED, traces, "keep", self.policies[policy].name)
        return actions

    def _count_dropped(self, traces: int) -> None:
        """Count traces that are not kept: by the policies that dropped them, and those that nobody wanted."""
        for policy, before in self._vetoes.items():
            dropped = self._buffer.dropped_by(policy)
            if dropped > before:
                self._tally.add(metrics.TRACES_DECIDED, dropped - before, "drop", self.policies[policy].name)
                self._vetoes[policy] = dropped
                traces -= dropped - before
        if traces:
            self._tally.add(metrics.TRACES_DECIDED, traces, "drop", "")

    def _stamped(self, kept: Kept) -> bytes:
        """The kept trace, with what the settings want to be written on it."""
        settings = self._settings
        if not settings.tracestate and not settings.record_policy:
            return kept.request
        attributes: list[tuple[str, str | bool]] = []
        if settings.record_policy:
            policy = self.policies[kept.policy]
            attributes.append(("tailsampling.policy", policy.name))
            if kept.child >= 0:
                attributes.append(("tailsampling.composite_policy", policy.children[kept.child]))
        threshold = kept.threshold if settings.tracestate else None
        return stamp(kept.request, kept.spans, threshold=threshold, attributes=attributes)

    def _stamped_late(self, trace_id: bytes, request: bytes, spans: int, policy: int) -> bytes:
        """The same for late spans of a trace that this policy (-1: unknown) has kept."""
        settings = self._settings
        if not settings.tracestate and not settings.record_policy:
            return request
        attributes: list[tuple[str, str | bool]] = []
        if settings.record_policy:
            if policy >= 0:
                attributes.append(("tailsampling.policy", self.policies[policy].name))
            attributes.append(("tailsampling.cached_decision", True))
        return stamp(request, spans, threshold=self._exported.threshold(trace_id), attributes=attributes)

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
