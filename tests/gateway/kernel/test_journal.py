"""gateway.kernel.journal: the last decisions, as far as there is room."""

from __future__ import annotations

from gateway.kernel import Kernel
from gateway.kernel.journal import Journal
from gateway.kernel.names import ALWAYS, Node
from tests.support import wire


def trace_id(number: int) -> bytes:
    return number.to_bytes(4, "big") * 4


def decide(kernel: Kernel, journal: Journal, traces: int, now: float = 1.5, again: int = 0) -> None:
    """So many traces are kept by the only policy, and then some of the first once more."""
    spans = kernel.Spans(facts=True)
    store = kernel.Traces(spans, bytes_max=1 << 22)
    program = kernel.Program([Node(ALWAYS)], journal=journal)
    store.join(program)
    for count in (traces, again):
        body = wire.plain_request(*[wire.plain_span(trace_id(n), bytes(7) + b"a") for n in range(1, count + 1)])
        spans.read(body)
        store.add(body, 1, lambda _: None)
        store.decide(program, 1, 1 << 30, lambda *_: None, now)
        now += 1


def test_every_decision_is_there_until_there_is_no_room(kernel: Kernel) -> None:
    """Records come out in order, the last of them when there are more than fit, and each is found by its trace id."""
    journal = Journal(1, 48 * 3000)
    assert (journal.record_bytes, journal.capacity, journal.held) == (48, 3000, 0)
    decide(kernel, journal, 2500)
    assert [record.trace_id for record in journal.since(0)] == [trace_id(n) for n in range(1, 2501)]
    decide(kernel, journal, 2500)
    assert journal.written == 5000 and journal.held == 48 * 3000
    assert [each.trace_id for each in journal.since(0)] == [trace_id(n) for n in [*range(2001, 2501), *range(1, 2501)]]
    assert [each.trace_id for each in journal.since(4998)] == [trace_id(2499), trace_id(2500)]
    found = journal.find(trace_id(7))
    assert found is not None and (found.trace_id, found.keep, found.policy, found.votes) == (
        trace_id(7),
        True,
        0,
        b"\1",
    )
    assert journal.find(trace_id(2501)) is None


def test_the_newest_record_of_a_trace_is_found(kernel: Kernel) -> None:
    """A trace that was decided twice is told of by its last decision; times keep their microseconds."""
    journal = Journal(1, 1 << 20)
    decide(kernel, journal, 20, now=7.000001, again=5)
    for number, at in ((3, 8.000001), (9, 7.000001)):
        record = journal.find(trace_id(number))
        assert record is not None and record.decided_at == at


def test_ids_that_straddle_records_are_no_find(kernel: Kernel) -> None:
    """Only an id that stands where ids stand is found."""
    journal = Journal(1, 1 << 20)
    decide(kernel, journal, 3)
    other = (journal.ring[8:16] + journal.ring[16:24]).ljust(16, b"\0")
    assert journal.find(bytes(other)) is None
    assert Journal(3, 100).find(trace_id(1)) is None
    assert journal.find(bytes(16)) is None
