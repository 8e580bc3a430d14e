"""gateway.outbox: what leaves when, in which company; and that no byte, span or part is ever lost or doubled on the way."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gateway.config.settings import Retry
from gateway.outbox import Attempt, Outbox, Part

STEADY = Retry(initial=1.0, max=8.0, multiplier=2.0, jitter=0.0, elapsed_max=60.0)


def part(owner: str, size: int = 10, spans: int = 1) -> Part[str]:
    return Part(owner.encode()[:1] * size, spans, owner)


def outbox(
    *,
    in_flight_max: int = 1,
    bytes_max: int = 100,
    spans: int = 0,
    spans_max: int = 0,
    linger: float = 0.0,
    retry: Retry | None = None,
) -> Outbox[str]:
    return Outbox(
        "there",
        in_flight_max=in_flight_max,
        request_bytes_max=bytes_max,
        request_spans=spans,
        request_spans_max=spans_max,
        linger=linger,
        retry=retry,
    )


def owners(attempt: Attempt[str] | None) -> list[str] | None:
    return None if attempt is None else [each.owner for each in attempt.parts]


def failing(box: Outbox[str], times: int, now: float = 0.0) -> list[float]:
    """The pauses after each of so many failures in a row."""
    pauses = []
    for number in range(times):
        assert box.take(now, number) is not None
        assert box.failed(number, now) is None
        at = box.next_deadline()
        assert at is not None
        pauses.append(at - now)
        now = at
    return pauses


# ---------------------------------------------------------------- what leaves when


def test_an_idle_destination_is_sent_to_at_once() -> None:
    """Without a linger a part leaves as soon as it is put, alone."""
    box = outbox()
    box.put(part("a"), 0)
    assert owners(box.take(0, 1)) == ["a"]


def test_parts_coalesce_behind_what_is_in_flight() -> None:
    """What comes while the destination is busy waits, and leaves together, in order, as one request."""
    box = outbox()
    for name in "abc":
        box.put(part(name), 0)
        if name == "a":
            box.take(0, 1)
    assert box.take(0, 2) is None
    box.delivered(1)
    attempt = box.take(0, 2)
    assert attempt is not None
    assert attempt.request == b"b" * 10 + b"c" * 10
    assert (attempt.size, attempt.spans) == (20, 2)


def test_in_flight_is_bounded() -> None:
    """Never more requests are in flight than the bound, and an answer makes room for one."""
    box = outbox(in_flight_max=2, bytes_max=10)
    for name in "abc":
        box.put(part(name), 0)
    assert [owners(box.take(0, number)) for number in (1, 2, 3)] == [["a"], ["b"], None]
    assert box.next_deadline() is None
    assert box.in_flight == 2
    box.delivered(1)
    assert owners(box.take(0, 3)) == ["c"]


def test_requests_are_bounded_in_bytes() -> None:
    """Parts share a request up to exactly the bound in bytes; a larger part leaves alone."""
    box = outbox(in_flight_max=9)
    for name, size in (("a", 60), ("b", 40), ("c", 1), ("d", 500), ("e", 1)):
        box.put(part(name, size), 0)
    assert [owners(box.take(0, number)) for number in range(5)] == [["a", "b"], ["c"], ["d"], ["e"], None]


def test_requests_are_bounded_in_spans() -> None:
    """Parts share a request up to exactly the bound in spans; a part with more leaves alone."""
    box = outbox(in_flight_max=9, spans_max=10)
    for name, spans in (("a", 6), ("b", 4), ("c", 1), ("d", 50), ("e", 1)):
        box.put(part(name, 1, spans), 0)
    assert [owners(box.take(0, number)) for number in range(5)] == [["a", "b"], ["c"], ["d"], ["e"], None]


def test_linger_gathers_for_a_moment() -> None:
    """With a linger a part waits so long for company, and no longer."""
    box = outbox(linger=0.2)
    box.put(part("a"), 1.0)
    assert box.take(1.1, 1) is None
    assert box.next_deadline() == 1.2
    box.put(part("b"), 1.1)
    assert owners(box.take(1.2, 1)) == ["a", "b"]


def test_enough_spans_end_the_linger() -> None:
    """As many spans as a request wants leave at once; what is left over lingers on."""
    box = outbox(linger=0.2, spans=5, in_flight_max=9)
    for name in "abcdef":
        box.put(part(name, 1), 0.0)
    assert owners(box.take(0.0, 1)) == ["a", "b", "c", "d", "e"]
    assert box.take(0.0, 2) is None
    assert owners(box.take(0.2, 2)) == ["f"]


def test_enough_bytes_end_the_linger() -> None:
    """A full request in bytes does not wait for its linger."""
    box = outbox(linger=9.0)
    box.put(part("a", 99), 0)
    assert box.take(0, 1) is None
    box.put(part("b", 1), 0)
    assert owners(box.take(0, 1)) == ["a", "b"]


def test_flush_ignores_the_linger() -> None:
    """A drain does not wait for company."""
    box = outbox(linger=9.0)
    box.put(part("a"), 0)
    assert owners(box.take(0, 1, flush=True)) == ["a"]


def test_groups_apart_never_share_a_request() -> None:
    """Groups put apart leave as they are, one request each, ahead of what waits."""
    box = outbox(in_flight_max=9)
    for name in "abc":
        box.put(part(name), 0)
    attempt = box.take(0, 1)
    assert attempt is not None
    assert box.withdraw(1) is attempt
    box.put(part("d"), 0)
    box.requeue_apart([[each] for each in attempt.parts[:2]] + [attempt.parts[2:]], 0)
    assert box.requests == 4
    assert [owners(box.take(0, number)) for number in range(2, 7)] == [["a"], ["b"], ["c"], ["d"], None]


def test_requests_are_counted_as_they_would_leave() -> None:
    """The queue's length counts what is in flight, what rests and what waits, as the requests it makes."""
    box = outbox(spans_max=10, retry=STEADY)
    assert box.requests == 0
    for _ in range(25):
        box.put(part("a", 1), 0)
    assert box.requests == 3
    box.take(0, 1)
    assert box.requests == 3
    box.failed(1, 0)
    assert box.requests == 3
    box.take(1, 2)
    box.delivered(2)
    assert box.requests == 2


# ---------------------------------------------------------------- failure


def test_without_retry_a_failed_attempt_comes_back() -> None:
    """Where nobody is to try again, the caller gets the attempt and answers for its parts."""
    for retry in (None, Retry(enabled=False)):
        box = outbox(retry=retry)
        box.put(part("a"), 0)
        box.take(0, 1)
        assert owners(box.failed(1, 0)) == ["a"]
        assert (box.bytes, box.spans, box.in_flight) == (0, 0, 0)


def test_a_failed_attempt_is_tried_again_whole() -> None:
    """After its pause the same parts leave again, ahead of what waits, under a new number."""
    box = outbox(retry=STEADY)
    box.put(part("a"), 0)
    box.take(0, 1)
    box.put(part("b"), 0)
    assert box.failed(1, 2.0) is None
    assert owners(box.take(2.5, 2)) == ["b"]
    box.delivered(2)
    again = box.take(3.0, 3)
    assert again is not None
    assert (owners(again), again.tries, again.number, again.first_at, again.sent_at) == (["a"], 2, 3, 0, 3.0)
    assert box.delivered(1) is None
    assert box.delivered(3) is again


def test_pauses_grow_to_their_bound() -> None:
    """Pauses grow by the multiplier from the first to the largest and stay there."""
    box = outbox(retry=STEADY)
    box.put(part("a"), 0)
    assert failing(box, 6) == [1, 2, 4, 8, 8, 8]


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_jitter_stays_within_its_share(number: int, jitter: float) -> None:
    """A pause is spread by at most the jitter's share to either side, the same for the same attempt."""
    box = outbox(retry=Retry(initial=4.0, max=8.0, multiplier=2.0, jitter=jitter, elapsed_max=0))
    at = []
    for _ in range(2):
        box.put(part("a"), 0)
        box.take(0, number)
        box.failed(number, 0)
        at.append(box.next_deadline())
        box.empty()
    assert at[0] == at[1]
    assert at[0] is not None
    assert 4 * (1 - jitter) - 1e-9 <= at[0] <= 4 * (1 + jitter) + 1e-9


def test_jitter_spreads() -> None:
    """Attempts that fail together are not tried again together."""
    pauses = set()
    for number in range(50):
        box = outbox(retry=Retry(initial=1.0, jitter=0.5))
        box.put(part("a"), 0)
        box.take(0, number)
        box.failed(number, 0)
        pauses.add(box.next_deadline() or 0.0)
    assert len(pauses) == 50
    assert min(pauses) < 0.7
    assert max(pauses) > 1.3


def test_the_destinations_wish_is_honoured() -> None:
    """A longer pause that the destination asks for is kept; a shorter one does not hasten."""
    for wish, pause in ((5.0, 5.0), (0.1, 1.0), (None, 1.0)):
        box = outbox(retry=STEADY)
        box.put(part("a"), 0)
        box.take(0, 1)
        box.failed(1, 0, wish)
        assert box.next_deadline() == pause


def test_attempts_are_given_up_in_time() -> None:
    """An attempt that fails when the elapsed bound is reached comes back; without a bound it never does."""
    for elapsed_max, gives_up in ((60.0, True), (0.0, False)):
        box = outbox(retry=Retry(initial=1.0, max=8.0, multiplier=2.0, jitter=0.0, elapsed_max=elapsed_max))
        box.put(part("a"), 0)
        box.take(0, 1)
        assert (box.failed(1, 60.0, 8.0) is not None) == gives_up
        assert box.bytes == (0 if gives_up else 10)


def test_unknown_attempts_are_none() -> None:
    """An answer that comes twice, or for nothing, changes nothing."""
    box = outbox(retry=STEADY)
    box.put(part("a"), 0)
    box.take(0, 1)
    box.delivered(1)
    assert (box.delivered(1), box.failed(1, 0), box.withdraw(1)) == (None, None, None)
    assert box.bytes == 0


def test_a_resting_attempt_can_be_withdrawn() -> None:
    """An attempt that waits to be tried again can be taken out."""
    box = outbox(retry=STEADY)
    box.put(part("a"), 0)
    box.take(0, 1)
    box.failed(1, 0)
    assert owners(box.withdraw(1)) == ["a"]
    assert (box.next_deadline(), box.bytes) == (None, 0)


def test_discard_leaves_what_is_in_flight() -> None:
    """Parts nobody wants any more are taken out while they wait, apart or not; what is in flight goes on."""
    box = outbox()
    for name in "aab":
        box.put(part(name), 0)
    box.requeue_apart([[part("a")], [part("a"), part("b")]], 0)
    assert owners(box.take(0, 1)) == ["a"]
    assert [each.owner for each in box.discard(lambda owner: owner == "a")] == ["a", "a", "a"]
    assert (box.bytes, box.in_flight) == (30, 1)
    box.delivered(1)
    assert [owners(box.take(0, 2)), box.delivered(2) and None, owners(box.take(0, 3))] == [["b"], None, ["b"]]


# ---------------------------------------------------------------- against a naive model


@dataclass
class Held:
    """A part in the model."""

    part: Part[int]
    place: str  # waiting, apart, flying N, resting N, out


class OutboxMachine(RuleBasedStateMachine):
    """Any order of calls against a list of parts and where each of them is."""

    @initialize(
        in_flight_max=st.integers(1, 3),
        bytes_max=st.integers(1, 60),
        spans=st.integers(0, 4),
        spans_max=st.integers(0, 6),
        linger=st.sampled_from([0.0, 1.0]),
        retry=st.sampled_from([None, STEADY, Retry(initial=1.0, elapsed_max=4.0)]),
    )
    def start(
        self, in_flight_max: int, bytes_max: int, spans: int, spans_max: int, linger: float, retry: Retry | None
    ) -> None:
        self.box: Outbox[int] = Outbox(
            "there",
            in_flight_max=in_flight_max,
            request_bytes_max=bytes_max,
            request_spans=spans,
            request_spans_max=spans_max,
            linger=linger,
            retry=retry,
        )
        self.in_flight_max, self.bytes_max, self.spans_max = in_flight_max, bytes_max, spans_max
        self.held: dict[int, Held] = {}
        self.known: set[int] = set()
        self.now = 0.0
        self.count = self.number = 0

    def at(self, place: str) -> list[int]:
        return [owner for owner, held in self.held.items() if held.place == place]

    def move(self, parts: list[Part[int]], was: str, to: str) -> None:
        for each in parts:
            assert self.held[each.owner].part is each
            assert self.held[each.owner].place.startswith(was), (self.held[each.owner].place, was)
            self.held[each.owner].place = to

    def move_back(self, parts: list[Part[int]], was: str) -> None:
        assert sorted(each.owner for each in parts) == sorted(self.at(was))
        self.move(parts, was, "out")

    @rule(size=st.integers(1, 50), spans=st.integers(0, 5))
    def put(self, size: int, spans: int) -> None:
        self.count += 1
        made = Part(bytes(size), spans, self.count)
        self.held[self.count] = Held(made, "waiting")
        self.box.put(made, self.now)

    @rule(flush=st.booleans())
    def take(self, flush: bool) -> None:
        self.number += 1
        attempt = self.box.take(self.now, self.number, flush=flush)
        if attempt is None:
            flying = {held.place for held in self.held.values() if held.place.startswith("flying")}
            if flush and len(flying) < self.in_flight_max:
                assert not self.at("waiting")
                assert not self.at("apart")
            return
        if attempt.tries > 1:
            resting = self.held[attempt.parts[0].owner].place
            assert sorted(each.owner for each in attempt.parts) == sorted(self.at(resting))
        elif self.held[attempt.parts[0].owner].place == "waiting":
            assert [each.owner for each in attempt.parts] == self.at("waiting")[: len(attempt.parts)]
            assert len(attempt.parts) == 1 or attempt.size <= self.bytes_max
            assert len(attempt.parts) == 1 or not self.spans_max or attempt.spans <= self.spans_max
        assert attempt.request == b"".join(each.body for each in attempt.parts)
        assert attempt.size == len(attempt.request)
        assert attempt.spans == sum(each.spans for each in attempt.parts)
        self.move(attempt.parts, "", f"flying {self.number}")
        self.known.add(self.number)

    @precondition(lambda self: self.known)
    @rule(data=st.data(), how=st.sampled_from(["delivered", "failed", "withdraw", "apart"]), wish=st.floats(0, 9))
    def end(self, data: st.DataObject, how: str, wish: float) -> None:
        number = data.draw(st.sampled_from(sorted(self.known)))
        was = f"flying {number}" if self.at(f"flying {number}") else f"resting {number}"
        if how == "failed":
            attempt = self.box.failed(number, self.now, wish)
            if attempt is None:
                self.move([self.held[owner].part for owner in self.at(was)], was, f"resting {number}")
                return
        else:
            attempt = self.box.delivered(number) if how == "delivered" else self.box.withdraw(number)
        if attempt is None:
            assert how == "delivered" or not self.at(was)
            return
        self.move_back(attempt.parts, was)
        if how == "apart":
            half = len(attempt.parts) // 2
            self.box.requeue_apart([group for group in (attempt.parts[:half], attempt.parts[half:]) if group], self.now)
            self.move(attempt.parts, "out", "apart")

    @rule(odd=st.integers(0, 1))
    def discard(self, odd: int) -> None:
        out = self.box.discard(lambda owner: owner % 2 == odd)
        expected = [owner for owner in self.at("apart") + self.at("waiting") if owner % 2 == odd]
        assert sorted(each.owner for each in out) == sorted(expected)
        self.move(out, "", "out")

    @rule()
    def empty(self) -> None:
        out = self.box.empty()
        assert sorted(each.owner for each in out) == sorted(o for o, held in self.held.items() if held.place != "out")
        self.move(out, "", "out")

    @rule(by=st.floats(0.1, 5))
    def wait(self, by: float) -> None:
        self.now += by

    @rule()
    def wake_when_told(self) -> None:
        at = self.box.next_deadline()
        if at is None:
            return
        self.now = max(self.now, at)
        self.take(flush=False)
        assert self.at(f"flying {self.number}"), "something leaves at the time that was told"

    @invariant()
    def nothing_drifts(self) -> None:
        if not hasattr(self, "box"):
            return
        inside = [held.part for held in self.held.values() if held.place != "out"]
        assert self.box.bytes == sum(len(each.body) for each in inside)
        assert self.box.spans == sum(each.spans for each in inside)
        flying = {held.place for held in self.held.values() if held.place.startswith("flying")}
        assert self.box.in_flight == len(flying) <= self.in_flight_max
        assert bool(self.box.requests) == bool(inside)


TestOutboxMachine = OutboxMachine.TestCase
TestOutboxMachine.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


@pytest.mark.parametrize("bound", ["in_flight_max", "bytes_max"])
def test_bounds_are_positive(bound: str) -> None:
    """An outbox that may send nothing is a bug, not a configuration."""
    with pytest.raises(AssertionError):
        outbox(**{bound: 0})  # type: ignore[arg-type]


def test_a_wish_alone_gives_nothing_up() -> None:
    """A destination that asks for more time than is left is asked once more at the end of it, and only then given up."""
    outbox: Outbox[str] = Outbox(
        "b", in_flight_max=1, request_bytes_max=100, retry=Retry(initial=1.0, jitter=0.0, elapsed_max=60.0)
    )
    outbox.put(Part(b"x", 1, "a"), 0.0)
    assert outbox.take(0.0, 1) is not None
    assert outbox.failed(1, 10.0, retry_after=1e9) is None
    assert outbox.next_deadline() == 60.0
    assert outbox.take(60.0, 2) is not None
    assert outbox.failed(2, 60.0) is not None


def test_haste_ends_long_rests() -> None:
    """Before the end nothing rests for long: neither what rests already nor what fails from then on."""
    box = outbox(retry=Retry(initial=30.0, max=30.0, jitter=0.0))
    box.put(part("a"), 0)
    box.take(0, 1)
    box.failed(1, 0)
    assert box.next_deadline() == 30.0
    box.hasten(5.0, 1.0)
    assert box.next_deadline() == 6.0
    assert box.take(6.0, 2) is not None
    box.failed(2, 6.0, 20.0)
    assert box.next_deadline() == 7.0
