"""sampler.sampler: the core, driven by a fake clock."""

from __future__ import annotations

import math
import random
from typing import Any
from unittest import mock

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway import limits, metrics
from gateway.config.settings import Batch, DebugExporter, PolicySettings
from gateway.core import Accepted, Failed, Failure, Invalid, Overloaded, ReadView, Send
from gateway.membership import ViewStamp
from sampler.policy import BadPolicyError
from sampler.sampler import VOTES
from sampler.tracestate import threshold_in
from tests.support.deciding import policy
from tests.support.samplers import KEEP_ALL, KEEP_ERRORS, KEEP_NONE, Driven, drive, make_sampler, otlp
from tests.support.spans import (
    ERROR,
    Span,
    export_request,
    padded,
    request,
    resource_spans,
    span,
    spans_of,
    trace_id,
)


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


# ---------------------------------------------------------------- why a trace was decided as it was


LIMITED = policy("rate_limiting", "limited", spans_per_second=1, burst_capacity=4)
COMPOSITE = policy(
    "composite",
    "mix",
    max_total_spans_per_second=100,
    composite_sub_policy=(policy("status_code", "bad", status_codes=["ERROR"]), policy("always_sample", "rest")),
)
VETO = policy("drop", "probes", drop_sub_policy=(policy("string_attribute", "", key="path", values=["/ready"]),))


def explained(world: Driven, trace: str) -> dict[str, object]:
    return world.sampler.explain(trace_id(trace), world.now)


def test_what_is_known_of_a_trace() -> None:
    """A trace is unknown, undecided with its size and deadline, and then decided with everybody's vote and its late spans."""
    world = drive((VETO, *KEEP_ERRORS, *KEEP_ALL), decision_wait=5.0)
    assert explained(world, "A") == {"state": "unknown"}
    world.now = 1.0
    body = request(span("A", 1), span("A", 2))
    world.receive(body)
    world.now = 2.0
    waiting = {"state": "undecided", "spans": 2, "bytes": len(body), "due_at": pytest.approx(6.0)}
    assert explained(world, "A") == {**waiting, "due_in": pytest.approx(4.0)}
    world.advance(7.0)
    votes = {"probes": "no", "errors": "no", "all": "keep"}
    decided = explained(world, "A")
    assert decided == {
        "state": "decided",
        "decision": "keep",
        "policy": "all",
        "child": None,
        "cause": "due",
        "decided_at": pytest.approx(6.0),
        "spans": 2,
        "bytes": len(body),
        "votes": votes,
        "late_spans": 0,
    }
    world.receive(request(span("A", 3), span("A", 4)))
    world.receive(request(span("A", 4)))  # a duplicate is none
    assert explained(world, "A") == {**decided, "late_spans": 2}


def test_what_is_known_of_a_dropped_trace() -> None:
    """A trace that a policy dropped names it, one that nobody wanted names none; late spans of both are counted."""
    world = drive((*KEEP_ERRORS, VETO), decision_wait=5.0)
    world.receive(request(span("A", 1, values={"path": "/ready"}, status=ERROR), span("B", 2)))
    world.advance(5.0)
    world.receive(request(span("A", 3), span("A", 3), span("B", 4)))
    a, b = explained(world, "A"), explained(world, "B")
    assert (a["decision"], a["policy"], a["late_spans"]) == ("drop", "probes", 2)
    assert a["votes"] == {"errors": "skipped", "probes": "drop"}
    assert (b["decision"], b["policy"], b["late_spans"]) == ("drop", None, 1)
    assert world.tally.get(metrics.TRACES_DECIDED, "drop", "probes") == 1
    assert world.tally.get(metrics.TRACES_DECIDED, "drop", "") == 1
    assert not world.sent


def test_a_composites_child_is_named() -> None:
    """Of a composite, the child that answered is told."""
    world = drive((COMPOSITE,))
    world.receive(request(span("A", 1), span("B", 2, status=ERROR)))
    world.advance(11.0)
    assert [explained(world, each)["child"] for each in "AB"] == ["rest", "bad"]


def test_what_the_journal_has_lost_is_remembered_shortly() -> None:
    """A decision that is not in the journal any more is still known: keep or drop, by whom, and roughly when."""
    with mock.patch.object(limits, "DECISION_RECORDS_BYTES", 2 * 48):
        world = drive((*KEEP_ERRORS, VETO), decision_wait=1.0)
        for at, trace in enumerate("ABCDEF"):
            world.advance(float(at))
            status, values = (ERROR if trace in "AC" else 0), ({"path": "/ready"} if trace == "C" else None)
            world.receive(request(span(trace, 1, status=status, values=values)))
        world.advance(20.0)
        world.receive(request(span("A", 2)))
    found = [explained(world, each) for each in "ABC"]
    assert [(each["remembered_as"], each["policy"]) for each in found] == [
        ("keep", "errors"),
        ("drop", None),
        ("drop", "probes"),
    ]
    assert [each["decided_at"] for each in found] == [pytest.approx(at, abs=0.11) for at in (1.0, 2.0, 3.0)]
    assert found[0]["late_spans"] == 1
    assert explained(world, "F")["cause"] == "due"


def test_every_cause_is_told() -> None:
    """Eviction by either bound, size, root and shutdown are told from a trace whose time had come."""
    big = padded([span("A", 1)], 3_000)
    story = [
        (drive(KEEP_NONE, num_traces=1), [request(span("A", 1)), request(span("B", 2))], "evicted_traces"),
        (drive(KEEP_NONE, budget=5_000), [request(*big), request(*padded([span("B", 2)], 3_000))], "evicted_bytes"),
        (drive(KEEP_NONE, maximum_trace_size_bytes=1_000), [request(*big)], "too_large"),
        (drive(KEEP_ALL, sampling_strategy="span-ingest"), [request(span("A", 1))], "span_ingest"),
    ]
    for world, bodies, cause in story:
        for body in bodies:
            assert world.receive(body) == Accepted()
        assert explained(world, "A")["cause"] == cause
    world = drive(KEEP_NONE, alone=True)
    world.receive(request(span("A", 1)))
    world.drain(25.0)
    assert explained(world, "A")["cause"] == "shutdown"


# ---------------------------------------------------------------- votes


def test_votes_are_counted_once() -> None:
    """Each vote is counted once, however often the tally is looked at; whoever was not asked has none."""
    world = drive((*KEEP_ERRORS, *KEEP_ALL, VETO))
    world.receive(request(span("A", 1), span("B", 1, status=ERROR), span("C", 1, values={"path": "/ready"})))
    world.advance(10.0)
    for _ in range(3):
        world.sampler.publish()

    def votes(name: str) -> dict[str, int]:
        found = {vote: int(world.tally.get(metrics.POLICY_VOTES, name, vote)) for vote in VOTES.values()}
        return {vote: count for vote, count in found.items() if count}

    assert [votes(each) for each in ("errors", "all", "probes")] == [
        {"no": 1, "keep": 1},
        {"keep": 2},
        {"no": 2, "drop": 1},
    ]
    world.receive(request(span("D", 1)))
    world.advance(20.0)
    world.sampler.publish()
    assert votes("all") == {"keep": 3}


def test_a_policy_that_cannot_judge_has_no_say() -> None:
    """With propagate a condition that fails is counted as the policy's error, and others decide."""
    failing = policy("ottl_condition", "odd", span=['attributes["k"]["x"] == 1'], error_mode="propagate")
    world = drive((failing, *KEEP_ERRORS))
    world.receive(request(span("A", 1, values={"k": "text"}), span("B", 1, status=ERROR, values={"k": "text"})))
    world.advance(10.0)
    world.sampler.publish()
    world.sampler.publish()
    assert exported(world) == [1]
    assert world.tally.get(metrics.POLICY_ERRORS, "odd") == world.tally.get(metrics.POLICY_VOTES, "odd", "error") == 2
    assert explained(world, "B")["votes"] == {"odd": "error", "errors": "keep"}
    assert explained(world, "A")["policy"] is None


def test_the_first_match_ends_the_asking() -> None:
    """With sample_on_first_match limiters behind a policy that keeps are not charged."""
    world = drive((*KEEP_ERRORS, LIMITED), sample_on_first_match=True)
    world.receive(request(*[span("A", n, status=ERROR) for n in (1, 2, 3, 4)], *[span("B", n) for n in (1, 2, 3, 4)]))
    world.advance(10.0)
    assert explained(world, "A")["votes"] == {"errors": "keep", "limited": "skipped"}
    assert explained(world, "B")["policy"] == "limited"


@pytest.mark.parametrize(("semantics", "kept"), [("parity", "A"), ("strict", "AB")])
def test_limiters_are_charged_for_what_others_keep(semantics: str, kept: str) -> None:
    """By parity a limiter pays for traces that another policy keeps anyway; strictly it does not."""
    world = drive((LIMITED, *KEEP_ERRORS), semantics=semantics)
    world.receive(request(*[span("A", n, status=ERROR) for n in (1, 2, 3)]))
    world.receive(request(*[span("B", n) for n in (1, 2, 3)]))
    world.advance(10.0)
    assert [each for each in "AB" if explained(world, each)["decision"] == "keep"] == list(kept)


def test_a_limiter_fills_up_with_time() -> None:
    """What a limiter had no tokens for it has again later: one span a second, four at once."""
    world = drive((LIMITED,), decision_wait=1.0)
    decided = []
    for at in range(12):
        world.advance(float(at))
        world.receive(request(span(f"T{at}", 1), span(f"T{at}", 2)))
    world.advance(30.0)
    decided = [at for at in range(12) if explained(world, f"T{at}")["decision"] == "keep"]
    assert decided == [0, 1, 2, 4, 6, 8, 10]


def test_the_decision_cache_has_the_sizes_asked_for() -> None:
    """So many kept and dropped traces are remembered; of another the late span opens a new trace."""
    world = drive(KEEP_ERRORS, sampled_cache_size=2, non_sampled_cache_size=1, decision_wait=1.0)
    world.receive(request(*[span(each, 1, status=ERROR) for each in "ABCD"], *[span(each, 1) for each in "VWX"]))
    world.advance(1.0)
    world.sampler.publish()
    assert world.tally.get(metrics.DECISIONS_REMEMBERED, "keep") == 2
    assert world.tally.get(metrics.DECISIONS_REMEMBERED, "drop") == 1
    world.receive(request(*[span(each, 2) for each in "ABCDVWX"]))
    assert world.tally.get(metrics.SPANS_LATE, "keep") == 2 and world.tally.get(metrics.SPANS_LATE, "drop") == 1
    world.sampler.publish()
    assert world.tally.get(metrics.BUFFER_TRACES) == 4


# ---------------------------------------------------------------- the root has come


def root(trace: str, number: int, **more: Any) -> Span:
    return span(trace, number, **more)


def child(trace: str, number: int, **more: Any) -> Span:
    made = span(trace, number, **more)
    made.parent_span_id = b"parent!!"
    return made


def decided_at(world: Driven, trace: str) -> float | None:
    known = explained(world, trace)
    return known["decided_at"] if known["state"] == "decided" else None  # type: ignore[return-value]


@pytest.mark.parametrize("tracestate", [False, True])
@pytest.mark.parametrize(
    ("came", "expected"),
    [
        ([(0.0, child("A", 1))], (10.0, "due")),
        ([(0.0, root("A", 1))], (0.3, "root_received")),
        ([(0.0, root("A", 1)), (0.2, child("A", 2))], (0.3, "root_received")),
        ([(0.0, child("A", 1)), (4.0, root("A", 2))], (4.3, "root_received")),
        ([(0.0, root("A", 1)), (0.2, root("A", 2))], (0.3, "root_received")),
        ([(0.0, root("A", 1)), (0.2, root("A", 1))], (0.3, "root_received")),
        ([(0.0, child("A", 1)), (9.9, root("A", 2))], (10.0, "due")),
        ([(0.0, child("A", 1)), (2.0, child("A", 1)), (4.0, root("A", 1))], (10.0, "due")),  # a duplicate is no news
    ],
)
def test_a_trace_is_decided_when_its_root_has_waited(
    came: list[tuple[float, Span]], expected: tuple[float, str], tracestate: bool
) -> None:
    """With decision_wait_after_root_received a trace is decided so long after its root, if that is before its own time."""
    world = drive(decision_wait_after_root_received=0.3, tracestate=tracestate)
    world.receive(request(child("Z", 9)))  # something is waiting already
    for at, each in came:
        world.advance(at)
        world.receive(request(each))
    world.advance(20.0)
    at, cause = expected
    known = explained(world, "A")
    assert known["cause"] == cause
    assert at - 1e-9 <= known["decided_at"] <= at + limits.DECISION_SLACK  # type: ignore[operator]
    assert decided_at(world, "Z") == pytest.approx(10.0, abs=limits.DECISION_SLACK)
    assert_empty(world)


def test_a_parent_id_of_zeros_is_none() -> None:
    """A span whose parent id is all zeros is a root."""
    world = drive(decision_wait_after_root_received=0.3)
    made = span("A", 1)
    made.parent_span_id = bytes(8)
    world.receive(request(made))
    world.advance(1.0)
    assert decided_at(world, "A") == pytest.approx(0.3, abs=limits.DECISION_SLACK)


def assert_empty(world: Driven) -> None:
    """Nothing is held and nobody waits for anything."""
    world.sampler.publish()
    for gauge in (metrics.BUFFER_BYTES, metrics.BUFFER_TRACES, metrics.BUFFER_SPANS):
        assert world.tally.get(gauge) == 0
    assert world.sampler.next_deadline() is None


def test_a_hastened_trace_can_be_evicted() -> None:
    """Under pressure those go first that are due first, hastened or not, and their rows with their buckets."""
    world = drive(num_traces=2, decision_wait_after_root_received=1.0)
    world.receive(request(child("A", 1), root("B", 2)))
    world.receive(request(child("C", 3)))
    assert exported(world) == [2]
    assert explained(world, "B")["cause"] == "evicted_traces"
    world.receive(request(root("A", 4), child("D", 5)))
    assert sorted(exported(world)) == [1, 2, 4]
    world.advance(9.0)
    world.sampler.publish()
    assert world.tally.get(metrics.BUFFER_TRACES) == 2
    world.advance(20.0)
    assert sorted(exported(world)) == [1, 2, 3, 4, 5]
    assert_empty(world)


@pytest.mark.parametrize("drop", [False, True])
def test_hastened_traces_end_with_the_drain(drop: bool) -> None:
    """A drain decides those that are hastened once, and leaves nothing behind, rows of decided ones included."""
    world = drive(alone=True, decision_wait_after_root_received=1.0, drop_pending_traces_on_shutdown=drop)
    world.receive(request(root("A", 1), child("B", 2)))
    world.advance(2.0)
    world.receive(request(root("C", 3), child("D", 4)))
    world.drain(30.0)
    assert sorted(exported(world)) == ([1] if drop else [1, 2, 3, 4])
    assert [each.lost_spans for each in world.finished] == [0]
    assert_empty(world)


def test_deadlines_go_on() -> None:
    """However traces come and go, after a tick the next deadline is in the future, and at the end nothing is held."""
    dice = random.Random(4)
    world = drive(
        decision_wait=2.0, decision_wait_after_root_received=0.3, maximum_trace_size_bytes=1_500, num_traces=30
    )
    numbers = iter(range(1, 10**6))
    for _ in range(600):
        world.advance(world.now + dice.choice([0.0, 0.01, 0.04, 0.2]))
        assert (world.sampler.next_deadline() or math.inf) > world.now
        kind = dice.choice([root, child, child])
        names = [f"T{dice.randrange(60)}" for _ in range(dice.randrange(1, 4))]
        world.receive(request(*padded([kind(name, next(numbers)) for name in names], dice.choice([0, 0, 700]))))
        world.sampler.publish()
        assert world.tally.get(metrics.BUFFER_BYTES) >= 0 and world.tally.get(metrics.BUFFER_TRACES) <= 30
    world.advance(world.now + 3.0)
    assert_empty(world)
    spans = world.count(metrics.SPANS_ACCEPTED)
    assert world.count(metrics.SPANS_EXPORTED) + world.count(metrics.SPANS_DROPPED) == spans


# ---------------------------------------------------------------- settled at once


def test_span_ingest_decides_by_the_span_that_settles_it() -> None:
    """With span-ingest a trace is kept with the span that a policy keeps, spans before it included; later ones follow."""
    world = drive(KEEP_ERRORS, sampling_strategy="span-ingest")
    world.receive(request(span("A", 1), span("B", 9)))
    assert not world.sent
    world.receive(request(span("A", 2, status=ERROR)))
    assert exported(world) == [1, 2]
    world.receive(request(span("A", 3), span("A", 2)))
    assert exported(world) == [1, 2, 3]
    assert world.count(metrics.SPANS_DUPLICATE) == 1
    world.advance(10.0)
    assert explained(world, "B")["decision"] == "drop" and explained(world, "B")["votes"] == {"errors": "skipped"}
    assert_empty(world)


def test_duplicates_settle_nothing() -> None:
    """A span that was there already is no new reason to keep its trace."""
    many = (policy("span_count", "many", min_spans=2),)
    world = drive(many, sampling_strategy="span-ingest")
    for _ in range(3):
        world.receive(request(span("A", 1), span("A", 1)))
    assert not world.sent
    world.receive(request(span("A", 2)))
    assert exported(world) == [1, 2]


@pytest.mark.parametrize(("semantics", "kept"), [("parity", []), ("strict", [1])])
def test_span_ingest_beside_a_policy_that_drops(semantics: str, kept: list[int]) -> None:
    """A policy that may still drop a trace holds keeping back; in the end parity keeps none, strict decides as usual."""
    world = drive((*KEEP_ERRORS, VETO), sampling_strategy="span-ingest", semantics=semantics)
    world.receive(
        request(span("A", 1, status=ERROR), span("B", 2, values={"path": "/ready"}, status=ERROR), span("C", 3))
    )
    assert not world.sent
    assert explained(world, "B")["cause"] == "span_ingest" and explained(world, "B")["policy"] == "probes"
    assert explained(world, "A")["state"] == "undecided"
    world.receive(request(span("B", 4)))
    assert world.tally.get(metrics.SPANS_LATE, "drop") == 1
    world.advance(10.0)
    assert exported(world) == kept
    assert explained(world, "C")["policy"] is None
    assert_empty(world)


def test_a_trace_that_outgrows_its_bound_is_dropped_at_once() -> None:
    """Beyond maximum_trace_size_bytes a trace is dropped, whoever would keep it, and so are its later spans."""
    world = drive(maximum_trace_size_bytes=2_000)
    world.receive(request(*padded([span("A", 1), span("B", 2)], 900)))
    world.receive(request(*padded([span("A", 3)], 20_000), span("A", 4)))
    world.sampler.publish()
    assert world.tally.get(metrics.BUFFER_TRACES) == 1 and world.tally.get(metrics.BUFFER_SPANS) == 1
    assert world.count(metrics.TRACES_TOO_LARGE) == world.tally.get(metrics.TRACES_DECIDED, "drop", "") == 1
    assert world.count(metrics.SPANS_DROPPED) == 3
    assert explained(world, "A")["votes"] == {"all": "skipped"}
    world.receive(request(span("A", 5)))
    assert world.tally.get(metrics.SPANS_LATE, "drop") == 1
    world.advance(10.0)
    assert exported(world) == [2]
    assert world.count(metrics.TRACES_TOO_LARGE) == 1
    assert_empty(world)


def test_a_trace_too_large_takes_no_memory() -> None:
    """What is dropped for its size leaves a few words behind until its time would have come, and then nothing."""
    world = drive(maximum_trace_size_bytes=2_000)
    for number in range(1, 50):
        assert world.receive(request(*padded([span(f"T{number}", 1)], 100_000))) == Accepted()
        world.sampler.publish()
        assert world.tally.get(metrics.BUFFER_BYTES) <= 200 * number
    world.advance(10.0)
    assert world.count(metrics.TRACES_TOO_LARGE) == 49
    assert_empty(world)


def test_the_bound_on_a_trace_is_inclusive() -> None:
    """A trace of just so many bytes is kept."""
    body = request(span("A", 1), span("A", 2))
    for bound, kept in ((len(body), [1, 2]), (len(body) - 1, [])):
        world = drive(maximum_trace_size_bytes=bound)
        world.receive(body)
        world.advance(10.0)
        assert exported(world) == kept


# ---------------------------------------------------------------- full, and at the end


def test_block_on_overflow_refuses_instead_of_deciding_early() -> None:
    """With block_on_overflow no trace is decided early for others: requests are refused until there is room."""
    world = drive(num_traces=2, block_on_overflow=True)
    assert world.receive(request(span("A", 1))) == Accepted()
    assert world.receive(request(span("B", 2), span("C", 3))) == Accepted()
    outcome = world.receive(request(span("D", 4)))
    assert isinstance(outcome, Overloaded) and "2 traces are waiting" in outcome.message and outcome.retry_after > 0
    assert world.tally.get(metrics.REQUESTS_REJECTED, "traces") == 1
    assert world.count(metrics.TRACES_EVICTED) == 0 and not world.sent
    world.advance(10.0)
    assert world.receive(request(span("D", 4))) == Accepted()
    world.advance(20.0)
    assert sorted(exported(world)) == [1, 2, 3, 4]


def test_pending_traces_may_be_dropped_at_the_end() -> None:
    """With drop_pending_traces_on_shutdown what is undecided at the end is dropped unasked, and counted so."""
    world = drive(alone=True, drop_pending_traces_on_shutdown=True)
    world.receive(request(span("A", 1)))
    world.advance(5.0)
    world.receive(request(span("B", 2), span("B", 3)))
    world.advance(10.0)
    world.drain(35.0)
    assert exported(world) == [1]
    assert world.tally.get(metrics.TRACES_DECIDED, "drop", "") == 1 and world.count(metrics.SPANS_DROPPED) == 2
    assert (explained(world, "B")["cause"], explained(world, "B")["votes"]) == ("shutdown", {"all": "skipped"})
    assert [each.lost_spans for each in world.finished] == [0]
    assert_empty(world)


# ---------------------------------------------------------------- what is written on kept spans


def scope_attributes(send: Send) -> dict[str, object]:
    (outer,) = ExportTraceServiceRequest.FromString(send.request).resource_spans
    (inner,) = outer.scope_spans
    return {
        each.key: each.value.bool_value if each.value.HasField("bool_value") else each.value.string_value
        for each in inner.scope.attributes
    }


def test_the_policy_is_recorded() -> None:
    """With recordpolicy the scopes of a kept trace name the policy, a composite's child too; late spans say so of themselves."""
    world = drive((VETO, COMPOSITE), record_policy=True)
    world.receive(request(span("A", 1, status=ERROR)))
    world.advance(10.0)
    world.receive(request(span("A", 2)))
    mixed = {"tailsampling.policy": "mix"}
    assert [scope_attributes(each) for each in world.delivered] == [
        {**mixed, "tailsampling.composite_policy": "bad"},
        {**mixed, "tailsampling.cached_decision": True},
    ]
    assert [each.trace_state for send in world.delivered for each in spans_of(send.request)] == ["", ""]
    assert exported(world) == [1, 2]


def test_nothing_is_written_unasked() -> None:
    """Without tracestate and recordpolicy kept spans leave as they came."""
    world = drive()
    body = request(span("A", 1))
    world.receive(body)
    world.advance(10.0)
    assert [len(each.request) for each in world.delivered] == [len(body)]
    assert exported(world) == [1]


def with_random(trace: str, number: int, randomness: int, **more: Any) -> Span:
    """A span of a trace with this randomness in its id."""
    return span(trace.encode().ljust(9, b"\xaa") + randomness.to_bytes(7, "big"), number, **more)


def states(world: Driven) -> dict[int, str]:
    return {
        int.from_bytes(each.span_id, "big"): each.trace_state
        for send in world.delivered
        for each in spans_of(send.request)
    }


HALF = 2**55
QUARTER = policy("probabilistic", "quarter", sampling_percentage=25.0)
MARKED = policy("string_attribute", "marked", key="k", values=["v"])


def test_the_smallest_threshold_of_those_that_keep_is_written() -> None:
    """Whoever keeps everything states 0, a share its threshold, a filter and a share together the share's."""
    both = policy("and", "both", and_sub_policy=(MARKED, policy("probabilistic", "half", sampling_percentage=50.0)))
    world = drive((QUARTER, both, *KEEP_ERRORS), tracestate=True)
    high, middle, low = 2**56 - 1, HALF + 5, 7
    world.receive(
        request(
            with_random("A", 1, high),
            with_random("B", 2, middle),
            with_random("C", 3, middle, values={"k": "v"}),
            with_random("D", 4, high, values={"k": "v"}),
            with_random("E", 5, low, values={"k": "v"}),
            with_random("F", 6, high, status=ERROR, values={"k": "v"}),
            with_random("G", 7, HALF),
            with_random("H", 8, HALF, values={"k": "v"}),
        )
    )
    world.advance(10.0)
    assert states(world) == {1: "ot=th:c", 3: "ot=th:8", 4: "ot=th:8", 6: "ot=th:0", 8: "ot=th:8"}


def test_what_was_head_sampled_is_never_lowered() -> None:
    """A span that states a greater threshold keeps it; a smaller one is raised to the trace's."""
    world = drive((QUARTER,), tracestate=True)
    spans = [with_random("A", number, 2**56 - 1) for number in range(1, 5)]
    for each, was in zip(spans, ("ot=th:f,x=y", "x=y,ot=th:8", "ot=th:c", "no tracestate,,"), strict=True):
        each.trace_state = was
    world.receive(request(*spans))
    world.advance(10.0)
    assert states(world) == {1: "ot=th:f,x=y", 2: "ot=th:c,x=y", 3: "ot=th:c", 4: "ot=th:c"}


def test_the_randomness_that_a_trace_brings_counts() -> None:
    """An rv decides in place of the id, also when it comes in a later request, and stands beside the threshold."""
    world = drive((QUARTER,), tracestate=True)
    bringing = {"A": "ot=rv:ffffffffffffff", "B": "ot=rv:00000000000000", "C": "ot=rv:123"}
    for number, (trace, state) in enumerate(bringing.items(), 1):
        world.receive(request(with_random(trace, number, 7 if trace == "A" else 2**56 - 1)))
        later = with_random(trace, number + 10, 7 if trace == "A" else 2**56 - 1)
        later.trace_state = state
        world.now += 1.0
        world.receive(request(later))
    world.advance(20.0)
    assert states(world) == {1: "ot=th:c", 11: "ot=rv:ffffffffffffff;th:c", 3: "ot=th:c", 13: "ot=th:c"}


def test_late_spans_get_the_threshold_while_it_is_remembered() -> None:
    """Late spans of a kept trace state what the others do, as long as the trace's spans are remembered."""
    world = drive((QUARTER,), tracestate=True, duplicate_window=60.0)
    for number, at in ((1, 0.0), (2, 11.0), (3, 70.0), (4, 140.0)):
        world.advance(at)
        world.receive(request(with_random("A", number, 2**56 - 1)))
    world.advance(141.0)
    assert states(world) == {1: "ot=th:c", 2: "ot=th:c", 3: "ot=th:c", 4: ""}


def test_limiters_publish_how_far_they_reached() -> None:
    """Of traces due together the ones with the greatest randomness pass, and the threshold lies above the first that did not."""
    burst = [
        policy("rate_limiting", name, spans_per_second=1, burst_capacity=size)
        for name, size in (("two", 2), ("four", 4))
    ]
    randoms = [HALF + 1000 * n for n in range(1, 9)]
    for limiters, passing, cut in ((burst[:1], 2, randoms[5]), (burst, 4, randoms[3]), (burst[::-1], 4, randoms[3])):
        world = drive(tuple(limiters), tracestate=True)
        order = [3, 1, 8, 6, 2, 7, 5, 4]
        world.receive(request(*[with_random(f"T{n}", n, randoms[n - 1]) for n in order]))
        world.advance(10.0)
        assert sorted(states(world)) == list(range(9 - passing, 9))
        stated = {threshold_in(each.encode()) for each in states(world).values()}
        assert stated == {cut + 1}
        assert world.count(metrics.TRACES_DECIDED) == 8


def test_a_limiter_that_had_enough_states_nothing_else() -> None:
    """A limiter that let all pass kept them with certainty."""
    world = drive((LIMITED,), tracestate=True)
    world.receive(request(with_random("A", 1, 5), with_random("B", 2, 6)))
    world.advance(10.0)
    assert states(world) == {1: "ot=th:0", 2: "ot=th:0"}
