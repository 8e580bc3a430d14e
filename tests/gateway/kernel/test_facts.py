"""The aggregate of a trace: what it means, against the Collector's latency policy and against what the kernel folds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway import kernel
from gateway.kernel.names import LONGER_THAN, MARKED, STATUS_IN, Node
from tests.support import spans, wire
from tests.support.facts import Facts, facts_of, plan_of, whole_ms

EVERYTHING = (-(2**62), 2**62)


def folds(made: list[Span], expected: Facts, marks: tuple[tuple[int, int], ...] = ()) -> bool:
    """Whether the kernel's aggregate of these spans, as far as policies can ask, is the one expected."""
    longest = expected.duration_max // spans.MS
    truths = [
        *[((STATUS_IN, 1 << code, 0), bool(expected.statuses >> code & 1)) for code in range(4)],
        ((LONGER_THAN, longest, 0), False),
        ((LONGER_THAN, max(0, longest - 1), 0), longest > 0),
        *[((MARKED, number, 0), mark in expected.inside) for number, mark in enumerate(marks)],
    ]
    found = kernel.chosen.Spans(facts=True)
    body = spans.request(*made)
    for test, true in truths:
        plan = plan_of({mark: number for number, mark in enumerate(marks)})
        traces = kernel.chosen.Traces(found, bytes_max=1 << 20, plan=plan)
        program = kernel.chosen.Program([Node(*test)])
        traces.join(program)
        found.read(body)
        traces.add(body, 0, lambda _: None)
        done, dropped, kept = traces.decide(program, 0, 1, lambda *_: None)
        if done != 1 or bool(kept) != true or sum(each.spans for each in kept) + dropped != expected.span_count:
            return False
    return True


@given(st.lists(st.tuples(wire.times, wire.times, st.integers(0, 5)), min_size=1, max_size=8))
def test_the_aggregate_is_the_collectors(values: list[tuple[int, int, int]]) -> None:
    """After any spans the aggregate is what the Collector's latency policy computes, span after span."""
    made = [
        Span(
            trace_id=bytes(15) + b"A",
            span_id=spans.span_id(number + 1),
            start_time_unix_nano=start,
            end_time_unix_nano=end,
            status=Status(code=Status.StatusCode.ValueType(code)),
        )
        for number, (start, end, code) in enumerate(values)
    ]
    least = greatest = 0
    durations = []
    for start, end, _ in values:  # as in the Collector's latency.go: a 0 counts as not yet set
        if least == 0 or start < least:
            least = start
        if greatest == 0 or end > greatest:
            greatest = end
        durations.append(greatest - least)
    marks = tuple(dict.fromkeys([*[(whole_ms(each) - 1, whole_ms(each)) for each in durations], EVERYTHING, (5, 7)]))
    facts = facts_of(made, marks)
    assert facts.inside == {each for each in marks if any(each[0] < whole_ms(long) <= each[1] for long in durations)}
    assert facts.duration_max == max([0, *durations])
    assert (facts.span_count, facts.start_min, facts.end_max) == (len(values), least, greatest)
    assert facts.statuses == sum(1 << code for code in {code for *_, code in values} if code <= 2)
    assert folds(made, facts, marks)


def test_a_start_of_zero_is_replaced_by_the_next_span() -> None:
    """A span without a start time makes the trace look as old as 1970, until the next span comes."""
    made = [spans.span("A", 1, start_ms=0, end_ms=500), spans.span("A", 2, start_ms=400, end_ms=500)]
    marks = ((499, 500), (99, 100), (100, 499))
    facts = facts_of(made, marks)
    assert facts == Facts(2, 400 * spans.MS, 500 * spans.MS, 500 * spans.MS, 1, frozenset(marks[:2]))
    assert folds(made, facts, marks)


def test_a_later_zero_start_is_the_least_again() -> None:
    """A span without a start time that comes later is the least of all."""
    made = [spans.span("A", 1, start_ms=400, end_ms=500), spans.span("A", 2, end_ms=450)]
    facts = facts_of(made)
    assert (facts.start_min, facts.duration_max) == (0, 500 * spans.MS)
    assert folds(made, facts)


def test_a_span_that_ends_before_it_starts() -> None:
    """A negative duration is no duration: the longest stays 0, and the span counts; intervals below 0 have it."""
    made = [spans.span("A", 1, start_ms=500, end_ms=400)]
    marks = ((-101, -100), (-100, 0), (-200, -101))
    facts = facts_of(made, marks)
    assert (facts.duration_max, facts.span_count, facts.inside) == (0, 1, frozenset(marks[:1]))
    assert folds(made, facts, marks)


def test_every_status_is_remembered() -> None:
    """A trace remembers each status code seen, and unknown codes are none of them."""
    for made, statuses in (
        ([spans.span("A", 1, status=spans.ERROR), spans.span("A", 2)], 0b101),
        ([spans.span("A", 1, status=7)], 0),
        ([spans.span("A", 1, status=-1), spans.span("A", 2, status=3)], 0),
    ):
        facts = facts_of(made)
        assert facts.statuses == statuses
        assert folds(made, facts)


def test_an_empty_aggregate() -> None:
    """Without a span nothing is known."""
    assert facts_of([], [EVERYTHING]) == Facts()
