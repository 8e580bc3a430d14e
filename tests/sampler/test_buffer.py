"""sampler.buffer: what it holds, when it decides, by which policies, and that it knows what it costs."""

from __future__ import annotations

import math
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway import limits
from gateway.config.settings import PolicySettings, TailSampling
from gateway.errors import MalformedRequestError
from gateway.kernel.journal import Journal
from gateway.kernel.names import DUE, EVICTED_BYTES, KEEP, ROOT, SHUTDOWN, SKIPPED, Added
from gateway.otlp.split import split
from sampler.buffer import BUCKET, SPAN_BYTES, Buffer, Decided, Note
from sampler.policy.build import build
from tests.support.spans import ERROR, MS, export_request, padded, request, resource_spans, span, spans_of, trace_id

A, B, C = trace_id("A"), trace_id("B"), trace_id("C")
KEEP_ALL = (PolicySettings("all", "always_sample"),)
ERRORS = (PolicySettings("errors", "status_code", (("status_codes", ("ERROR",)),)),)


def latency(name: str, threshold: int, upper: int = 0) -> PolicySettings:
    return PolicySettings(name, "latency", (("threshold_ms", threshold), ("upper_threshold_ms", upper)))


def made(
    decision_wait: float = 10.0,
    policies: tuple[PolicySettings, ...] = KEEP_ALL,
    journal: Journal | None = None,
    **more: Any,
) -> Buffer:
    wanted = TailSampling(policies, decision_wait, **{"num_traces": 1000, **more})
    return Buffer(wanted, build(wanted), journal or Journal(len(policies), 1 << 16), bytes_max=1 << 20)


def add(buffer: Buffer, body: bytes, now: float = 0.0, decided: dict[bytes, bool] | None = None) -> Added:
    buffer.read(body)
    return buffer.add(body, now, (decided or {}).get)


def forget(_: bytes, __: bool, ___: int) -> None:
    return None


def due(buffer: Buffer, now: float, most: int = 1000) -> Decided:
    return buffer.decide_due(now, now if now < math.inf else 99.0, most, forget)


def ids(decided: Decided) -> list[bytes]:
    return [each.trace_id for each in decided.kept]


def test_spans_are_gathered_by_trace() -> None:
    """Interleaved spans of several traces, resources and requests come out by trace, in order of arrival, unchanged."""
    buffer = made()
    a1, b1, a2, a3, a4 = span("A", 1), span("B", 1, values={"x": 1}), span("A", 2), span("A", 3), span("A", 4)
    added = add(buffer, export_request(resource_spans([a1, b1, a2]), resource_spans([a3], service="cart")))
    assert (added.spans, added.traces, added.duplicates) == (4, 2, 0)
    add(buffer, request(a4), 1.0)
    assert (len(buffer), buffer.spans) == (2, 5)
    one, other = due(buffer, 10.0).kept
    assert (one.trace_id, one.spans, other.trace_id, other.spans) == (A, 4, B, 1)
    assert spans_of(one.request) == [a1, a2, a3, a4] and spans_of(other.request) == [b1]
    assert one.span_ids == b"".join(each.span_id for each in (a1, a2, a3, a4))
    assert len({scope.envelope.resource for scope in split(one.request).scopes}) == 2


def test_what_was_read_is_told() -> None:
    """A request's valid and rejected spans are counted before any of it is stored."""
    buffer = made()
    body = request(span("A", 1), span("A", 0), span(b"short", 3))
    found = buffer.read(body)
    (scope,) = split(body).scopes
    assert found == (1, 2, "span id is zero", len(scope.envelope.resource) + len(scope.envelope.scope))
    assert len(buffer) == buffer.held == 0


def test_a_request_that_cannot_be_read_leaves_nothing() -> None:
    """Spans in front of what cannot be read are not added, neither then nor with the next request."""
    buffer = made()
    with pytest.raises(MalformedRequestError):
        buffer.read(request(span("A", 1), span("B", 2)) + b"\x0a\x05")
    assert add(buffer, request(span("C", 3))) == Added(1, 1, 0, {}, [])
    assert add(buffer, b"") == Added(0, 0, 0, {}, [])
    assert ids(due(buffer, 11.0)) == [C]


def test_duplicates_are_left_out_before_the_facts() -> None:
    """A span id that its trace has already is counted and neither stored nor folded; other traces may have it."""
    buffer = made(policies=ERRORS)
    assert add(buffer, request(span("A", 1), span("A", 1, status=ERROR), span("B", 1))).duplicates == 1
    assert add(buffer, request(span("A", 1, status=ERROR)), 5.0).duplicates == 1
    assert due(buffer, 10.0) == Decided(2, 2, [])


def test_spans_of_decided_traces_are_not_buffered() -> None:
    """Late spans of kept traces are handed back, those of dropped traces counted."""
    buffer = made()
    a1, a3 = span("A", 1), span("A", 3)
    body = request(a1, span("B", 2), a3, span("C", 4))
    added = add(buffer, body, decided={A: True, B: False})
    assert added.late_dropped == {B: 1} and added.spans == 1 and added.traces == 1
    ((envelope, found),) = split(body).scopes
    assert [each[:3] for each in added.late] == [(A, a1.span_id, envelope), (A, a3.span_id, envelope)]
    assert [each[3] for each in added.late] == [body[each[2] : each[4]] for each in (found[0], found[2])]
    assert ids(due(buffer, 10.0)) == [C]


@pytest.mark.parametrize("now", [0.0, 0.01, 0.04999, 0.05, 1 / 3, 1e6 + 0.1, 123456.789])
@pytest.mark.parametrize("wait", [0.0, 0.001, 0.05, 0.1, 10.0, 30.0])
def test_a_trace_is_due_within_one_bucket_of_its_time(now: float, wait: float) -> None:
    """No trace is decided before its time, and none more than one bucket after it."""
    buffer = made(wait)
    add(buffer, request(span("A", 1)), now)
    at = buffer.next_deadline()
    assert at is not None and now + wait <= at < now + wait + BUCKET + 1e-9
    assert due(buffer, at - 1e-6).traces == 0
    assert ids(due(buffer, at)) == [A]
    assert buffer.next_deadline() is None


def test_a_later_span_does_not_move_the_deadline() -> None:
    """A trace is due by its first span, whatever comes later."""
    buffer = made()
    add(buffer, request(span("A", 1)), 0.0)
    add(buffer, request(span("A", 2), span("B", 1)), 9.0)
    assert ids(due(buffer, 10.0)) == [A]
    assert buffer.next_deadline() == 19.0


def test_the_oldest_is_decided_first() -> None:
    """Traces are decided in order of arrival, and one that was decided early is not due any more."""
    buffer = made()
    add(buffer, request(span("A", 1), span("B", 1)), 0.0)
    add(buffer, request(span("C", 1)), 1.0)
    assert [ids(buffer.decide_oldest(1.0, forget, EVICTED_BYTES)) for _ in range(2)] == [[A], [B]]
    assert buffer.next_deadline() == 11.0
    assert ids(due(buffer, 11.0)) == [C]
    assert buffer.decide_oldest(1.0, forget, EVICTED_BYTES) == Decided(0, 0, [])


def test_no_more_are_decided_than_asked_for() -> None:
    """Of the traces that are due at most so many are decided; the others remain due."""
    buffer = made()
    add(buffer, request(*[span(f"T{number}", number) for number in range(1, 8)]))
    assert [due(buffer, 10.0, 3).traces for _ in range(4)] == [3, 3, 1, 0]
    add(buffer, request(*[span(f"T{number}", number) for number in range(1, 8)]))
    assert due(buffer, 9.9).traces == 0
    assert due(buffer, math.inf).traces == 7


def test_policies_decide_in_their_order() -> None:
    """Each trace is decided once: kept by the first policy that wants it, or dropped; whoever remembers is told of all."""
    buffer = made(policies=(latency("bounded", 5, 9), *ERRORS, latency("slow", 50)))
    times = {"A": (100, 107), "B": (100, 200), "C": (100, 109), "D": (100, 101), "E": (100, 101)}
    for number, (name, (start, end)) in enumerate(times.items(), start=1):
        status = ERROR if name in "CD" else 0
        add(
            buffer, request(span(name, number, start_ms=start, end_ms=end, status=status), span(name, 99, start_ms=100))
        )
    told: list[tuple[bytes, bool, int]] = []
    decided = buffer.decide_due(10.0, 12.3, 1000, lambda *each: told.append(each))
    assert [each[:2] for each in told] == [(trace_id(name), name != "E") for name in times]
    notes = [Note.read(note, 400_000.0) for _, _, note in told]
    assert [each.policy for each in notes] == [0, 2, 0, 1, -1]
    assert all(abs(each.decided_at - 12.3) < 1e-6 for each in notes)
    assert [(each.trace_id, each.policy) for each in decided.kept] == [(A, 0), (B, 2), (C, 0), (trace_id("D"), 1)]
    assert (decided.traces, decided.spans_dropped) == (5, 2)


def child(trace: str) -> Span:
    made = span(trace, 1)
    made.parent_span_id = b"a parent"
    return made


def test_why_a_trace_was_decided_when_it_was() -> None:
    """Every decision is in the journal, with its cause."""
    journal = Journal(1, 1 << 16)
    buffer = made(journal=journal, decision_wait_after_root_received=2.0)
    add(buffer, request(child("A"), child("B"), span("C", 1)), 0.0)
    add(buffer, request(child("D"), child("E")), 1.0)
    assert buffer.next_deadline() == 2.0
    due(buffer, 2.0)
    buffer.decide_oldest(3.0, forget, EVICTED_BYTES)
    due(buffer, 10.0)
    buffer.decide_due(math.inf, 10.5, 1, forget, SHUTDOWN)
    assert buffer.drop(9, forget, 10.7).spans_dropped == 1
    found = [(each.trace_id, each.cause, each.decided_at, each.keep) for each in journal.since(0)]
    expected = [(C, ROOT, 2.0, True), (A, EVICTED_BYTES, 3.0, True), (B, DUE, 10.0, True)]
    expected += [(trace_id("D"), SHUTDOWN, 10.5, True), (trace_id("E"), SHUTDOWN, 10.7, False)]
    assert found == expected
    assert [list(each.votes) for each in journal.since(3)] == [[KEEP], [SKIPPED]]


def test_a_waiting_trace_can_be_looked_at() -> None:
    """Of an undecided trace it is known how many spans it has, what they measure and when it is due."""
    buffer = made()
    body = request(span("A", 1))
    add(buffer, body, 3.0)
    found = buffer.look(A)
    assert found is not None and found[:2] == (1, len(body)) and abs(found.due_at - 13.0) < 1e-6
    due(buffer, 13.0)
    assert buffer.look(A) is None


def test_an_empty_buffer_costs_nothing() -> None:
    """Whatever way traces leave, all of their bytes leave with them."""
    buffer = made(policies=(latency("l", 1, 300),))
    spans = [span(f"T{n % 7}", n, start_ms=1, end_ms=n) for n in range(1, 400)]
    add(buffer, export_request(resource_spans(spans[:200]), resource_spans(spans[200:], service="b")), 0.0)
    add(buffer, request(*spans[::3], span("late", 1)), 5.0)
    assert buffer.held > sum(each.ByteSize() + 8 for each in spans)
    buffer.decide_oldest(6.0, forget, EVICTED_BYTES)
    due(buffer, 10.0)
    due(buffer, math.inf)
    assert (buffer.held, buffer.spans, len(buffer), buffer.next_deadline()) == (0, 0, 0, None)


@pytest.mark.parametrize(("spans", "size"), [(8, 350), (200, 40), (1, 100), (3, 30_000)])
def test_the_cost_is_known_beforehand(spans: int, size: int) -> None:
    """What a request of one trace will take is foreseen to the trace's own row and envelope."""
    buffer = made()
    body = request(*padded([span("A", number + 1, start_ms=MS) for number in range(spans)], size))
    buffer.read(body)
    foreseen = buffer.cost_of(len(body), spans)
    assert foreseen == len(body) + spans * SPAN_BYTES
    add(buffer, body)
    ids_in_set = 120 * spans if spans > 64 else 0
    assert buffer.held <= foreseen + 1_000 + ids_in_set
    assert buffer.held >= len(body)


def test_what_is_kept_at_once_is_bounded_in_bytes() -> None:
    """Traces that share a large resource each get their own when they are kept, and no more of them at once than fit."""
    buffer = made()
    resource = resource_spans([span(f"T{number}", number) for number in range(1, 41)], service="x" * (1 << 20))
    add(buffer, export_request(resource))
    first = due(buffer, 10.0)
    assert sum(len(each.request) for each in first.kept) >= limits.DECIDE_BYTES_AT_ONCE
    assert sum(len(each.request) for each in first.kept[:-1]) < limits.DECIDE_BYTES_AT_ONCE
    assert first.traces < 40 and first.traces + due(buffer, 10.0).traces + due(buffer, 10.0).traces == 40
