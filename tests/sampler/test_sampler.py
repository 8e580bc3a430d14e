"""sampler.sampler: the core, driven by a fake clock."""

from __future__ import annotations

import pytest

from gateway import limits, metrics
from gateway.config.settings import Batch, DebugExporter, PolicySettings
from gateway.core import Accepted, Failed, Failure, Invalid, Overloaded, ReadView, Send
from gateway.membership import ViewStamp
from sampler.policy import BadPolicyError
from tests.support.samplers import KEEP_ERRORS, KEEP_NONE, Driven, drive, make_sampler, otlp
from tests.support.spans import ERROR, export_request, padded, request, resource_spans, span, spans_of


def exported(world: Driven) -> list[int]:
    return [int.from_bytes(each.span_id, "big") for send in world.delivered for each in spans_of(send.request)]


def test_a_trace_is_kept_whole() -> None:
    """Spans of one trace from several requests leave together, byte for byte, once the trace is decided."""
    world = drive(KEEP_ERRORS)
    first, second = span("A", 1, values={"k": 1}), span("A", 2, status=ERROR)
    assert world.receive(request(first)) == Accepted()
    world.now = 3.0
    assert world.receive(request(second)) == Accepted()
    world.advance(9.99)
    assert not world.sent
    world.advance(10.0)
    assert [each for send in world.delivered for each in spans_of(send.request)] == [first, second]
    assert world.tally.get(metrics.TRACES_DECIDED, "keep", "errors") == 1
    assert world.tally.get(metrics.SPANS_EXPORTED, "backend") == 2


def test_a_trace_nobody_wants_is_dropped() -> None:
    """Without a policy in favour a trace is dropped and counted, and nothing is exported."""
    world = drive(KEEP_ERRORS)
    world.receive(request(span("A", 1), span("A", 2)))
    world.advance(11.0)
    assert not world.sent
    assert world.tally.get(metrics.TRACES_DECIDED, "drop", "") == 1
    assert world.count(metrics.SPANS_DROPPED) == 2


def test_every_trace_is_decided_within_the_slack() -> None:
    """A trace is decided no earlier than decision_wait after its first span, and within the promised slack."""
    world = drive(decision_wait=0.33)
    arrived: dict[int, float] = {}
    for number in range(1, 50):
        world.now = number * 0.0137
        world.advance(world.now)
        arrived[number] = world.now
        world.receive(request(span(f"T{number}", number)))
    world.advance(5.0)
    for at, send in world.sent:
        for each in spans_of(send.request):
            waited = at - arrived[int.from_bytes(each.span_id, "big")]
            assert 0.33 - 1e-9 <= waited <= 0.33 + limits.DECISION_SLACK
    assert sorted(exported(world)) == sorted(arrived)


def test_malformed_requests_are_refused_with_the_reason() -> None:
    """A request that cannot be read is refused for good, and nothing of it is stored."""
    world = drive()
    outcome = world.receive(request(span("A", 1))[:-3])
    assert isinstance(outcome, Invalid) and "at byte" in outcome.message
    world.advance(20.0)
    assert not world.sent
    assert world.tally.get(metrics.REQUESTS_REJECTED, "malformed") == 1
    assert world.receive(b"") == Accepted()


def test_spans_with_bad_ids_do_not_hurt_the_others() -> None:
    """Spans with an invalid id are rejected alone, in a partial success that says why."""
    world = drive()
    outcome = world.receive(request(span("A", 1), span("A", 0), span(b"short", 3)))
    assert outcome == Accepted(2, "span id is zero")
    world.advance(10.0)
    assert exported(world) == [1]
    assert world.tally.get(metrics.SPANS_REJECTED, "invalid_id") == 2
    assert world.count(metrics.SPANS_ACCEPTED) == 1


def test_late_spans_follow_the_decision() -> None:
    """A span that comes after its trace was decided is exported at once, or dropped, as the trace was."""
    world = drive(KEEP_ERRORS)
    world.receive(request(span("A", 1, status=ERROR), span("B", 2)))
    world.advance(10.0)
    world.now = 12.0
    assert world.receive(request(span("A", 3), span("B", 4), span("A", 5))) == Accepted()
    assert exported(world) == [1, 3, 5]
    assert world.tally.get(metrics.SPANS_LATE, "keep") == 2
    assert world.tally.get(metrics.SPANS_LATE, "drop") == 1
    assert world.count(metrics.SPANS_DROPPED) == 2


def test_duplicates_are_removed_before_and_after_the_decision() -> None:
    """A span sent again is exported once, whether its trace is undecided or was kept within the duplicate window."""
    world = drive(duplicate_window=60.0)
    again = request(span("A", 1), span("A", 2))
    world.receive(again)
    world.receive(again)
    world.advance(10.0)
    world.receive(again)
    world.receive(request(span("A", 3)))
    world.receive(request(span("A", 3)))
    assert exported(world) == [1, 2, 3]
    assert world.count(metrics.SPANS_DUPLICATE) == 5
    world.advance(71.0)
    world.receive(again)
    assert exported(world) == [1, 2, 3, 1, 2]  # beyond the window it comes out once more


def test_too_many_traces_evict_the_oldest() -> None:
    """Beyond num_traces the oldest trace is decided early, by the policies, and counted as evicted."""
    world = drive(KEEP_ERRORS, num_traces=2)
    world.receive(request(span("A", 1, status=ERROR)))
    world.receive(request(span("B", 2), span("C", 3)))
    assert exported(world) == [1]
    world.receive(request(span("D", 4)))
    assert world.tally.get(metrics.TRACES_EVICTED, "traces") == 2
    assert world.count(metrics.SPANS_DROPPED) == 1
    world.receive(request(span("A", 5)))  # late now: it follows the early decision
    assert exported(world) == [1, 5]


def test_memory_pressure_evicts_the_oldest() -> None:
    """When the budget is reached the oldest traces are decided early; newer ones go on waiting."""
    world = drive(KEEP_NONE, budget=100_000)
    for number in range(1, 50):
        assert world.receive(request(*padded([span(f"T{number}", number)], 8_000))) == Accepted()
        world.sampler.publish()
        assert world.tally.get(metrics.BUFFER_BYTES) <= 100_000
    assert world.count(metrics.TRACES_EVICTED) == world.tally.get(metrics.TRACES_EVICTED, "bytes") == 49 - 12
    assert world.tally.get(metrics.BUFFER_TRACES) == 12


def test_kept_and_undelivered_refuses_intake_instead_of_losing() -> None:
    """With the budget full of kept spans that nobody takes, requests are refused with a retryable answer; nothing is lost."""
    world = drive(budget=100_000)
    world.backend = "silent"
    outcomes = [world.receive(request(*padded([span(f"T{n}", n)], 8_000))) for n in range(1, 50)]
    taken = sum(isinstance(outcome, Accepted) for outcome in outcomes)
    assert 8 <= taken < 20
    assert all(isinstance(outcome, Overloaded) for outcome in outcomes[taken:])
    world.advance(10.0)
    world.backend = "up"
    world.answer()
    world.advance(30.0)
    assert sorted(exported(world)) == list(range(1, taken + 1))
    assert world.count(metrics.SPANS_LOST) == 0
    assert world.receive(request(span("Z", 99))) == Accepted()


def test_a_full_outbox_refuses_intake() -> None:
    """When an exporter's queue is full, requests are refused before anything of them is stored."""
    world = drive(exporters=(otlp("ok"), otlp("slow", requests_max=1)), decision_wait=1.0)
    world.backend = "silent"
    world.receive(request(span("A", 1)))
    world.advance(1.0)
    outcome = world.receive(request(span("B", 2)))
    assert isinstance(outcome, Overloaded) and "ok" not in outcome.message and "slow" in outcome.message
    assert world.tally.get(metrics.REQUESTS_REJECTED, "outbox_full") == 1
    world.backend = "up"
    world.answer()
    assert world.receive(request(span("B", 2))) == Accepted()


def test_a_request_larger_than_the_whole_budget_is_refused_for_good() -> None:
    """A request that could never fit is not asked for again."""
    world = drive(budget=10_000)
    assert isinstance(world.receive(request(*padded([span("A", 1)], 20_000))), Invalid)
    assert world.tally.get(metrics.REQUESTS_REJECTED, "too_large") == 1


def test_a_resource_repeated_too_often_is_refused_for_good() -> None:
    """A request that is small only as long as its resource is not repeated for each of its scopes is refused before anything
    is stored: kept, it would be a hundred times as large."""
    block = resource_spans([span("A", 1)], service="s" * 1_000_000)
    scope = block.scope_spans[0]
    for number in range(2, 80):
        block.scope_spans.add().CopyFrom(scope)
        block.scope_spans[-1].scope.name = str(number)
        block.scope_spans[-1].spans[0].CopyFrom(span("A", number))
    world = drive(budget=1 << 30)
    outcome = world.receive(export_request(block))
    assert isinstance(outcome, Invalid) and "repeated for each scope" in outcome.message
    assert world.tally.get(metrics.REQUESTS_REJECTED, "too_large") == 1


def test_kept_spans_go_to_every_exporter() -> None:
    """Each exporter gets every kept span, and counts it for itself."""
    world = drive(exporters=(otlp("one"), DebugExporter("two")))
    world.receive(request(span("A", 1), span("A", 2)))
    world.advance(10.0)
    assert {send.destination for send in world.delivered} == {"one", "two"}
    assert world.tally.get(metrics.SPANS_EXPORTED, "one") == world.tally.get(metrics.SPANS_EXPORTED, "two") == 2


def test_a_span_no_backend_could_read_is_left_out_and_counted() -> None:
    """A kept span that is not valid protobuf inside is cut out; the rest of its trace is exported."""
    good, bad = span("A", 1), span("A", 2, name="work")
    body = request(good, bad)
    at = body.rindex(b"work")
    world = drive()
    assert world.receive(body[:at] + b"\xff\xff\xff\xff" + body[at + 4 :]) == Accepted()
    world.advance(10.0)
    assert exported(world) == [1]
    assert world.tally.get(metrics.SPANS_LOST, "unreadable") == 1
    assert world.notes[-1].event == "spans_lost" and world.notes[-1].fields["spans"] == 1


def test_a_batch_leaves_when_it_is_large_enough_or_has_lingered() -> None:
    """Kept traces share a request for at most the linger, or until there are enough spans."""
    world = drive(batch=Batch(linger=0.2, spans=3), decision_wait=1.0)
    world.receive(request(span("A", 1)))
    world.advance(1.15)
    assert not world.sent
    world.advance(1.2)
    assert len(world.sent) == 1
    world.receive(request(*[span(f"B{n}", n) for n in range(2, 5)]))
    world.advance(2.2)
    assert len(world.sent) == 2 and world.sent[1][1].spans == 3


def test_newer_views_of_peers_are_read_once() -> None:
    """A peer with a newer view makes the sampler read its own again, once for each such view."""
    world = drive()
    own = world.view(5)

    def reads() -> int:
        return sum(isinstance(action, ReadView) for _, action in world.actions)

    world.receive(b"", stamp=own)
    world.receive(b"", stamp=ViewStamp(4, "old"))
    assert reads() == 0
    world.receive(b"", stamp=ViewStamp(6, "new"))
    world.receive(b"", stamp=ViewStamp(6, "new"))
    assert reads() == 1
    for _ in range(3):
        world.receive(b"", stamp=ViewStamp(5, "another of the same epoch"))
        world.receive(b"", stamp=ViewStamp(6, "new"))
    assert reads() == 2
    world.view(6)
    world.receive(b"", stamp=ViewStamp(7, "newer"))
    assert reads() == 3
    assert world.count(metrics.VIEWS_CHANGED) == 2
    for epoch in range(8, 100):
        world.receive(b"", stamp=ViewStamp(epoch, "made up"))
    assert reads() < 20  # a header is all it takes, so there is a bound


def test_standing_alone_views_mean_nothing() -> None:
    """A sampler that is no member of a cluster asks for no view."""
    world = drive(alone=True)
    world.receive(b"", stamp=ViewStamp(6, "new"))
    assert not any(isinstance(action, ReadView) for _, action in world.actions)


def test_gauges_show_what_is_held() -> None:
    """Buffer, outboxes and remembered decisions can be read at any time."""
    world = drive(KEEP_ERRORS)
    world.backend = "silent"
    world.receive(request(span("A", 1, status=ERROR), span("B", 2)))
    world.advance(10.0)
    world.receive(request(span("C", 3), span("C", 4)))
    world.sampler.publish()
    get = world.tally.get
    assert get(metrics.BUFFER_TRACES) == 1 and get(metrics.BUFFER_SPANS) == 2 and get(metrics.BUFFER_BYTES) > 500
    assert get(metrics.OUTBOX_SPANS, "backend") == 1 and get(metrics.OUTBOX_IN_FLIGHT, "backend") == 1
    assert get(metrics.DECISIONS_REMEMBERED, "keep") == get(metrics.DECISIONS_REMEMBERED, "drop") == 1
    assert get(metrics.BUFFER_BYTES_MAX) == 1 << 30


def test_nothing_to_do_means_no_deadline() -> None:
    """An idle sampler does not ask to be woken."""
    world = drive()
    assert world.sampler.next_deadline() is None
    world.receive(request(span("A", 1)))
    assert world.sampler.next_deadline() == 10.0
    world.advance(10.0)
    assert world.sampler.next_deadline() is None


def test_a_policy_that_makes_no_sense_is_refused_at_the_start() -> None:
    """A sampler is not made with a policy that cannot be built."""
    with pytest.raises(BadPolicyError):
        make_sampler((PolicySettings("x", "unheard_of"),))


# ---------------------------------------------------------------- drain


def test_a_drain_accepts_stragglers_until_balancers_have_caught_up() -> None:
    """While requests come from balancers behind the draining view they are taken, and a second longer; then refused."""
    world = drive()
    world.view(1)
    world.drain(25.0)
    world.now = 0.5
    world.view(2)
    for at in (1.0, 1.9):
        world.advance(at)
        assert world.receive(request(span("A", int(at * 10))), stamp=ViewStamp(1, "old")) == Accepted()
    world.advance(2.5)
    assert world.receive(request(span("A", 25)), stamp=ViewStamp(2, "new")) == Accepted()
    assert not world.finished
    world.advance(2.9)
    assert [each.lost_spans for each in world.finished] == [0]
    assert isinstance(world.receive(request(span("A", 30))), Overloaded)
    assert exported(world) == [10, 19, 25]
    assert world.count(metrics.TRACES_EVICTED) == 0


def test_a_drain_stops_accepting_in_the_end() -> None:
    """Stragglers that never stop are taken for no longer than DRAIN_ACCEPT, with or without a newer view."""
    world = drive()
    world.drain(25.0)
    for tenth in range(1, 50):
        world.advance(tenth / 10)
        assert world.receive(request(span("A", tenth))) == Accepted()
    world.advance(limits.DRAIN_ACCEPT)
    assert isinstance(world.receive(request(span("A", 99))), Overloaded)
    assert world.finished


def test_standing_alone_a_drain_closes_at_once() -> None:
    """With no balancer to wait for, everything is decided, flushed without linger and finished in one step."""
    world = drive(alone=True, batch=Batch(linger=5.0))
    world.receive(request(span("A", 1)))
    world.drain(25.0)
    assert exported(world) == [1] and len(world.finished) == 1
    world.advance(40.0)
    assert len(world.finished) == 1 and world.sampler.next_deadline() is None


def test_what_cannot_be_delivered_in_the_grace_is_lost_and_named() -> None:
    """Two seconds before the end of the grace what is left is counted lost, named in one error, and reported."""
    world = drive(alone=True, exporters=(otlp("one"), otlp("two")))
    world.backend = "down"
    world.receive(request(span("A", 1), span("A", 2), span("B", 3)))
    world.drain(25.0)
    world.advance(22.9)
    assert not world.finished
    world.advance(23.0)
    assert [each.lost_spans for each in world.finished] == [6]
    assert world.tally.get(metrics.SPANS_LOST, "drain") == 6
    note = world.notes[-1]
    assert note.fields["exporters"] == ["one", "two"] and note.fields["traces"] == 2 and note.fields["spans"] == 6


def test_a_late_answer_after_the_end_changes_nothing() -> None:
    """An answer to an attempt that was given up is ignored."""
    world = drive(alone=True)
    world.backend = "silent"
    world.receive(request(span("A", 1)))
    world.drain(25.0)
    flying: list[Send] = list(world.flying)
    world.advance(23.0)
    assert not world.flying  # cancelled
    for send in flying:
        world.handle(Failed(send.attempt, Failure.UNREACHABLE, "gone"))
    assert [each.lost_spans for each in world.finished] == [1]
