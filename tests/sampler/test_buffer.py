"""sampler.buffer: what it holds, when it hands it out, and that it knows what it costs."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from gateway.otlp.join import join
from gateway.otlp.split import split
from sampler.buffer import BUCKET, Added, Buffer
from tests.support.spans import ERROR, export_request, padded, request, resource_spans, span, spans_of, trace_id

A, B, C = trace_id("A"), trace_id("B"), trace_id("C")


def nothing_decided(_: bytes) -> None:
    return None


def add(buffer: Buffer, body: bytes, now: float = 0.0, decided: dict[bytes, bool] | None = None) -> Added:
    return buffer.add(body, split(body).scopes, now, (decided or {}).get)


def test_spans_are_gathered_by_trace() -> None:
    """Interleaved spans of several traces, resources and requests come out by trace, in order of arrival, unchanged."""
    buffer = Buffer(10.0)
    a1, b1, a2, a3, a4 = span("A", 1), span("B", 1, values={"x": 1}), span("A", 2), span("A", 3), span("A", 4)
    added = add(buffer, export_request(resource_spans([a1, b1, a2]), resource_spans([a3], service="cart")))
    assert (added.spans, added.traces, added.duplicates) == (4, 2, 0)
    add(buffer, request(a4), 1.0)
    assert (len(buffer), buffer.spans) == (2, 5)
    taken = dict(buffer.take_due(10.0))
    assert list(taken) == [A, B]
    assert spans_of(join(taken[A].fragments)) == [a1, a2, a3, a4]
    assert spans_of(join(taken[B].fragments)) == [b1]
    assert len({envelope.resource for envelope, _ in taken[A].fragments}) == 2


def test_neighbours_make_one_fragment() -> None:
    """Spans of a trace that stand side by side are stored as one run; the rest of the request is let go."""
    buffer = Buffer(10.0)
    add(buffer, request(span("A", 1), span("A", 2), span("B", 1), span("A", 3)))
    taken = dict(buffer.take_all())
    assert [len(spans_of(join([each]))) for each in taken[A].fragments] == [2, 1]


def test_duplicates_are_left_out_before_the_facts() -> None:
    """A span id that its trace has already is counted and neither stored nor folded; other traces may have it."""
    buffer = Buffer(10.0)
    assert add(buffer, request(span("A", 1), span("A", 1, status=ERROR), span("B", 1))).duplicates == 1
    assert add(buffer, request(span("A", 1, status=ERROR)), 5.0).duplicates == 1
    taken = dict(buffer.take_due(10.0))
    assert taken[A].facts.span_count == taken[B].facts.span_count == 1
    assert taken[A].facts.statuses == 0b001


def test_spans_of_decided_traces_are_not_buffered() -> None:
    """Late spans of kept traces are handed back, those of dropped traces counted."""
    buffer = Buffer(10.0)
    added = add(buffer, request(span("A", 1), span("B", 2), span("A", 3), span("C", 4)), decided={A: True, B: False})
    assert added.late_dropped == 1 and added.spans == 1 and added.traces == 1 and list(added.late) == [A]
    runs = [(envelope, run) for _, envelope, run in added.late[A]]
    assert spans_of(join(runs)) == [span("A", 1), span("A", 3)]
    assert [each[0] for each in added.late[A]] == [span("A", 1).span_id, span("A", 3).span_id]
    assert len(buffer) == 1


@pytest.mark.parametrize("now", [0.0, 0.01, 0.04999, 0.05, 1 / 3, 1e6 + 0.1, 123456.789])
@pytest.mark.parametrize("wait", [0.0, 0.001, 0.05, 0.1, 10.0, 30.0])
def test_a_trace_is_due_within_one_bucket_of_its_time(now: float, wait: float) -> None:
    """No trace is handed out before its time, and none more than one bucket after it."""
    buffer = Buffer(wait)
    add(buffer, request(span("A", 1)), now)
    at = buffer.next_deadline()
    assert at is not None and now + wait <= at < now + wait + BUCKET + 1e-9
    assert not buffer.take_due(at - 1e-6)
    assert [each for each, _ in buffer.take_due(at)] == [A]
    assert buffer.next_deadline() is None


def test_a_later_span_does_not_move_the_deadline() -> None:
    """A trace is due by its first span, whatever comes later."""
    buffer = Buffer(10.0)
    add(buffer, request(span("A", 1)), 0.0)
    add(buffer, request(span("A", 2), span("B", 1)), 9.0)
    assert [each for each, _ in buffer.take_due(10.0)] == [A]
    assert buffer.next_deadline() == 19.0


def test_the_oldest_comes_out_first() -> None:
    """Traces are given up in order of arrival, and one that was is not due any more."""
    buffer = Buffer(10.0)
    add(buffer, request(span("A", 1), span("B", 1)), 0.0)
    add(buffer, request(span("C", 1)), 1.0)
    assert [buffer.take_oldest()[0] for _ in range(2)] == [A, B]
    assert buffer.next_deadline() == 11.0
    assert [each for each, _ in buffer.take_due(11.0)] == [C]


def test_an_empty_buffer_costs_nothing() -> None:
    """Whatever way traces leave, all of their bytes leave with them."""
    for prefixes in (False, True):
        buffer = Buffer(10.0, prefixes=prefixes)
        spans = [span(f"T{n % 7}", n, start_ms=1, end_ms=n) for n in range(1, 400)]
        add(buffer, export_request(resource_spans(spans[:200]), resource_spans(spans[200:], service="b")), 0.0)
        add(buffer, request(*spans[::3], span("late", 1)), 5.0)
        assert buffer.bytes > 0
        buffer.take_oldest()
        buffer.take_due(10.0)
        buffer.take_all()
        assert (buffer.bytes, buffer.spans, len(buffer), buffer.next_deadline()) == (0, 0, 0, None)


def measured(spans_a_trace: int, spans_a_request: int, size: int, prefixes: bool) -> tuple[int, int]:
    traces = [
        [span(f"T{t}", 1000 * t + n + 1, start_ms=1, end_ms=n + 2) for n in range(spans_a_trace)] for t in range(400)
    ]
    bodies = [
        request(*padded([each for trace in traces for each in trace[at : at + spans_a_request]], size))
        for at in range(0, spans_a_trace, spans_a_request)
    ]
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        buffer = Buffer(30.0, prefixes=prefixes)
        for number, body in enumerate(bodies):
            buffer.add(body, split(body).scopes, number / 10, nothing_decided)
        gc.collect()
        return buffer.bytes, tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("spans_a_trace", "spans_a_request", "size", "prefixes"),
    [(8, 8, 350, False), (8, 1, 350, False), (1, 1, 100, False), (40, 40, 200, False), (8, 8, 350, True)],
)
def test_the_bytes_named_are_the_bytes_taken(
    spans_a_trace: int, spans_a_request: int, size: int, prefixes: bool
) -> None:
    """The buffer's own sum is what Python takes for it, and rather a little more than less."""
    named, taken = measured(spans_a_trace, spans_a_request, size, prefixes)
    assert 0.95 < named / taken < 1.15
