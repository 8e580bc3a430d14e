"""How a replica keeps up: first by single answers, then whole clusters against the simulated store under a fake clock."""

from __future__ import annotations

import heapq
import math
import random
import re
from collections.abc import Callable

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway import limits
from gateway.errors import TailgateError
from gateway.lease import Answer, Call, Claim, Keeper, Standing, SteppedDown, StoreBack, StoreSilent, ViewTaken
from gateway.membership import NO_VIEW, Member, RingParameters, State, View, ViewStamp, make_view
from tests.support.simulated_leases import SimulatedLeases

LEASE = 10.0
MINE = Member("a", "h:1", start=7)


def claim(id: str = "a", endpoint: str = "h:1") -> Claim:
    return Claim(id, endpoint, lease=LEASE)


def answer(view: View, *, fresh: bool = True, recovering: bool = False) -> Answer:
    return Answer(view.stamp, LEASE, start=7, recovering=recovering, ring=view.ring, view=view if fresh else None)


def one(state: State = State.ACTIVE, epoch: int = 1) -> View:
    return make_view(epoch, [Member("a", "h:1", state=state, start=7)])


def test_watcher_converges_on_the_second_read() -> None:
    """A balancer is ready when it has read one view with an active member twice, and stays so through changes."""
    keeper = Keeper("w", 1.0)
    keeper.call(0)
    assert keeper.answered(answer(one()), 0) == [ViewTaken(one())]
    assert not keeper.converged
    keeper.call(1)
    assert keeper.answered(answer(one()), 1) == []
    assert keeper.converged
    assert keeper.call(2).held == one().stamp
    keeper.answered(answer(one(epoch=2)), 2)
    assert keeper.converged


def test_watcher_without_active_member_is_not_converged() -> None:
    """A view in which nobody is active makes no balancer ready, however often it is read."""
    keeper = Keeper("w", 1.0)
    for second in range(3):
        keeper.call(second)
        keeper.answered(answer(one(State.JOINING)), second)
    assert not keeper.converged


def test_watcher_does_not_converge_while_the_store_recovers() -> None:
    """A balancer that starts while an emptied store fills again is not ready before it is full."""
    keeper = Keeper("w", 1.0)
    for second in range(3):
        keeper.call(second)
        keeper.answered(answer(one(), recovering=True), second)
    assert not keeper.converged
    for second in (4, 5):
        keeper.call(second)
        keeper.answered(answer(one()), second)
    assert keeper.converged


def test_claimant_becomes_active_when_listed() -> None:
    """A sampler asks to be active only once a view lists it, and is ready when a view lists it as active."""
    keeper = Keeper("a", 1.0, claim())
    keeper.want(State.ACTIVE, 0)
    assert keeper.call(0).state is State.JOINING
    keeper.answered(answer(one(State.JOINING)), 0.5)
    assert not keeper.converged
    assert keeper.next_deadline() == 0.5
    call = keeper.call(0.5)
    assert (call.state, call.start) == (State.ACTIVE, 7)
    keeper.answered(answer(one(epoch=2)), 0.6)
    assert keeper.converged


def test_silent_store_changes_nothing() -> None:
    """While the store is silent the view stays, said once; when it answers, that is said once."""
    keeper = Keeper("a", 1.0, claim())
    keeper.call(0)
    keeper.answered(answer(one()), 0)
    for second in (1, 2, 3):
        keeper.call(second)
        assert keeper.failed("no answer", second + 0.5) == ([StoreSilent("no answer")] if second == 1 else [])
    assert keeper.silent
    assert (keeper.view, keeper.converged, keeper.age(4)) == (one(), True, 4)
    keeper.call(5)
    assert keeper.answered(answer(one(), fresh=False), 5.5) == [StoreBack(4.0)]
    assert (keeper.silent, keeper.age(5.5)) == (False, 0)


@given(st.text(min_size=1), st.floats(0.1, 60), st.floats(limits.LEASE_MIN, 60))
def test_beats_come_in_time(id: str, poll: float, lease: float) -> None:
    """Calls are at most a poll and less than a third of a lease apart, at a pace of the replica's own."""
    keeper = Keeper(id, poll, Claim("a", "h:1", lease=lease))
    keeper.call(0)
    keeper.answered(Answer(one().stamp, lease, start=7, view=one()), 0)
    due_at = keeper.next_deadline()
    assert due_at is not None
    assert 0.7 * min(poll, lease / 3) <= due_at < min(poll, lease / 3)
    assert keeper.timeout <= lease / 6


def test_hints_hasten_a_read() -> None:
    """News of a greater epoch makes the next read soon, old news do not, and many news make no storm."""
    keeper = Keeper("w", 1.0)
    for second in (10.0, 11.0):
        keeper.call(second)
        keeper.answered(answer(one()), second)
    regular = keeper.next_deadline()
    keeper.heard(1, 11.5)
    assert keeper.next_deadline() == regular
    keeper.heard(2, 11.5)
    assert keeper.next_deadline() == 11.5
    keeper.call(11.5)
    keeper.heard(3, 11.51)
    keeper.heard(4, 11.52)
    keeper.answered(answer(one(epoch=2)), 11.53)
    assert keeper.next_deadline() == pytest.approx(11.5 + limits.HINT_SPACING)


@pytest.mark.parametrize(
    ("standing", "words"),
    [
        (Standing.SUPERSEDED, "newer replica"),
        (Standing.REFUSED, "maglev/1/65537.*consistent/1/65537"),
        (Standing.FULL, "1000"),
        (Standing.LEFT, "has left"),
    ],
)
def test_refused_in_words(standing: Standing, words: str) -> None:
    """Who may not be a member is told why, and calls no more."""
    keeper = Keeper("a", 1.0, Claim("a", "h:1", ring=RingParameters("consistent")))
    keeper.call(0)
    (change,) = keeper.answered(Answer(ViewStamp(4, "d"), LEASE, standing, ring=RingParameters()), 0)
    assert isinstance(change, SteppedDown)
    assert re.search(words, change.reason)
    assert keeper.ended
    keeper.heard(9, 1)
    assert keeper.next_deadline() is None


def test_older_view_is_not_taken() -> None:
    """Epochs only grow for a reader; the same epoch with other members is taken, for the store wins."""
    keeper = Keeper("w", 1.0)
    other = make_view(5, [Member("b", "h:2")])
    for second, view, taken in ((0, one(epoch=5), True), (1, one(epoch=4), False), (2, other, True)):
        keeper.call(second)
        assert keeper.answered(answer(view), second) == ([ViewTaken(view)] if taken else [])
    assert keeper.view == other


def test_leaving_ends_the_calls() -> None:
    """After leaving there is nothing more to call for."""
    keeper = Keeper("a", 1.0, claim())
    keeper.call(0)
    keeper.answered(answer(one()), 0)
    assert keeper.call(1, leaving=True).leaving
    keeper.answered(answer(one(), fresh=False), 1)
    assert keeper.ended


def test_calls_come_one_at_a_time() -> None:
    """A second call before the first is answered, or an answer to none, is a bug."""
    keeper = Keeper("w", 1.0)
    with pytest.raises(AssertionError):
        keeper.answered(answer(one()), 0)
    assert keeper.call(0) == Call(NO_VIEW, 0, limits.LEASE)
    with pytest.raises(AssertionError):
        keeper.call(0)


def test_names_that_would_break_an_entry() -> None:
    """A ring name with a tab or a line break in it is a mistake in words."""
    with pytest.raises(TailgateError, match="printable"):
        Claim("a", "h:1", ring_name="x\ty")


# ---------------------------------------------------------------- whole clusters


class Process:
    """A replica or a reader: a Keeper, and what it took into force."""

    def __init__(self, cluster: Cluster, id: str, endpoint: str) -> None:
        self.id, self.endpoint, self.cluster = id, endpoint, cluster
        self.keeper = Keeper(id, 1.0, Claim(id, endpoint, lease=LEASE) if endpoint else None)
        self.alive, self.paused_until, self.unlucky = True, 0.0, False
        if endpoint:
            self.keeper.want(State.ACTIVE, cluster.now)
        cluster.at(cluster.now, self.wake)

    def wake(self) -> None:
        """Call if a call is due, else come back when it is."""
        now, due_at = self.cluster.now, self.keeper.next_deadline()
        if not self.alive or due_at is None:
            return
        if now < max(due_at, self.paused_until):
            self.cluster.at(max(due_at, self.paused_until), self.wake)
        else:
            self.cluster.carry(self, self.keeper.call(now))

    def answered(self, answer: Answer | None) -> None:
        if not self.alive:
            return
        now = self.cluster.now
        changes = self.keeper.answered(answer, now) if answer else self.keeper.failed("lost", now)
        for change in changes:
            if isinstance(change, ViewTaken):
                self.cluster.taken(self, change.view)
            self.alive = self.alive and not isinstance(change, SteppedDown)
        self.cluster.at(now, self.wake)


class Cluster:
    """Replicas and readers, a network that delays, loses and repeats late, and a store that may be away; one seed, one run."""

    def __init__(self, seed: int, lossy_store: bool) -> None:
        self.random = random.Random(seed)
        self.now, self.clock_offset, self.down_until, self.number = 0.0, 1e9, 0.0, 0
        self.leases = SimulatedLeases()
        self.events: list[tuple[float, int, Callable[[], None]]] = []
        self.processes: list[Process] = []
        self.epochs: dict[str, int] = {}
        self.digests: dict[int, str] = {}
        self.lossy_store, self.faults, self.starts = lossy_store, True, 0
        self.old_store = self.leases.copy()
        self.touchy: dict[str, float] = {}  # ids that may be missing from views, and until when; inf: till they beat

    def at(self, when: float, what: Callable[[], None]) -> None:
        self.number += 1
        heapq.heappush(self.events, (when, self.number, what))

    def start(self, endpoint: str) -> Process:
        self.starts += 1
        process = Process(self, f"{self.starts:016x}", endpoint)
        self.processes.append(process)
        return process

    def run(self, seconds: float) -> None:
        until = self.now + seconds
        while self.events and self.events[0][0] <= until:
            self.now, _, what = heapq.heappop(self.events)
            what()
        self.now = until

    def carry(self, process: Process, call: Call) -> None:
        there, back = self.random.uniform(0.001, 0.1), self.random.uniform(0.001, 0.1)
        lost = self.faults and not process.unlucky and self.random.random() < 0.1
        process.unlucky = lost  # never twice in a row: that would be a partition
        fate = self.random.choice(["request", "answer", "late"]) if lost else "well"
        if fate == "late":
            self.at(self.now + process.keeper.timeout + self.random.uniform(0, 3), lambda: self.execute(call))
        if fate in ("request", "late"):
            self.at(self.now + process.keeper.timeout, lambda: process.answered(None))
        else:
            self.at(self.now + there, lambda: self.deliver(process, call, back, fate == "answer"))

    def deliver(self, process: Process, call: Call, back: float, lost: bool) -> None:
        answer = self.execute(call)
        lost = lost or answer is None
        delay = process.keeper.timeout if lost else back
        self.at(self.now + delay, lambda: process.answered(None if lost else answer))

    def execute(self, call: Call) -> Answer | None:
        if self.now < self.down_until:
            return None
        self.leases.now = self.now + self.clock_offset
        self.steadied(call)
        return self.leases.call(call)

    def steadied(self, call: Call) -> None:
        """A beat after a pause ends its effect, but for the answers still on their way, which take 0.1 s."""
        for process in self.processes:
            beats = call.claim is not None and call.claim.id == process.id and self.now >= process.paused_until
            if beats and self.touchy.get(process.id, 0) > self.now:
                self.touchy[process.id] = min(self.touchy[process.id], self.now + 0.1)

    def taken(self, process: Process, view: View) -> None:
        """What must hold whenever anybody takes a view into force."""
        assert view.epoch > self.epochs.get(process.id, 0) or self.lossy_store, "epochs only grow"
        assert view.epoch >= self.epochs.get(process.id, 0)
        self.epochs[process.id] = view.epoch
        assert self.lossy_store or self.digests.setdefault(view.epoch, view.digest) == view.digest, "one epoch, one set"
        listed = [member.id for member in view.members]
        before = {member.id for member in view.predecessor}
        for other in self.processes:
            steady = other.alive and other.endpoint and other.keeper.state is State.ACTIVE and not self.lossy_store
            if steady and other.id in before and self.now > self.touchy.get(other.id, 0):
                assert other.id in listed, "nobody vanishes who was there all the time"

    def disturb(self) -> None:
        """One fault or change."""
        replicas = [process for process in self.processes if process.alive and process.endpoint]
        kinds = ["outage", "crash", "restart", "join", "drain", "pause", "clock", "watch"]
        kind = self.random.choice(kinds + (["emptied", "failover"] if self.lossy_store else []))
        victim = self.random.choice(replicas) if len(replicas) > 2 else None
        if kind == "outage":
            self.down_until = self.now + self.random.choice([0.5, 5, 15, 60])
        elif kind == "join":
            self.start(f"h:{self.starts}")
        elif kind == "watch":
            self.start("")
        elif kind == "clock":
            self.clock_offset += self.random.choice([-3600, -20, -2, 2, 20, 3600])
        elif kind == "emptied":
            self.leases.forget()
        elif kind == "failover":
            self.leases.restore(self.old_store)
        elif victim and kind in ("crash", "restart"):
            victim.alive = False
            if kind == "restart":
                self.start(victim.endpoint)
        elif victim and kind == "pause":
            victim.paused_until = max(victim.paused_until, self.now + self.random.uniform(1, 40))
            self.touchy[victim.id] = math.inf  # an outage after it may keep the next beat away for any time
        elif victim:
            victim.keeper.want(State.DRAINING, self.now)
            self.at(self.now + 2, lambda: self.leave(victim))
            victim.wake()

    def leave(self, process: Process) -> None:
        process.alive = False
        self.execute(Call(NO_VIEW, process.keeper.seen, LEASE, Claim(process.id, process.endpoint), leaving=True))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), lossy_store=st.booleans())
@example(seed=155588, lossy_store=False)  # one paused until its lease was nearly over, then an outage
def test_clusters_agree(seed: int, lossy_store: bool) -> None:
    """Through outages, crashes, restarts, pauses, clock steps and lost calls, views never contradict, and then all agree."""
    cluster = Cluster(seed, lossy_store)
    for endpoint in ("h:a", "h:b", "h:c", "", ""):
        cluster.start(endpoint)
    cluster.run(5)
    for _ in range(8):
        cluster.old_store = cluster.leases.copy()
        cluster.run(cluster.random.uniform(0, 15))
        cluster.disturb()
    cluster.faults = False
    cluster.run(60 + 60 + 6 * LEASE)
    alive = [process for process in cluster.processes if process.alive]
    replicas = sorted(process.id for process in alive if process.endpoint)
    for process in alive:
        view = process.keeper.view
        assert view is not None
        assert [member.id for member in view.members] == replicas
        assert {member.state for member in view.members} == {State.ACTIVE}
        assert process.keeper.converged
    assert len({process.keeper.view.stamp for process in alive if process.keeper.view}) == 1
