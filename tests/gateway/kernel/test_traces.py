"""gateway.kernel.traces against a dict of lists of decoded spans, and against the plainest meaning of policies."""

from __future__ import annotations

import random
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway import limits
from gateway.errors import MalformedRequestError
from gateway.kernel import Kernel, load
from gateway.kernel.journal import Journal
from gateway.kernel.names import (
    ALWAYS,
    DUE,
    INGEST,
    LONGER_THAN,
    MARKED,
    STATUS_IN,
    TOO_LARGE,
    VETO,
    Envelope,
    Node,
    Rules,
)
from gateway.kernel.names import ROOT as ROOT_RECEIVED
from gateway.kernel.traces import ROW_BYTES, Traces, segment_bytes
from gateway.otlp.join import join
from gateway.otlp.split import Envelope as NamedEnvelope
from gateway.otlp.split import split
from tests.support import wire
from tests.support.facts import (
    MS,
    Facts,
    Rule,
    all_of,
    always,
    counted,
    decider,
    facts_of,
    fnv1a,
    hashed,
    latency,
    marks_of,
    negated,
    plan_of,
    status,
)

EVER = 2**62
PARENT = wire.bytes_field(4, b"parent!!")
KEEP_ALL = [Node(ALWAYS)]
SEGMENT = segment_bytes(0)
ROOT = Path(__file__).resolve().parents[3]


def nothing_past(_: bytes) -> None:
    return None


def forget(_: bytes, __: bool, ___: int) -> None:
    return None


def trace_id(number: int) -> bytes:
    return number.to_bytes(8, "little") + b"\xee" * 8


def span(trace: int | bytes, number: int, *more: bytes, times: tuple[int, int] = (0, 0), status: int = 0) -> bytes:
    """A Span message as SDKs write it, with further fields."""
    own = trace if isinstance(trace, bytes) else trace_id(trace)
    facts = wire.fixed64_field(7, times[0]) + wire.fixed64_field(8, times[1])
    return wire.plain_span(
        own, number.to_bytes(8, "big"), facts, wire.message(15, wire.number_field(3, status)) if status else b"", *more
    )


class Store:
    """A kernel's Traces with the reader of its requests."""

    def __init__(self, kernel: Kernel, bytes_max: int = 1 << 20, **options: Any) -> None:
        self.spans = kernel.Spans(facts=True)
        self.traces = kernel.Traces(self.spans, bytes_max=bytes_max, **options)
        self.keep_with(kernel.Program(KEEP_ALL))

    def keep_with(self, program: Any) -> None:
        self.program = program
        self.traces.join(program)

    def add(self, request: bytes, bucket: int = 1, past: Any = nothing_past, early: int = 0) -> Any:
        self.spans.read(request)
        return self.traces.add(request, bucket, past, early)

    def take(self, most: int = EVER, bucket_max: int = EVER) -> list[Any]:
        """Keep the traces that are due first."""
        return self.traces.decide(self.program, bucket_max, min(most, 1 << 40), forget)[2]


# ---------------------------------------------------------------- the model


@dataclass
class Held:
    """A trace of the model: its bucket, its spans as fragments of one span each, and the same decoded."""

    own: bytes
    bucket: int
    number: int  # of its arrival
    early: tuple[int, int] | None = (
        None  # the bucket that its root has brought it to, and a number: who came there when
    )
    gone: bool = False  # decided before its bucket, where its row is still to be found
    fragments: list[tuple[NamedEnvelope, bytes]] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)

    @property
    def due(self) -> int:
        return self.early[0] if self.early else self.bucket


SALT = fnv1a(b"salt")
RULES = [
    latency(5),
    latency(3, 6),
    latency(-7, 2),
    latency(20, 2**62),
    status(0b100),
    status(0b011),
    hashed(SALT, 2**64 // 10),
    hashed(fnv1a(b"another salt"), 2**63),
    counted(3, 5),
    all_of([latency(3, 9), negated(status(0b100))]),
]
times = st.one_of(st.just(0), st.integers(0, 30).map(lambda ms: ms * MS), st.integers(0, 2**64 - 1))
sizes = st.one_of(st.integers(0, 40), st.integers(0, 700), st.sampled_from([SEGMENT // 8 - 60, SEGMENT, 3 * SEGMENT]))


@st.composite
def made_spans(draw: st.DrawFn) -> bytes:
    """A span of one of few traces, with one of few ids, of any size."""
    made = span(
        draw(st.integers(1, 6)),
        draw(st.integers(0, 12)),  # 0 is no id: such a span is rejected, between others
        wire.padding(draw(sizes)),
        draw(st.sampled_from([PARENT, PARENT, b"", wire.bytes_field(4, bytes(8))])),
        times=(draw(times), draw(times)),
        status=draw(st.sampled_from([0, 0, 1, 2, 3, 77])),
    )
    return made if draw(st.integers(0, 9)) else wire.padding(3) + made  # ids that do not stand first


scopes = st.tuples(
    st.sampled_from([b"", wire.bytes_field(3, b"scope"), wire.padding(40)]), st.lists(made_spans(), max_size=6)
)
parts = st.tuples(st.sampled_from([b"", wire.bytes_field(3, b"one"), wire.padding(300)]), st.lists(scopes, max_size=3))


def after(given_spans: Sequence[bytes]) -> list[bytes]:
    return [wire.bytes_field(2, each) for each in given_spans]


def request_of(given_parts: Sequence[tuple[bytes, Sequence[tuple[bytes, Sequence[bytes]]]]]) -> bytes:
    out = []
    for resource, given_scopes in given_parts:
        inner = [
            wire.message(2, *(wire.bytes_field(2, each) for each in given_spans[:2]), scope, *after(given_spans[2:]))
            for scope, given_spans in given_scopes
        ]
        out.append(wire.message(1, resource, *inner))
    return b"".join(out)


@dataclass(frozen=True)
class Way:
    """How the traces of one machine are decided."""

    rules: Rules
    trace_bytes_max: int = 0
    vetoes: bool = False  # the last of the policies drops what it would keep

    @property
    def eager(self) -> bool:
        return self.rules.ingest > 0


ways = st.builds(
    Way,
    st.sampled_from([Rules(), Rules(consistent=True), Rules(ingest=1), Rules(ingest=2), Rules(first_match=True)]),
    st.sampled_from([0, 0, 150, 1000, 30_000]),
    st.booleans(),
)


class Machine(RuleBasedStateMachine):
    """Traces side by side with the model."""

    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self.kernel = kernel
        self.waiting: dict[bytes, Held] = {}
        self.past: dict[bytes, bool] = {}
        self.arrived = 0
        # all that stand in a bucket and in an early one, those included that are gone
        self.usual: list[Held] = []
        self.early: list[Held] = []

    @initialize(rules=st.lists(st.sampled_from(RULES), max_size=5), seed=st.sampled_from([0, 7, 2**64 - 1]), way=ways)
    def begin(self, rules: list[Rule], seed: int, way: Way) -> None:
        self.rules, self.way = rules, way
        self.marks = marks_of(rules)
        self.store = Store(
            self.kernel,
            bytes_max=20_000,
            plan=plan_of(self.marks),
            seed=seed,
            trace_bytes_max=way.trace_bytes_max,
            eager=way.eager,
        )
        nodes = [each.node(self.marks) for each in rules]
        if way.vetoes and nodes:
            nodes[-1] = Node(VETO, children=(nodes[-1],))
        self.journal = Journal(len(nodes), 1 << 14)
        self.store.keep_with(self.kernel.Program(nodes, way.rules, self.journal))

    @rule(given_parts=st.lists(parts, max_size=3), bucket=st.integers(0, 5), early=st.integers(0, 4))
    def add(self, given_parts: list[Any], bucket: int, early: int) -> None:
        self.take_in(request_of(given_parts), bucket, early)

    @rule(
        trace=st.integers(1, 6), numbers=st.lists(st.integers(1, 200), min_size=60, max_size=130), aside=st.booleans()
    )
    def add_many(self, trace: int, numbers: list[int], aside: bool) -> None:
        """Many spans of one trace, between them some of another."""
        made = []
        for at, number in enumerate(numbers):
            made.append(span(trace, number, wire.padding(number)))
            if aside and at % 7 == 0:
                made.append(span(trace % 6 + 1, number))
        self.take_in(wire.plain_request(*made), 3, 0)

    @rule(bucket=st.integers(1, 9), early=st.integers(1, 9), roots=st.lists(st.booleans(), min_size=1, max_size=12))
    def add_small(self, bucket: int, early: int, roots: list[bool]) -> None:
        """A span of each of many traces, some of them roots."""
        made = [span(at + 1, 50, *([] if root else [PARENT])) for at, root in enumerate(roots)]
        self.take_in(wire.plain_request(*made), bucket, early)

    @rule(data=st.binary(max_size=10))
    def rubbish(self, data: bytes) -> None:
        """A request whose end cannot be read, after spans that can: nothing of it is left behind."""
        with pytest.raises(MalformedRequestError):
            self.store.spans.read(wire.plain_request(span(1, 1), span(2, 2)) + b"\x0a\xff" + data[:0])

    @rule(bucket_max=st.integers(-1, 10), most=st.integers(0, 8), drop=st.integers(0, 9))
    def decide(self, bucket_max: int, most: int, drop: int) -> None:
        self.take_out(bucket_max, most, drop=drop == 0)

    @rule()
    def evict(self) -> None:
        self.take_out(EVER, 1)

    @precondition(lambda self: len(self.past) > 3)
    @rule()
    def forget_the_past(self) -> None:
        self.past.clear()

    def take_in(self, body: bytes, bucket: int, early: int) -> None:
        added = self.store.add(body, bucket, self.past.get, early)
        counts: Counter[str] = Counter()
        late: list[tuple[bytes, bytes, Envelope, bytes]] = []
        touched: dict[bytes, None] = {}
        for envelope, found in split(body).scopes:
            for own, span_id, start, at, stop in found:
                held = self.held_for(own, bucket, counts)
                if held is None and self.past[own]:
                    late.append((own, span_id, envelope, body[start:stop]))
                elif held is None:
                    counts["dropped"] += 1
                elif span_id in held.ids:
                    counts["duplicates"] += 1
                else:
                    counts["spans"] += 1
                    touched[own] = None
                    held.ids.append(span_id)
                    held.fragments.append((envelope, body[start:stop]))
                    held.spans.append(Span.FromString(body[at:stop]))
                    self.hasten(held, early)
        assert added[:3] == (counts["spans"], counts["traces"], counts["duplicates"])
        assert sum(added.late_dropped.values()) == counts["dropped"]
        assert added.late == late
        if self.way.eager or self.way.trace_bytes_max:
            self.settle(list(touched))

    def held_for(self, own: bytes, bucket: int, counts: Counter[str]) -> Held | None:
        """The trace that a span belongs to, opened if need be; None if it was decided."""
        if own not in self.waiting and own not in self.past:
            self.arrived += 1
            counts["traces"] += 1
            self.waiting[own] = Held(own, bucket, self.arrived)
            self.usual.append(self.waiting[own])
        return self.waiting.get(own)

    def hasten(self, held: Held, early: int) -> None:
        if early and held.early is None and early < held.bucket and not any(held.spans[-1].parent_span_id):
            self.arrived += 1
            held.early = early, self.arrived
            self.early.append(held)

    def settle(self, touched: list[bytes]) -> None:
        told: list[tuple[bytes, bool, int]] = []
        measured = {own: self.store.traces.look(own)[1] for own in touched}
        before = self.journal.written
        done = self.store.traces.settle(self.store.program, lambda *each: told.append(each), 3.0, 7 << 10)
        large = {own for own in touched if 0 < self.way.trace_bytes_max < measured[own]}
        deciders = {own: -1 if own in large else self.decider(own, early=True) for own in touched}
        settled = [own for own in touched if own in large or (self.way.eager and deciders[own] != -1)]
        if not self.way.eager:
            settled.sort(key=[own for own, *_ in told].index)  # in the order in which they became too large
        why = [TOO_LARGE if own in large else INGEST for own in settled]
        self.check(settled, [deciders[own] for own in settled], why, told, before, done)

    def decider(self, own: bytes, *, early: bool = False) -> int:
        """What the program returns of a trace."""
        facts = facts_of(self.waiting[own].spans, [*self.marks])
        keeping = [index for index, each in enumerate(self.rules) if each.keeps(facts, own)]
        veto = len(self.rules) - 1 if self.way.vetoes and self.rules else -1
        if veto in keeping:
            return -2 - veto
        return keeping[0] if keeping and not (early and veto >= 0) else -1

    def take_out(self, bucket_max: int, most: int, *, drop: bool = False) -> None:
        told: list[tuple[bytes, bool, int]] = []
        before = self.journal.written
        done = self.store.traces.decide(
            self.store.program, bucket_max, most, lambda *each: told.append(each), 3.0, DUE, 7 << 10, drop
        )
        due = []
        while len(due) < most and (held := self.next_due(bucket_max)):
            due.append(held)
        asked = not drop and self.way.rules.ingest != 1
        why = [ROOT_RECEIVED if each.early else DUE for each in due]
        order = [each.own for each in due]
        self.check(order, [self.decider(own) if asked else -1 for own in order], why, told, before, done)

    def next_due(self, bucket_max: int) -> Held | None:
        """Take out who is due first; who is met on the way there and gone already is let go."""
        while True:
            usual = min(self.usual, key=lambda each: (each.bucket, each.number), default=None)
            early = min(self.early, key=lambda each: each.early or (0, 0), default=None)
            if usual is None or min(usual.bucket, early.due if early else EVER) > bucket_max:
                return None
            if early and early.due <= usual.bucket:
                self.early.remove(early)
                if not early.gone:
                    early.gone = True
                    return early
            else:
                self.usual.remove(usual)
                if not usual.gone:
                    return usual

    def check(
        self,
        order: list[bytes],
        deciders: list[int],
        why: list[int],
        told: list[tuple[bytes, bool, int]],
        before: int,
        done: tuple[int, int, list[Any]],
    ) -> None:
        """These traces, and no others, were decided so and in this order."""
        policies = [each if each >= -1 else -2 - each for each in deciders]
        notes = [(own, each >= 0) for own, each in zip(order, deciders, strict=True)]
        assert [each[:2] for each in told] == notes
        assert [note for *_, note in told] == [7 << 10 | policy + 1 for policy in policies]
        records = self.journal.since(before)
        assert [each.trace_id for each in records] == order and done[0] == len(order)
        assert [(each.keep, each.policy, each.cause) for each in records] == list(
            zip([decider >= 0 for decider in deciders], policies, why, strict=True)
        )
        expected = []
        lost = 0
        for own, index, record in zip(order, deciders, records, strict=True):
            held = self.waiting.pop(own)
            held.gone = True
            self.past[own] = index >= 0
            assert record.spans == len(held.spans) and record.size >= sum(len(run) for _, run in held.fragments)
            if index >= 0:
                expected.append((own, join(held.fragments), len(held.spans), b"".join(held.ids), index))
            else:
                lost += len(held.spans)
        assert done[1] == lost
        assert [tuple(each)[:5] for each in done[2]] == expected

    @invariant()
    def sums(self) -> None:
        if not hasattr(self, "store"):
            return
        traces = self.store.traces
        spans, size = traces.held
        assert (len(traces), spans) == (len(self.waiting), sum(len(each.spans) for each in self.waiting.values()))
        stored = sum(len(run) + 8 for each in self.waiting.values() for _, run in each.fragments)
        envelopes = {envelope for each in self.waiting.values() for envelope, _ in each.fragments}
        assert size >= stored + len(self.usual) * ROW_BYTES + sum(len(each[0]) + len(each[1]) for each in envelopes)
        buckets = [*(each.bucket for each in self.usual), *(each.due for each in self.early)]
        assert traces.first_bucket() == min(buckets, default=None)
        for own, held in self.waiting.items():
            assert traces.look(own)[::2] == (len(held.spans), held.due)
        if not self.waiting:
            assert size == len(self.usual) * ROW_BYTES

    def teardown(self) -> None:
        """Whatever is left comes out as well, and nothing stays."""
        if hasattr(self, "store"):
            self.take_out(EVER, 1000)
            self.sums()
            assert self.store.traces.held == (0, 0)


def test_what_a_naive_model_does(kernel: Kernel) -> None:
    """Whatever comes in and goes out in whatever order: the same spans, bytes, ids, decisions, order and sums as in a dict."""
    few = settings(max_examples=10 if kernel.form == "pure" else 40, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(lambda: Machine(kernel), settings=few)  # type: ignore[arg-type]


def test_only_spans_are_stored(kernel: Kernel) -> None:
    """What stands between two spans of a trace, a rejected span or a field of the scope, is not taken for part of them."""
    one, other = wire.bytes_field(2, span(1, 1)), wire.bytes_field(2, span(1, 2))
    for between in (wire.bytes_field(2, span(1, 0)), wire.bytes_field(3, b"url"), wire.bytes_field(2, b"")):
        store = Store(kernel)
        assert store.add(wire.message(1, wire.message(2, one, between, other))).spans == 2
        own = between if between == wire.bytes_field(3, b"url") else b""
        assert store.take()[0].request == wire.message(1, wire.message(2, own, one, other))


# ---------------------------------------------------------------- the program


edges = st.one_of(
    st.integers(0, 12).map(lambda ms: ms * MS),
    st.sampled_from([0, 1, MS - 1, MS, 2**63 - 1, 2**63, 2**63 + 5 * MS, 2**64 - 1]),
    st.integers(0, 2**64 - 1),
)
bounds = st.one_of(st.integers(-9, 12), st.sampled_from([-(2**63), 2**63 - 1, 2**44, 2**64 // MS]))
leaves = st.one_of(
    st.builds(latency, bounds),
    st.builds(latency, bounds, bounds),
    st.builds(status, st.integers(1, 7)),
    st.builds(hashed, st.sampled_from([SALT, fnv1a(b"pepper"), 0]), st.integers(0, 2**64 - 1)),
    st.builds(counted, st.integers(0, 4), st.integers(0, 8)),
    st.builds(always),
)
any_rule = st.recursive(
    leaves, lambda inner: st.builds(all_of, st.lists(inner, max_size=3)) | st.builds(negated, inner)
)


@settings(max_examples=100)
@given(
    st.lists(any_rule, max_size=8),
    st.lists(st.tuples(edges, edges, st.sampled_from([0, 1, 2, 3, 2**31 - 1])), min_size=1, max_size=7),
    st.binary(min_size=16, max_size=16).filter(any),
)
def test_programs_are_the_policies(
    kernel: Kernel, rules: list[Rule], values: list[tuple[int, int, int]], own: bytes
) -> None:
    """The kernel keeps what the policies keep by their plainest meaning, and by the same policy, whatever their bounds and the
    spans' times."""
    marks = marks_of(rules)
    store = Store(kernel, plan=plan_of(marks))
    made = [span(own, at + 1, times=value[:2], status=value[2]) for at, value in enumerate(values)]
    store.add(wire.plain_request(*made))
    store.keep_with(kernel.Program([each.node(marks) for each in rules]))
    facts = facts_of(map(Span.FromString, made), [*marks])
    assert [each.policy for each in store.take()] == [each for each in [decider(rules, facts, own)] if each >= 0]
    assert store.program.votes() == [int(rule.keeps(facts, own)) for rule in rules]


def kept_by(store: Store, nodes: list[Node], kernel: Kernel) -> int:
    """Which of these policies keeps the only trace."""
    store.keep_with(kernel.Program(nodes))
    return int(store.take()[0].policy)


def test_more_marks_than_a_word_holds(kernel: Kernel) -> None:
    """All of 200 intervals that may be asked about are told from each other."""
    intervals = {(ms, ms + 1): ms for ms in range(200)}
    for ms in range(0, 200, 7):
        store = Store(kernel, plan=plan_of(intervals))
        store.add(wire.plain_request(span(1, 1, times=(MS, (ms + 2) * MS))))
        assert kept_by(store, [Node(MARKED, mark) for mark in range(200)], kernel) == ms


def test_a_large_trace_is_longest_by_all_its_spans(kernel: Kernel) -> None:
    """Durations are folded to the nanosecond, and compared in whole milliseconds."""
    for end, expected in ((6 * MS - 1, 1), (6 * MS, 0)):
        store = Store(kernel)
        store.add(wire.plain_request(span(1, 1, times=(1, 2)), span(1, 2, times=(5, end + 1))))
        assert kept_by(store, [Node(LONGER_THAN, 5), Node(LONGER_THAN, 4)], kernel) == expected


def test_milliseconds_are_cut_off_towards_zero(kernel: Kernel) -> None:
    """A trace that ends 1.5 ms before it starts lasts -1 ms, as in the Collector."""
    intervals = {(each - 1, each): mark for mark, each in enumerate(range(-4, 5))}
    for start, ms in ((5 * MS, 0), (6 * MS - 1, 0), (6 * MS, -1), (6 * MS + MS // 2, -1), (7 * MS, -2), (4 * MS, 1)):
        for order in (range(9), range(8, -1, -1)):
            store = Store(kernel, plan=plan_of(intervals))
            store.add(wire.plain_request(span(1, 1, times=(start, 5 * MS))))
            assert order[kept_by(store, [Node(MARKED, mark) for mark in order], kernel)] == ms + 4


def test_the_hash_of_one_salt_is_not_anothers(kernel: Kernel) -> None:
    """Probabilistic policies of several salts, by turns, each see their own hash."""
    one, other = hashed(SALT, 2**63), hashed(fnv1a(b"other"), 2**63)
    rules = [one, other, one, other]
    for number in range(1, 40):
        for first in range(3):
            store = Store(kernel)
            store.add(wire.plain_request(span(number, 1)))
            store.keep_with(kernel.Program([each.node({}) for each in rules[first:]]))
            keeps = any(each.keeps(Facts(), trace_id(number)) for each in rules[first:])
            assert bool(store.take()) == keeps


# ---------------------------------------------------------------- before their time


def add_with_root(store: Store, body: bytes, bucket: int, early: int) -> None:
    store.add(body, bucket, early=early)


def test_a_root_brings_a_trace_forward(kernel: Kernel) -> None:
    """A trace is due when its root has waited, if that is earlier than its own time, and never later than before."""
    journal = Journal(1, 1 << 16)
    store = Store(kernel)
    store.keep_with(kernel.Program(KEEP_ALL, journal=journal))
    add_with_root(store, wire.plain_request(span(1, 1, PARENT), span(2, 1, PARENT), span(3, 1, PARENT)), 10, 3)
    assert store.traces.first_bucket() == 10
    add_with_root(store, wire.plain_request(span(2, 2), span(3, 2, wire.bytes_field(4, bytes(8)))), 12, 5)
    add_with_root(store, wire.plain_request(span(2, 3)), 14, 7)  # a second root
    add_with_root(store, wire.plain_request(span(1, 2)), 15, 20)  # too late to matter
    assert store.traces.look(trace_id(2)) == (3, store.traces.look(trace_id(2))[1], 5)
    assert store.traces.first_bucket() == 5
    assert [each.trace_id for each in store.take(bucket_max=9)] == [trace_id(2), trace_id(3)]
    assert len(store.traces) == 1 and store.traces.look(trace_id(2)) is None
    assert [each.trace_id for each in store.take(bucket_max=10)] == [trace_id(1)]
    assert [each.cause for each in journal.since(0)] == [ROOT_RECEIVED, ROOT_RECEIVED, DUE]
    assert store.traces.held == (0, 0) and store.traces.first_bucket() is None


def test_rows_of_traces_decided_early_are_swept(kernel: Kernel) -> None:
    """Traces decided long before their bucket leave their rows when there are many of them; who still waits is due in its bucket
    and in order, and so is who comes after."""
    store = Store(kernel, bytes_max=1 << 26)
    waiting: dict[int, list[int]] = {10: [], 12: []}
    number = 0

    def come(traces: int, bucket: int) -> None:
        """Every twelfth trace has no root yet."""
        nonlocal number
        made = []
        for _ in range(traces):
            number += 1
            made.append(span(number, 1, PARENT) if number % 12 == 0 else span(number, 1))
            if number % 12 == 0:
                waiting[bucket].append(number)
        add_with_root(store, wire.plain_request(*made), bucket, 3)

    for _ in range(6):
        come(1000, 10)
        come(1000, 12)
    assert len(store.take(bucket_max=3)) == 11_000
    spans, size = store.traces.held
    assert spans == 1000 and size < 1_300_000  # with the rows of all it would be 2.8 MB
    come(600, 12)
    assert [each.trace_id for each in store.take(bucket_max=10)] == [
        trace_id(n) for n in range(12_001, 12_601) if n % 12
    ] + [trace_id(n) for n in waiting[10]]
    assert [each.trace_id for each in store.take()] == [trace_id(n) for n in waiting[12]]
    assert store.traces.held == (0, 0) and store.traces.first_bucket() is None


def test_a_trace_that_is_too_large_is_dropped_at_once(kernel: Kernel) -> None:
    """What measures more than the bound is dropped when the request that made it so was taken in, whoever would keep it."""
    store = Store(kernel, trace_bytes_max=300)
    store.add(wire.plain_request(span(1, 1), span(2, 1, wire.padding(400)), span(3, 1)))
    told: list[Any] = []
    done, dropped, kept = store.traces.settle(store.program, lambda *each: told.append(each), 1.0, 1 << 10)
    assert (done, dropped, kept, told) == (1, 1, [], [(trace_id(2), False, 1 << 10)])
    assert [each.trace_id for each in store.take()] == [trace_id(1), trace_id(3)]
    assert store.traces.held == (0, 0)


def test_eager_traces_are_decided_by_the_span_that_settles_it(kernel: Kernel) -> None:
    """With span-ingest a trace is kept as soon as a policy keeps it, with what has come so far; the rest is not kept."""
    store = Store(kernel, eager=True)
    store.keep_with(kernel.Program([Node(STATUS_IN, 0b100)], Rules(ingest=1)))
    store.add(wire.plain_request(span(1, 1), span(2, 1)))
    assert store.traces.settle(store.program, forget, 1.0) == (0, 0, [])
    store.add(wire.plain_request(span(1, 2, status=2), span(2, 2), span(1, 3)))
    (kept,) = store.traces.settle(store.program, forget, 1.0)[2]
    assert (kept.trace_id, kept.spans) == (trace_id(1), 3)
    assert store.traces.decide(store.program, EVER, 9, forget)[:2] == (1, 2)
    assert store.traces.held == (0, 0)


def test_what_a_trace_measures(kernel: Kernel) -> None:
    """The spans, and what they stand in once for each request, as the Collector counts: the size of a request of it alone."""
    store = Store(kernel)
    one = wire.message(1, wire.padding(50), wire.message(2, wire.padding(20), wire.bytes_field(2, span(1, 1))))
    store.add(one)
    assert store.traces.look(trace_id(1))[1] == len(one)
    store.add(wire.message(1, wire.padding(50), wire.message(2, wire.padding(20), wire.bytes_field(2, span(1, 2)))))
    assert store.traces.look(trace_id(1))[1] == 2 * len(one)


# ---------------------------------------------------------------- the arena


def test_memory_is_used_again(kernel: Kernel) -> None:
    """Traces that come and go in a steady stream take no more room than those that wait."""
    store = Store(kernel, bytes_max=1 << 20)
    most = 0
    for bucket in range(60 if kernel.form == "pure" else 400):
        made = [span(10 * bucket + n % 5 + 1, n + 1, wire.padding(300 + n)) for n in range(20)]
        store.add(wire.plain_request(*made), bucket)
        store.take(bucket_max=bucket - 5)
        most = max(most, store.traces.held[1])
    assert most < 7 * 20 * 400 + 5 * SEGMENT
    store.take()
    assert store.traces.held == (0, 0)


def test_a_trace_over_many_segments_leaves_nothing_behind(kernel: Kernel) -> None:
    """A trace whose fragments lie in many segments, in some of them alone, comes out whole, and its memory with it."""
    for alone in (True, False):
        store = Store(kernel, bytes_max=20_000)
        bodies = []
        for number in range(1, 120):
            others = [] if alone else [span(number + 1, 1000 + number, wire.padding(number * 7 % 300))]
            bodies.append(span(1, number, wire.padding(number * 37 % 490)))
            store.add(wire.plain_request(bodies[-1], *others), number)
        (kept,) = store.take(1)
        assert wire.view_spans(kept.request) == bodies
        assert len(store.take()) == (0 if alone else 119)
        assert store.traces.held == (0, 0)
        store.add(wire.plain_request(*bodies[::-1]), 1)
        assert wire.view_spans(store.take()[0].request) == bodies[::-1]
        assert store.traces.held == (0, 0)


def test_a_large_envelope_is_paid_for_once(kernel: Kernel) -> None:
    """What a trace takes to come out is what comes out, however many of its fragments stand in one large envelope."""
    store = Store(kernel, bytes_max=1 << 24)
    resource = wire.padding(100_000)
    store.add(wire.plain_request(*[span(n % 2 + 1, n + 1) for n in range(2000)], resource=resource))
    tracemalloc.start()
    try:
        kept = store.take()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [each.spans for each in kept] == [1000, 1000]
    assert peak < 6 * sum(len(each.request) for each in kept)


def test_envelopes_are_told_apart_and_forgotten(kernel: Kernel) -> None:
    """However many envelopes there are, each span comes out in its own; with their last span they cost nothing any more."""
    store = Store(kernel, bytes_max=1 << 22)
    for turn in range(3):
        for number in range(300):
            own = wire.bytes_field(3, b"%d" % (number % 150 + 1000 * turn))
            store.add(wire.plain_request(span(number, 1), resource=own), turn)
        for number, kept in enumerate(store.take()):
            ((envelope, _),) = split(kept.request).scopes
            assert envelope.resource == wire.bytes_field(3, b"%d" % (number % 150 + 1000 * turn))
        assert store.traces.held == (0, 0)


def test_an_envelope_lasts_as_long_as_a_span_stands_in_it(kernel: Kernel) -> None:
    """An envelope whose spans left one segment, which was filled anew, still belongs to the spans that came then."""
    store = Store(kernel, bytes_max=20_000)
    resource = wire.bytes_field(3, b"shop")
    bodies = [
        [span(trace, n + 1, wire.padding(400)) for n in range(count)] for trace, count in ((1, 8), (2, 4), (3, 4))
    ]
    for made, bucket in zip(bodies, (9, 1, 10), strict=True):
        store.add(wire.plain_request(*made, resource=resource), bucket)
        if bucket == 1:
            assert [each.trace_id for each in store.take(bucket_max=1)] == [trace_id(2)]
    for trace, made in ((1, bodies[0]), (3, bodies[2])):
        (kept,) = store.take(1)
        assert (kept.trace_id, kept.request) == (trace_id(trace), wire.plain_request(*made, resource=resource))
    assert store.traces.held == (0, 0)


def test_spans_that_lie_apart_are_let_go(kernel: Kernel) -> None:
    """Spans too large for a segment leave memory with their trace."""
    store = Store(kernel, bytes_max=20_000)
    store.take()
    tracemalloc.start()
    try:
        for turn in range(20):
            store.add(wire.plain_request(*[span(n, 1, wire.padding(20_000)) for n in range(turn + 1)]))
            taken = len(store.take())
            assert taken == turn + 1
        store.spans.read(b"")
        left = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert left < 200_000


def test_span_ids_of_large_traces_are_counted(kernel: Kernel) -> None:
    """The ids of a trace of very many spans are kept for quick search, and what that takes is part of what is held."""
    store = Store(kernel, bytes_max=1 << 24)
    few, many = [[span(trace, n + 1) for n in range(count)] for trace, count in ((1, 64), (2, 5000))]
    store.add(wire.plain_request(*few))
    before = store.traces.held[1]
    store.add(wire.plain_request(*many))
    assert store.traces.held[1] - before > 5000 * (50 + 90)
    assert store.add(wire.plain_request(*many[::7], *few)).duplicates == len(many[::7]) + 64
    store.take()
    assert store.traces.held == (0, 0)


# ---------------------------------------------------------------- rows and index


def colliding(count: int) -> list[bytes]:
    """Ids that seed 0 sends to the last places of the smallest index and to its first ones."""
    probe = Traces(load("pure").Spans(facts=True), bytes_max=1 << 20)
    dice = random.Random(5)
    found: list[bytes] = []
    while len(found) < count:
        low, high = dice.getrandbits(64), dice.getrandbits(64)
        if probe._slot(low, high) in (0, 1, 1021, 1022, 1023):
            found.append(low.to_bytes(8, "little") + high.to_bytes(8, "little"))
    return found


def test_ids_in_one_place_of_the_index(kernel: Kernel) -> None:
    """Traces whose ids share a place of the index are found, opened and taken out as any others, in any order."""
    ids = colliding(120)
    dice = random.Random(6)
    store = Store(kernel)
    waiting: dict[bytes, int] = {}
    for turn in range(40 if kernel.form == "pure" else 300):
        for own in dice.sample(ids, 12):
            number = turn + 1
            added = store.add(wire.plain_request(span(own, number)), dice.randrange(50))
            assert added.traces == (own not in waiting)
            waiting[own] = waiting.get(own, 0) + 1
        for kept in store.take(dice.randrange(12)):
            assert waiting.pop(kept.trace_id) == kept.spans
        assert len(store.traces) == len(waiting)


def test_nobody_can_foresee_the_index() -> None:
    """Ids chosen to share a place under one seed are spread under another, whichever half of the id they differ in."""
    inverse = pow(0xBF58476D1CE4E5B9, -1, 1 << 64)
    word = (1 << 64) - 1
    families = [
        [(7, n * inverse & word) for n in range(1, 800)],
        [(n, 7) for n in range(1, 800)],
        [(7, n) for n in range(1, 800)],
        [(n * pow(0x9E3779B97F4A7C15, -1, 1 << 64) & word, 7) for n in range(1, 800)],
    ]
    for seed in (1, 2, 0x1234567812345678):
        probe = Traces(load("pure").Spans(facts=True), bytes_max=1 << 20, seed=seed)
        for family in families:
            slots = Counter(probe._slot(low, high) for low, high in family)
            assert max(slots.values()) < 60, "chance gives 6; arithmetic progressions some more"


def test_rows_and_index_grow_and_shrink(kernel: Kernel) -> None:
    """A burst of small traces is found again, trace by trace, while it grows, while it goes, and in the next burst."""
    count = 3_000 if kernel.form == "pure" else 30_000
    store = Store(kernel, bytes_max=1 << 28)
    for burst in range(2):
        for first in range(0, count, 500):
            store.add(wire.plain_request(*[span(n, 1) for n in range(first, first + 500)]), first)
        again = store.add(wire.plain_request(*[span(n, 1) for n in range(0, count, 7)]), 0)
        assert (again.spans, again.traces, again.duplicates) == (0, 0, len(range(0, count, 7)))
        left = count
        while left > 10:
            taken = store.take(max(1, left // 3))
            assert [each.trace_id for each in taken] == [
                trace_id(n) for n in range(count - left, count - left + len(taken))
            ]
            left -= len(taken)
            again = store.add(wire.plain_request(*[span(n, 1) for n in range(count - left, count)[:50]]), 0)
            assert (again.spans, again.duplicates) == (0, min(50, left)), burst
        store.take()
        assert store.traces.held == (0, 0)


def test_rows_of_traces_that_went_before_their_time(kernel: Kernel) -> None:
    """Traces that are hastened, too large or neither come out once each when they are due, in bursts of many, and ids that come
    again while the row of their first trace is still to be met are new traces."""
    dice = random.Random(8)
    burst, turns = (40, 60) if kernel.form == "pure" else (2_500, 70)
    store = Store(kernel, bytes_max=1 << 26, trace_bytes_max=3_000)
    waiting: dict[bytes, tuple[int, int]] = {}
    for turn in range(1, turns):
        made, large = [], 0
        for number in range(burst if turn % 30 < 18 else burst // 100):
            own, kind = trace_id(dice.randrange(12 * burst)), dice.randrange(10)
            due = turn + 2 if kind < 5 else turn + 20
            if kind == 9 and own not in waiting:
                made.append(span(own, 1, PARENT, wire.padding(3_000)))
                large += 1
                waiting[own] = 0, 1  # nothing else of this request finds it undecided afterwards
                continue
            made.append(span(own, turn * burst + number + 1, *([] if kind < 5 else [PARENT])))
            before = waiting.get(own, (EVER, 0))
            waiting[own] = min(due, before[0]) if before[0] else 0, before[1] + 1
        store.add(wire.plain_request(*made), turn + 20, early=turn + 2)
        settled = store.traces.settle(store.program, forget)
        assert settled[0] == large
        waiting = {own: held for own, held in waiting.items() if held[0]}
        due_now = {own: held[1] for own, held in waiting.items() if held[0] <= turn}
        assert {each.trace_id: each.spans for each in store.take(bucket_max=turn)} == due_now
        waiting = {own: held for own, held in waiting.items() if own not in due_now}
        assert len(store.traces) == len(waiting)
        assert store.traces.held[1] >= len(waiting) * ROW_BYTES
    assert {each.trace_id: each.spans for each in store.take()} == {own: held[1] for own, held in waiting.items()}
    assert store.traces.held == (0, 0) and store.traces.first_bucket() is None


def test_rows_of_decided_traces_are_part_of_what_is_held(kernel: Kernel) -> None:
    """However many traces are decided before their time, there are rows for more; they count until they are swept, which is
    before there are 9,000 of them."""
    turns, most = (20, 100) if kernel.form == "pure" else (50, 1_000)
    with mock.patch.object(limits, "REQUEST_BYTES_MAX", 30_000):  # else there is room for two million beyond the budget
        store = Store(kernel, bytes_max=1 << 23)
    store.keep_with(kernel.Program([]))
    for turn in range(1, turns + 1):
        store.add(
            wire.plain_request(*[span(n, 1) for n in range(turn * most, turn * most + most)]), EVER >> 20, early=turn
        )
        assert store.traces.decide(store.program, turn, most, forget)[0] == most
    assert store.traces.held[1] <= 9_000 * ROW_BYTES
    assert store.traces.decide(store.program, EVER, most, forget) == (0, 0, [])
    assert store.traces.held == (0, 0)


# ---------------------------------------------------------------- memory of the process

MEMORY = """
import sys
from gateway.kernel import load
from tests.support import wire

traces, spans, size, turns = map(int, sys.argv[1:])
kernel = load("compiled")

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

def request(first):
    out = []
    for trace in range(first, first + 500):
        head = b"\\x0a\\x10" + ((trace + 1) * 0x9E3779B97F4A7C15 & (1 << 64) - 1).to_bytes(16, "big") + b"\\x12\\x08"
        out += [wire.bytes_field(2, head + (trace * spans + n + 1).to_bytes(8, "big") + pad) for n in range(spans)]
    return wire.message(1, wire.message(2, *out))

pad = wire.padding(size - 36) if size > 36 else b""
read = kernel.Spans(facts=True)
store = kernel.Traces(read, bytes_max=2 << 30, seed=1)
program = kernel.Program([])
store.join(program)
body = request(1_000_000_000)
read.read(body); store.add(body, 0, lambda _: None); store.decide(program, 0, 500, lambda *_: None)
start = resident()
for turn in range(turns):
    for first in range(0, traces, 500):
        body = request(first)
        assert read.read(body) == 500 * spans
        store.add(body, first, lambda _: None)
    full, held = resident(), store.held[1]
    assert store.held[0] == traces * spans
    while store.decide(program, 2**62, 2000, lambda *_: None)[0]:
        pass
    assert store.held == (0, 0)
    print(start, full, held, resident())
"""


def measured(traces: int, spans: int, size: int, turns: int) -> list[list[int]]:
    """For each turn [resident before all, full, counted as held, resident when all were decided], in a process of its own."""
    try:
        load("compiled")
    except ImportError as error:
        pytest.skip(str(error))
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, *map(str, (traces, spans, size, turns))],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return [[int(word) for word in line.split()] for line in done.stdout.splitlines()]


MIB = 1 << 20


def test_a_buffered_span_of_350_bytes_takes_430() -> None:
    """200,000 traces of eight 350-byte spans take at most 430 bytes of the process's memory a span, which is what is
    counted; when they are decided it goes back to the system but for what is kept ready."""
    ((start, full, held, after),) = measured(200_000, 8, 350, 1)
    assert full - start <= 430 * 1_600_000
    assert 0.95 < held / (full - start) < 1.15
    assert after - start < limits.FREED_BYTES_KEPT + 16 * MIB


def test_a_burst_of_tiny_traces_goes_back_too() -> None:
    """A million traces of one small span leave neither rows nor index behind; a second million takes no more."""
    for start, full, held, after in measured(1_000_000, 1, 0, 2):
        assert 0.9 < held / (full - start) < 1.3
        assert after - start < limits.FREED_BYTES_KEPT + 16 * MIB
