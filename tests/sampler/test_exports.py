"""sampler.exports: kept spans on their way out, and what becomes of what does not arrive."""

from __future__ import annotations

from gateway import metrics
from gateway.config.settings import Batch, DebugExporter, Exporter, FileExporter, Retry
from gateway.core import Action, Cancel, Delivered, Failed, Failure, Level, Note, Send
from gateway.metrics import Tally
from sampler.exports import Exports
from sampler.kept import Piece
from tests.support.samplers import otlp
from tests.support.spans import request, span, spans_of, trace_id


def make(*exporters: Exporter, batch: Batch | None = None) -> tuple[Exports, Tally]:
    tally = Tally()
    return Exports(exporters or (otlp(),), batch or Batch(linger=0.0), tally), tally


def put(exports: Exports, *names: str, now: float = 0.0) -> None:
    for number, name in enumerate(names, 1):
        exports.put(trace_id(name), [Piece(request(span(name, number)), 1)], now)


def sends(actions: list[Action]) -> list[Send]:
    return [action for action in actions if isinstance(action, Send)]


def names(send: Send) -> str:
    return "".join(chr(each.trace_id[0]) for each in spans_of(send.request))


def note(actions: list[Action]) -> Note:
    (only,) = [action for action in actions if isinstance(action, Note)]
    return only


def test_waiting_traces_share_a_request() -> None:
    """Traces that wait for the same exporter leave together, with the timeout of that exporter."""
    exports, tally = make()
    put(exports, "A", "B")
    (send,) = sends(exports.send(0.0))
    assert (names(send), send.spans, send.destination, send.timeout) == ("AB", 2, "backend", 5.0)
    assert not exports.idle() and exports.held > len(send.request)
    assert exports.delivered(Delivered(send.attempt)) == []
    assert exports.idle() and exports.held == 0
    assert tally.get(metrics.SPANS_EXPORTED, "backend") == 2


def test_a_partial_success_is_told() -> None:
    """Spans that a backend refused in a partial success are lost, not exported, and somebody is told."""
    exports, tally = make()
    put(exports, "A", "B")
    (send,) = sends(exports.send(0.0))
    said = note(exports.delivered(Delivered(send.attempt, rejected_spans=1, message="too old")))
    assert said.level is Level.ERROR and said.fields["message"] == "too old"
    assert tally.get(metrics.SPANS_LOST, "rejected_by_backend") == 1 == exports.lost
    assert tally.get(metrics.SPANS_EXPORTED, "backend") == tally.get(metrics.EXPORT_REJECTED, "backend") == 1


def test_what_may_be_tried_again_is_tried_again() -> None:
    """A backend that is unreachable, silent or busy gets the same request again after a growing pause."""
    exports, tally = make()
    put(exports, "A")
    (send,) = sends(exports.send(0.0))
    now = 0.0
    for failure, pause in ((Failure.UNREACHABLE, 1.0), (Failure.NO_ANSWER, 2.0), (Failure.RETRYABLE, 4.0)):
        assert exports.failed(Failed(send.attempt, failure, "no"), now) == []
        assert exports.next_deadline() == now + pause
        assert not exports.send(now + pause - 0.1)
        now += pause
        before = send
        (send,) = sends(exports.send(now))
        assert send.request == before.request and send.attempt > before.attempt
    assert tally.total(metrics.EXPORTS_FAILED) == 3 and tally.total(metrics.SPANS_LOST) == 0


def test_the_backends_wish_is_honoured() -> None:
    """A backend that says when to come back is not asked before."""
    exports, _ = make()
    put(exports, "A")
    (send,) = sends(exports.send(0.0))
    exports.failed(Failed(send.attempt, Failure.RETRYABLE, "busy", retry_after=20.0), 0.0)
    assert exports.next_deadline() == 20.0


def test_retries_end() -> None:
    """What cannot be delivered within the time for retries is lost, and named."""
    exports, tally = make(otlp(retry=Retry(initial=1.0, jitter=0.0, elapsed_max=1.5)))
    put(exports, "A", "B")
    (send,) = sends(exports.send(0.0))
    exports.failed(Failed(send.attempt, Failure.UNREACHABLE, "refused"), 0.0)
    (send,) = sends(exports.send(1.0))
    assert exports.failed(Failed(send.attempt, Failure.UNREACHABLE, "refused"), 1.0) == []
    (send,) = sends(exports.send(1.5))  # the last try comes when the time is over, not before
    said = note(exports.failed(Failed(send.attempt, Failure.UNREACHABLE, "refused"), 1.5))
    assert said.level is Level.ERROR and said.event == "spans_lost"
    assert (said.fields["exporter"], said.fields["spans"], said.fields["traces"]) == ("backend", 2, 2)
    assert said.fields["trace_ids"] == [trace_id("A").hex(), trace_id("B").hex()]
    assert tally.get(metrics.SPANS_LOST, "retries_exhausted") == 2 == exports.lost
    assert exports.idle() and exports.held == 0


def test_files_and_terminals_are_tried_for_ever_and_one_at_a_time() -> None:
    """A file or a terminal gets one request at a time, in order, and is never given up."""
    for exporter in (DebugExporter("local"), FileExporter("local", "/tmp/x")):
        exports, tally = make(exporter)
        put(exports, "A")
        (send,) = sends(exports.send(0.0))
        put(exports, "B", now=0.0)
        assert not exports.send(0.0)
        now = 0.0
        for _ in range(50):
            exports.failed(Failed(send.attempt, Failure.RETRYABLE, "disk full"), now)
            exports.next_deadline()
            now += 1000.0
            send, *_ = sends(exports.send(now))
        assert tally.total(metrics.SPANS_LOST) == 0


def test_a_refused_request_is_searched_for_its_culprit() -> None:
    """When a backend refuses a request for good, only the trace it objects to is lost; the others arrive."""
    exports, tally = make()
    put(exports, *"ABCDEFGH")
    todo, asked, arrived = sends(exports.send(0.0)), 0, ""
    while todo:
        send = todo.pop(0)
        asked += 1
        if "F" in names(send):
            todo += sends(exports.failed(Failed(send.attempt, Failure.REFUSED, "bad F"), 0.0))
        else:
            arrived += names(send)
            exports.delivered(Delivered(send.attempt))
        todo += sends(exports.send(0.0))
    assert sorted(arrived) == sorted("ABCDEGH") and asked == 1 + 2 * 3
    assert tally.get(metrics.SPANS_LOST, "refused") == 1 == tally.get(metrics.EXPORT_GIVEN_UP, "backend")
    assert exports.idle() and exports.held == 0


def test_a_full_outbox_is_named() -> None:
    """An exporter whose queue has no place left is named, until something was delivered."""
    exports, _ = make(otlp("a"), otlp("b", requests_max=1))
    assert exports.full() == ""
    put(exports, "A")
    first = sends(exports.send(0.0))
    assert exports.full() == "b"
    for send in first:
        exports.delivered(Delivered(send.attempt))
    assert exports.full() == ""


def test_abandoning_counts_what_is_left_for_each_exporter() -> None:
    """What is waiting, in flight or between two tries at the end is lost, once for every exporter that did not get it."""
    exports, tally = make(otlp("a"), otlp("b"), otlp("c"))
    put(exports, "A")
    a, b, c = sends(exports.send(0.0))
    exports.delivered(Delivered(a.attempt))
    exports.failed(Failed(b.attempt, Failure.UNREACHABLE, "no"), 0.0)
    actions = exports.abandon()
    assert [action for action in actions if isinstance(action, Cancel)] == [Cancel(c.attempt)]
    assert note(actions).fields["exporters"] == ["b", "c"] and note(actions).fields["traces"] == 1
    assert tally.get(metrics.SPANS_LOST, "drain") == 2 == exports.lost
    assert exports.idle() and exports.held == 0
    assert exports.delivered(Delivered(c.attempt)) == []


def test_flushing_does_not_wait_for_company() -> None:
    """In a drain nothing lingers."""
    exports, _ = make(batch=Batch(linger=5.0))
    put(exports, "A")
    assert not exports.send(0.0)
    assert sends(exports.send(0.0, flush=True))
