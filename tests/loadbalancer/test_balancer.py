"""loadbalancer.balancer under any order of events: what it owes to agents, samplers and its own bounds, watched from outside."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway import limits, metrics
from gateway.core import (
    Accepted,
    Action,
    Cancel,
    Delivered,
    Draining,
    Event,
    Failed,
    Failure,
    Finished,
    Invalid,
    Note,
    Outcome,
    Overloaded,
    ReadView,
    Received,
    Reply,
    Send,
    ViewChanged,
)
from gateway.membership import Member, RingParameters, View, ViewStamp, make_view
from gateway.metrics import Tally
from loadbalancer.balancer import Balancer
from tests.support import wire
from tests.support.balancers import Driven, drive, member, members, quick_rings
from tests.support.spans import padded, request, resource_spans, span

NAMES = ["s1", "s2", "s3"]
BYTES_MAX, REQUEST_MAX, IN_FLIGHT_MAX = 6000, 700, 2


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with quick_rings():
        yield


def span_keys(body: bytes) -> list[bytes]:
    """The span ids of a request; in these tests every valid one is given once."""
    return [each.span_id for each in wire.standings(body)]


# ---------------------------------------------------------------- any order of events


@dataclass
class Asked:
    """An agent's request as the watcher knows it."""

    valid: set[bytes]
    invalid: int
    readable: bool = True
    outcome: Outcome | None = None


@dataclass
class Flight:
    """A Send that has no answer yet."""

    send: Send
    keys: list[bytes] = field(default_factory=list)


class BalancerMachine(RuleBasedStateMachine):
    """Requests, answers, failures, views and time in any order; the samplers and agents keep books."""

    @initialize(timeout=st.sampled_from([0.5, 5.0]))
    def start(self, timeout: float) -> None:
        self.tally = Tally()
        self.balancer = Balancer(
            self.tally,
            bytes_max=BYTES_MAX,
            request_bytes_max=REQUEST_MAX,
            in_flight_max=IN_FLIGHT_MAX,
            timeout=timeout,
        )
        self.now = 100.0
        self.epoch = 0
        self.active: set[str] = set()
        self.avoided: set[str] = set()
        self.asked: dict[int, Asked] = {}
        self.flights: dict[int, Flight] = {}
        self.probes: dict[int, Send] = {}
        self.taken: set[bytes] = set()  # delivered to a sampler, or refused by one for good
        self.last_span = 0
        self.largest = 0
        self.finished = False
        self.draining = False

    # ---- what happens

    @rule(
        traces=st.lists(st.sampled_from("ABCDEF"), max_size=6),
        size=st.sampled_from([60, 60, 150, 400, 900]),
        bad=st.sampled_from([0, 0, 0, 1]),
        patience=st.one_of(st.none(), st.floats(-1, 60)),
    )
    def receive(self, traces: list[str], size: int, bad: int, patience: float | None) -> None:
        made = []
        for trace in traces:
            self.last_span += 1
            made.append(span(trace, self.last_span))
        body = request(*padded(made, size), *[span("A", 0)] * bad, service="x" * (size % 7))
        self.largest = max(self.largest, len(body))
        self.ask(body, Asked({each.span_id for each in made}, bad), patience)

    @rule()
    def receive_garbage(self) -> None:
        self.ask(b"\x0a\xff", Asked(set(), 0, readable=False), None)

    def ask(self, body: bytes, asked: Asked, patience: float | None) -> None:
        token = len(self.asked)
        self.asked[token] = asked
        deadline_at = None if patience is None else self.now + patience
        self.tell(Received(token, body, deadline_at))

    @precondition(lambda self: self.flights)
    @rule(
        data=st.data(), rejected=st.sampled_from([0, 0, 0, 0, 1, 5]), stamp=st.sampled_from([None, ViewStamp(99, "x")])
    )
    def deliver(self, data: st.DataObject, rejected: int, stamp: ViewStamp | None) -> None:
        flight = self.flights.pop(data.draw(st.sampled_from(sorted(self.flights))))
        self.taken.update(flight.keys)
        self.tell(Delivered(flight.send.attempt, rejected, "bad" if rejected else "", stamp))

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), failure=st.sampled_from(Failure), wish=st.one_of(st.none(), st.floats(0, 100)))
    def fail(self, data: st.DataObject, failure: Failure, wish: float | None) -> None:
        flight = self.flights.pop(data.draw(st.sampled_from(sorted(self.flights))))
        self.end(flight, failure, wish)

    def end(self, flight: Flight, failure: Failure, wish: float | None = None) -> None:
        before = {token for token, asked in self.asked.items() if asked.outcome is None}
        if failure is Failure.REFUSED and len([t for t in before if self.asked[t].valid & set(flight.keys)]) <= 1:
            self.taken.update(flight.keys)  # if it is one agent's alone, this was the last word
        self.tell(Failed(flight.send.attempt, failure, "because", wish))

    @precondition(lambda self: self.probes)
    @rule(data=st.data(), failure=st.sampled_from([None, *Failure]))
    def answer_probe(self, data: st.DataObject, failure: Failure | None) -> None:
        attempt = data.draw(st.sampled_from(sorted(self.probes)))
        del self.probes[attempt]
        self.tell(Delivered(attempt) if failure is None else Failed(attempt, failure, "because"))

    @rule(names=st.lists(st.sampled_from(NAMES), unique=True), draining=st.lists(st.sampled_from(NAMES), max_size=1))
    def change_view(self, names: list[str], draining: list[str]) -> None:
        self.epoch += 1
        words = [f"{name}:draining" if name in draining else name for name in names]
        view = make_view(self.epoch, members(*words))
        self.active = {f"{each.id}:4317" for each in view.active}
        self.avoided &= self.active
        self.tell(ViewChanged(view))

    @rule(by=st.floats(0.01, 3))
    def wait(self, by: float) -> None:
        self.advance(self.now + by)

    @rule()
    def wake(self) -> None:
        at = self.balancer.next_deadline()
        if at is not None:
            self.advance(max(self.now, at))

    @precondition(lambda self: not self.draining)
    @rule(grace=st.floats(0, 20), dice=st.integers(0, 9))
    def drain(self, grace: float, dice: int) -> None:
        if dice == 0:
            self.draining = True
            self.tell(Draining(self.now + grace))

    # ---- the shell

    def advance(self, to: float) -> None:
        """Ticks come when they are asked for; every attempt ends at its timeout, as the shell sees to it."""
        for _ in range(5000):
            at = self.balancer.next_deadline()
            if at is None or at > to:
                break
            self.now = max(self.now, at)
            self.perform(self.balancer.tick(self.now))
            after = self.balancer.next_deadline()
            assert after is None or after > self.now, "a tick settles everything that was due: no busy loop"
        else:
            raise AssertionError("the same deadlines come again and again")
        self.now = to

    def tell(self, event: Event) -> None:
        self.perform(self.balancer.handle(event, self.now))

    def perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Reply():
                    self.answered(action)
                case Send():
                    self.sent(action)
                case Cancel(attempt):
                    del self.flights[attempt]
                case Note(event="member_avoided", fields=fields):
                    self.avoided.add(str(fields["member"]))
                case Note(event="member_back", fields=fields):
                    self.avoided.remove(str(fields["member"]))
                case Finished():
                    assert self.draining
                    assert not self.finished
                    self.finished = True
                    assert all(asked.outcome is not None for asked in self.asked.values())
                case Note() | ReadView():
                    pass

    def sent(self, send: Send) -> None:
        assert send.attempt not in self.flights
        assert send.attempt not in self.probes
        assert send.stamp is not None
        assert send.stamp.epoch == self.epoch
        assert send.destination in self.active, "nothing is sent to who is not in the newest view"
        if not send.request:
            assert send.destination in self.avoided, "only who is routed around is asked whether it is back"
            self.probes[send.attempt] = send
            return
        assert send.destination not in self.avoided, "nothing is sent to who is routed around"
        keys = span_keys(send.request)
        assert send.spans == len(keys) == len(set(keys)) > 0
        assert len(send.request) <= REQUEST_MAX or len(keys) == 1
        self.flights[send.attempt] = Flight(send, keys)

    def answered(self, reply: Reply) -> None:
        asked = self.asked[reply.token]  # type: ignore[index]
        assert asked.outcome is None, "one answer a request"
        asked.outcome = reply.outcome
        match reply.outcome:
            case Accepted(rejected_spans=rejected):
                assert asked.readable
                assert asked.valid <= self.taken, "accepted is what samplers have taken or refused"
                assert asked.invalid <= rejected <= asked.invalid + len(asked.valid)
            case Invalid():
                assert not asked.readable or asked.valid <= self.taken
            case Overloaded(retry_after=after):
                assert 0 < after <= limits.RETRY_AFTER_MAX

    # ---- what always holds

    @invariant()
    def bounds_hold(self) -> None:
        if not hasattr(self, "balancer"):
            return
        for name in NAMES:
            flying = [each for each in self.flights.values() if each.send.destination == f"{name}:4317"]
            assert len(flying) <= IN_FLIGHT_MAX
        held = self.held()
        assert held >= sum(len(each.send.request) for each in self.flights.values())
        # Repeating envelopes for other owners after a failure may add a little.
        assert held <= BYTES_MAX + 2 * max(self.largest, REQUEST_MAX)

    def held(self) -> int:
        self.balancer.publish()
        return int(self.tally.get(metrics.BALANCER_BYTES))

    def teardown(self) -> None:
        if not hasattr(self, "balancer"):
            return
        self.come_to_rest()
        assert self.held() == 0
        assert self.tally.total(metrics.OUTBOX_BYTES) == self.tally.total(metrics.OUTBOX_SPANS) == 0
        assert self.tally.total(metrics.OUTBOX_IN_FLIGHT) == 0
        assert all(asked.outcome is not None for asked in self.asked.values()), "one answer a request"
        self.books_balance()

    def come_to_rest(self) -> None:
        """Every sampler answers, no new request comes."""
        for _ in range(200):
            for attempt in sorted(self.flights):
                if attempt in self.flights:
                    flight = self.flights.pop(attempt)
                    self.taken.update(flight.keys)
                    self.tell(Delivered(attempt))
            for attempt in sorted(self.probes):
                del self.probes[attempt]
                self.tell(Delivered(attempt))
            self.advance(self.now + 1.0)
            at_rest = not self.flights and not self.probes and self.balancer.next_deadline() is None
            if at_rest and all(asked.outcome is not None for asked in self.asked.values()):
                return
        assert self.finished, "with every sampler answering all comes to rest"

    def books_balance(self) -> None:
        accepted = rejected_here = whole = 0
        for asked in self.asked.values():
            match asked.outcome:
                case Accepted(rejected_spans=rejected):
                    accepted += len(asked.valid) + asked.invalid - rejected
                case Overloaded():
                    whole += 1
                case _:
                    whole += not asked.readable
            rejected_here += asked.invalid
        assert self.tally.get(metrics.REQUESTS_RECEIVED) == len(self.asked)
        assert self.tally.total(metrics.REQUESTS_REJECTED) == whole
        assert self.tally.total(metrics.SPANS_ACCEPTED) == accepted
        assert self.tally.get(metrics.SPANS_REJECTED, "invalid_id") <= rejected_here
        assert self.tally.total(metrics.SPANS_RECEIVED) >= accepted
        assert all(value >= 0 for _, _, value in self.tally)


TestBalancerMachine = BalancerMachine.TestCase
TestBalancerMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


# ---------------------------------------------------------------- single facts


def view_of(*made: Member) -> View:
    return make_view(1, list(made), RingParameters())


def test_two_generations_of_one_sampler_out_of_reach() -> None:
    """When a restarted replica and the entry it left behind are both out of reach, each is tried once, not for ever."""
    world = drive()
    old, new = member("old", ring_name="place", start=1), member("new", ring_name="place", start=2)
    world.handle(ViewChanged(view_of(old, new)))
    world.modes = {"old": "down", "new": "down"}
    world.receive("agent", request(span("A", 1)))
    assert isinstance(world.outcomes["agent"], Overloaded)
    sends = [action.destination for _, action in world.actions if isinstance(action, Send)]
    assert sends == ["new:4317", "old:4317"]


def test_the_older_generation_gets_nothing_once_the_newer_is_back() -> None:
    """A replica that is superseded in its place is forgotten as soon as its successor answers again."""
    world = drive()
    old, new = member("old", ring_name="place", start=1), member("new", ring_name="place", start=2)
    world.handle(ViewChanged(view_of(old, new)))
    world.modes = {"new": "down"}
    world.receive("a", request(span("A", 1)))
    world.modes = {}
    world.advance(5)
    world.receive("b", request(span("A", 2)))
    sends = [a.destination for _, a in world.actions if isinstance(a, Send) and a.request]
    assert sends == ["new:4317", "old:4317", "new:4317"]
    assert world.outcomes == {"a": Accepted(), "b": Accepted()}


def test_a_newer_generation_takes_over_what_waits() -> None:
    """When a replica restarts in its place, what waited for the old entry goes to the new one, though both are listed."""
    world = drive(in_flight_max=1)
    old, new = member("old", ring_name="place", start=1), member("new", ring_name="place", start=2)
    world.handle(ViewChanged(make_view(1, [old])))
    world.modes = {"old": "silent"}
    world.receive("a", request(span("A", 1)))
    world.receive("b", request(span("A", 2)))
    world.handle(ViewChanged(make_view(2, [old, new])))
    assert world.outcomes == {"b": Accepted()}


def test_a_member_is_asked_once_at_a_time_whether_it_is_back() -> None:
    """Somebody who does not answer is not asked again before the last question was given up, and about once a second."""
    world = drive()
    world.view(1, "s1", "s2")
    world.modes = {"s1": "silent"}
    world.receive("agent", request(span("A", 1)))
    for at in range(1, 200):
        world.advance(at / 10)
        assert len([send for _, send in world.flying.values() if not send.request]) <= 1
    probes = [at for at, action in world.actions if isinstance(action, Send) and not action.request]
    assert 5 <= len(probes) <= 18
    assert world.outcomes == {"agent": Accepted()}


def test_a_refusal_after_the_member_left_is_asked_elsewhere() -> None:
    """Parts that were refused together by a member that has left meanwhile go to the members that are there."""
    world = drive(in_flight_max=1, pace=0.0)
    world.view(1, "s1")
    world.modes = {"s1": "silent"}
    for number, agent in enumerate("abc", 1):
        world.receive(agent, request(span("A", number)))
    world.mode("s1", "once")
    world.view(2, "s2")
    world.mode("s1", "refuses")
    assert world.outcomes == {"a": Accepted(), "b": Accepted(), "c": Accepted()}
    assert [send.destination for send in world.delivered] == ["s1:4317", "s2:4317", "s2:4317"]


def test_the_end_of_a_drain_answers_everybody() -> None:
    """Who is still waiting when the grace of a drain is over is told to send again, before the process ends."""
    world = drive()
    world.view(1, "s1")
    world.modes = {"s1": "silent"}
    world.receive("agent", request(span("A", 1)), patience=60)
    world.drain(1.0)
    world.advance(1.0)
    words = [type(action) for _, action in world.actions]
    assert isinstance(world.outcomes["agent"], Overloaded)
    assert words[-2:] == [Reply, Finished]


def test_a_members_numbers_are_not_believed_too_far() -> None:
    """A member that says it rejected more spans than it was sent rejects those it was sent, and no counter goes down."""
    world = drive()
    world.view(1, "s1", "s2")
    world.modes = {"s1": "rejects:1000"}
    world.receive("agent", request(span("A", 1), span("B", 2)))
    assert world.outcomes["agent"] == Accepted(1, "sampler s1:4317: bad spans")
    assert world.tally.get(metrics.SPANS_FORWARDED, "s1:4317") == 0
    assert world.tally.get(metrics.SPANS_ACCEPTED) == 1


def test_forwards_are_timed() -> None:
    """Each answered forward is a value of forward_seconds under the member's name and what came of it."""
    world = drive()
    world.view(1, "s1")
    world.receive("a", request(span("A", 1)))
    world.advance(1.0)
    world.modes = {"s1": "down"}
    world.receive("b", request(span("A", 2)))
    found = {labels: histogram.count for labels, histogram in world.tally.histograms(metrics.FORWARD_SECONDS)}
    assert found == {("s1:4317", "accepted"): 1, ("s1:4317", "failed"): 1}


def test_a_reply_says_how_many_spans_were_asked_for() -> None:
    """Every reply carries the request's spans, rejected ones included; one that was refused unread carries none."""
    world = drive(bytes_max=10_000)
    world.receive("nobody", request(span("A", 1)))
    world.view(1, "s1")
    world.receive("good", request(span("A", 1), span("B", 2)))
    world.receive("half", request(span("A", 3), span("B", 0)))
    world.advance(1.0)
    world.receive("none", request(span("B", 0)))
    world.receive("broken", b"\xff")
    replies = {action.token: action.spans for _, action in world.actions if isinstance(action, Reply)}
    assert replies == {"nobody": 0, "good": 2, "half": 2, "none": 1, "broken": 0}


def test_late_answers_change_nothing() -> None:
    """Answers to attempts that were given up, or that nobody knows, are passed over."""
    world = drive()
    world.view(1, "s1")
    world.modes = {"s1": "silent"}
    world.receive("agent", request(span("A", 1)), patience=1)
    (number,) = world.flying
    world.advance(1)
    assert world.balancer.handle(Delivered(number), 1.0) == []
    for event in (Delivered(number), Failed(number, Failure.REFUSED, "x"), Delivered(999)):
        assert world.balancer.handle(event, 1.1) == []
    assert world.held == 0


def test_an_agent_with_a_deadline_in_the_past_is_answered_at_once() -> None:
    """A request whose agent has given up already is still answered, once, at the next tick."""
    world = drive()
    world.view(1, "s1")
    world.modes = {"s1": "silent"}
    world.now = 50.0
    world.receive("agent", request(span("A", 1)), patience=-3)
    world.advance(50.0)
    assert isinstance(world.outcomes["agent"], Overloaded)


@pytest.mark.parametrize(("patience", "seconds"), [(None, 4.0), (10.0, 8.0), (1000.0, limits.RESEND_MAX)])
def test_how_long_an_agent_waits(patience: float | None, seconds: float) -> None:
    """Re-sending ends at 80 % of the agent's patience, of 5 s if it named none, and after 30 s at the latest."""
    world = drive()
    world.view(1, "s1")
    world.modes = {"s1": "busy"}
    world.receive("agent", request(span("A", 1)), patience)
    world.advance(seconds - 0.01)
    assert "agent" not in world.outcomes
    world.advance(seconds)
    assert isinstance(world.outcomes["agent"], Overloaded)


def test_nobody_waits_for_ever_for_a_destinations_wish() -> None:
    """A sampler that asks for an hour's pause is asked again after a few seconds all the same."""
    world = drive()
    world.view(1, "s1")
    world.modes = {"s1": "busy:3600"}
    world.receive("agent", request(span("A", 1)), patience=60)
    world.modes = {}
    world.advance(limits.RETRY_AFTER_MAX)
    assert world.outcomes["agent"] == Accepted()


def test_a_request_that_envelopes_would_multiply_is_refused() -> None:
    """A request that would grow without bound by repeating its resource for each scope is refused for good, unread."""
    scopes = [wire.message(2, wire.bytes_field(2, wire.plain_span(b"A" * 16, b"a" * 8))) for _ in range(1000)]
    body = wire.message(1, wire.message(1, wire.padding(200_000)), *scopes)
    world = drive()
    world.view(1, "s1", "s2")
    world.receive("agent", body)
    outcome = world.outcomes["agent"]
    assert isinstance(outcome, Invalid)
    assert "too large" in outcome.message
    assert world.tally.get(metrics.REQUESTS_REJECTED, "too_large") == 1
    assert world.held == 0


def test_one_request_counts_whole_against_a_members_share() -> None:
    """The pieces of a large request count together against what may wait for one member."""
    world = drive(bytes_max=10_000, request_bytes_max=1500)
    world.view(1, "s1")
    world.modes = {"s1": "silent"}
    world.receive("first", request(*padded([span("A", 1)], 1000)))
    world.receive("large", request(*padded([span("A", n) for n in range(2, 7)], 1000)))
    assert isinstance(world.outcomes["large"], Overloaded)
    assert world.held < 1500


def test_the_first_request_of_an_idle_balancer_is_taken_whatever_its_size() -> None:
    """A bound that is smaller than a request refuses nobody for ever: an idle balancer takes one."""
    world = drive(bytes_max=1000)
    world.view(1, "s1")
    world.receive("agent", request(*padded([span("A", 1), span("A", 2)], 2000)))
    assert world.outcomes["agent"] == Accepted()


def test_forwarded_is_ordinary_otlp() -> None:
    """What is forwarded reads to the official classes as the agent's spans in the agent's resource and scope."""
    world = drive()
    world.view(1, "s1", "s2")
    body = request(*[span(name, number) for number, name in enumerate("ABCDEF", 1)])
    world.receive("agent", body)
    forwarded = wire.concat([send.request for send in world.delivered])
    assert sorted(wire.standings(forwarded)) == sorted(wire.standings(body))


def test_gauges_follow_the_links() -> None:
    """The gauges show what is held for each member, and no member that is gone."""
    world = drive()
    world.view(1, "s1")
    world.modes = {"s1": "silent"}
    world.receive("agent", request(span("A", 1)))
    world.balancer.publish()
    assert world.tally.get(metrics.OUTBOX_SPANS, "s1:4317") == 1
    assert world.tally.get(metrics.OUTBOX_IN_FLIGHT, "s1:4317") == 1
    world.view(2, "s2")
    world.mode("s1", "up")
    world.advance(1)
    world.balancer.publish()
    assert [labels for which, labels, _ in world.tally if which is metrics.OUTBOX_SPANS] in ([], [("s2:4317",)])


def test_an_idle_balancer_wants_no_ticks() -> None:
    """With nothing in flight and nobody routed around, the balancer sleeps."""
    world = drive()
    world.view(1, "s1", "s2")
    assert world.balancer.next_deadline() is None
    world.receive("agent", request(span("A", 1), span("B", 2)))
    world.advance(10)
    assert world.balancer.next_deadline() is None


def test_time_is_only_what_it_is_told() -> None:
    """Two balancers told the same do the same."""

    def told() -> Driven:
        world = drive()
        world.view(1, "s1", "s2")
        world.modes = {"s1": "busy", "s2": "silent"}
        world.receive("a", request(span("A", 1), span("B", 2)))
        world.advance(10)
        return world

    assert told().actions == told().actions


def test_resources_stay_apart() -> None:
    """Two agents' requests that leave together keep their resources."""
    world = drive(in_flight_max=1, pace=0.0)
    world.view(1, "s1")
    world.modes = {"s1": "silent"}
    for number, service in enumerate(("one", "two", "three"), 1):
        made = resource_spans([span("A", number)], service=service)
        world.receive(service, wire.bytes_field(1, made.SerializeToString()))
    world.mode("s1", "up")
    assert len(world.delivered) == 2
    assert len({each.resource for each in wire.standings(world.delivered[1].request)}) == 2
