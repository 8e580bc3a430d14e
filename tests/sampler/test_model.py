"""The core against a naive model, over random interleavings of requests, duplicates, rubbish, time and a moody backend.

The model decodes everything with the official classes into a dict of lists. What must hold: every accepted span is dropped,
exported or lost, or still held (conservation); one decision a trace; what leaves is what came; decisions are on time.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import limits, metrics
from gateway.config.settings import Batch, Retry
from gateway.core import Accepted, Invalid
from tests.support.samplers import KEEP_ERRORS, Driven, drive, otlp
from tests.support.spans import ERROR, UNSET, Span, export_request, resource_spans, span, spans_of

WAIT = 1.0
TRACES = "ABCD"


@dataclass
class Trace:
    first_at: float
    spans: dict[bytes, Span] = field(default_factory=dict)

    @property
    def kept(self) -> bool:
        """Whether the policy in force, errors, wants the trace."""
        return any(each.status.code == ERROR for each in self.spans.values())


@dataclass
class Model:
    """Traces as lists of decoded spans. Decides a trace when the core should have decided it."""

    waiting: dict[bytes, Trace] = field(default_factory=dict)
    kept: dict[bytes, set[bytes]] = field(default_factory=dict)
    dropped: dict[bytes, int] = field(default_factory=dict)
    wanted: dict[tuple[bytes, bytes], bytes] = field(default_factory=dict)
    duplicates: int = 0
    accepted: int = 0
    spans_dropped: int = 0

    def receive(self, spans: list[Span], now: float) -> None:
        for each in spans:
            self.accepted += 1
            if each.trace_id in self.dropped:
                self.spans_dropped += 1
            elif each.trace_id in self.kept:
                self.want(each) if each.span_id not in self.kept[each.trace_id] else self.duplicate()
            else:
                trace = self.waiting.setdefault(each.trace_id, Trace(now))
                if each.span_id in trace.spans:
                    self.duplicate()
                else:
                    trace.spans[each.span_id] = each

    def duplicate(self) -> None:
        self.duplicates += 1

    def want(self, each: Span) -> None:
        self.kept[each.trace_id].add(each.span_id)
        self.wanted[each.trace_id, each.span_id] = each.SerializeToString()

    def decide(self, trace_id: bytes) -> None:
        trace = self.waiting.pop(trace_id)
        if trace.kept:
            self.kept[trace_id] = set()
            for each in trace.spans.values():
                self.want(each)
        else:
            self.dropped[trace_id] = len(trace.spans)
            self.spans_dropped += len(trace.spans)


spans = st.builds(
    lambda trace, number, failed: span(trace, number, status=ERROR if failed else UNSET, start_ms=1, end_ms=2),
    st.sampled_from(TRACES),
    st.integers(1, 8),
    st.booleans(),
)
steps = st.one_of(
    st.tuples(st.just("send"), st.lists(st.lists(spans, max_size=6), max_size=3)),
    st.tuples(st.just("again"), st.none()),
    st.tuples(st.just("rubbish"), st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("wait"), st.floats(0.0, 1.5)),
    st.tuples(st.just("backend"), st.sampled_from(["up", "down", "silent", "refusing"])),
)


def check_conservation(world: Driven) -> None:
    """Every accepted span is accounted for exactly once."""
    world.sampler.publish()
    held = world.tally.get(metrics.BUFFER_SPANS) + world.tally.get(metrics.OUTBOX_SPANS, "backend")
    gone = world.count(metrics.SPANS_DROPPED) + world.count(metrics.SPANS_EXPORTED) + world.count(metrics.SPANS_LOST)
    assert world.count(metrics.SPANS_ACCEPTED) == held + gone + world.count(metrics.SPANS_DUPLICATE)


def advance(world: Driven, model: Model, to: float) -> None:
    """Let the time go by in both; the core's decisions are seen through its counter, trace by trace."""
    while (at := world.sampler.next_deadline()) is not None and at <= to:
        tick(world, model, max(at, world.now))
    tick(world, model, to)


def tick(world: Driven, model: Model, at: float) -> None:
    before = world.count(metrics.TRACES_DECIDED)
    world.advance(at)
    due = [trace_id for trace_id, trace in model.waiting.items() if trace.first_at + WAIT <= at]
    decided = world.count(metrics.TRACES_DECIDED) - before
    assert decided <= len(due), "no trace is decided early"
    late = [each for each in due if model.waiting[each].first_at + WAIT + limits.DECISION_SLACK <= at]
    assert decided >= len(late), "no trace is decided later than promised"
    for trace_id in due[:decided]:  # the core decides in order of arrival, as does the model
        model.decide(trace_id)


def check_exports(world: Driven, model: Model) -> None:
    """What was delivered is wanted, unchanged, and came once."""
    seen: set[tuple[bytes, bytes]] = set()
    for send in world.delivered:
        for each in spans_of(send.request):
            key = each.trace_id, each.span_id
            assert key not in seen and model.wanted[key] == each.SerializeToString()
            seen.add(key)
    lost = world.count(metrics.SPANS_LOST)
    world.sampler.publish()
    assert len(seen) + lost + world.tally.get(metrics.OUTBOX_SPANS, "backend") == len(model.wanted)


@given(st.lists(steps, max_size=30))
@settings(max_examples=150, deadline=None)
def test_the_core_does_what_a_naive_model_does(story: list[tuple[str, object]]) -> None:
    """Whatever comes in whatever order, no span is lost or doubled unaccounted for, and every trace is decided once, on time."""
    retry = Retry(initial=0.3, max=0.6, multiplier=2.0, jitter=0.0, elapsed_max=2.0)
    world = drive(
        KEEP_ERRORS, exporters=(otlp(retry=retry),), decision_wait=WAIT, batch=Batch(linger=0.1), duplicate_window=1e9
    )
    model = Model()
    last: list[list[Span]] = []
    for what, value in story:
        match what, value:
            case "send", list():
                last = value
                send(world, model, last)
            case "again", _:
                send(world, model, last)
            case "rubbish", bytes():
                rubbish(world, model, value)
            case "wait", float():
                advance(world, model, world.now + value)
            case "backend", str():
                world.backend = value
                world.answer()
        check_conservation(world)
    finish(world, model)


def send(world: Driven, model: Model, parts: list[list[Span]]) -> None:
    body = export_request(*[resource_spans(each, service=f"service {len(each)}") for each in parts])
    assert world.receive(body) == Accepted()
    model.receive([each for part in parts for each in part], world.now)


def rubbish(world: Driven, model: Model, value: bytes) -> None:
    """Bytes of no meaning are refused, or hold no span."""
    before = world.count(metrics.SPANS_ACCEPTED)
    outcome = world.receive(value)
    assert isinstance(outcome, Accepted | Invalid) and world.count(metrics.SPANS_ACCEPTED) == before


def finish(world: Driven, model: Model) -> None:
    """With the backend back everything comes to rest, and the sums are right."""
    world.backend = "up"
    world.answer()
    advance(world, model, world.now + WAIT + 10.0)
    assert not model.waiting and world.sampler.next_deadline() is None
    check_conservation(world)
    check_exports(world, model)
    assert world.count(metrics.SPANS_DUPLICATE) == model.duplicates
    assert world.count(metrics.SPANS_DROPPED) == model.spans_dropped
    assert world.count(metrics.SPANS_ACCEPTED) == model.accepted
    assert world.tally.get(metrics.TRACES_DECIDED, "keep", "errors") == len(model.kept)
    assert world.tally.get(metrics.TRACES_DECIDED, "drop", "") == len(model.dropped)


@given(st.lists(st.tuples(spans, st.floats(0.0, 0.4)), max_size=60), st.integers(1, 3), st.integers(2_500, 12_000))
@settings(max_examples=100, deadline=None)
def test_bounds_hold_under_any_load(story: list[tuple[Span, float]], traces_max: int, budget: int) -> None:
    """However little room there is, neither bound is exceeded and every accepted span is accounted for."""
    world = drive(KEEP_ERRORS, decision_wait=WAIT, num_traces=traces_max, budget=budget, batch=Batch(linger=0.1))
    world.backend = "silent"
    for number, (each, pause) in enumerate(story):
        each.span_id = (number + 1).to_bytes(8, "big")
        world.receive(export_request(resource_spans([each])))
        world.sampler.publish()
        assert world.tally.get(metrics.BUFFER_TRACES) <= traces_max
        assert world.tally.get(metrics.BUFFER_BYTES) <= budget
        check_conservation(world)
        world.advance(world.now + pause)
    world.backend = "up"
    world.answer()
    world.advance(world.now + 5.0)
    check_conservation(world)
    assert world.count(metrics.SPANS_LOST) == 0
