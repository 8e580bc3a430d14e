"""The ring: one view, one owner, everywhere; even; and moving no more than it must."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import limits
from gateway.errors import TailgateError
from gateway.membership import Member, RingParameters, State, View, make_view
from gateway.ring import METHODS, Ring, UnknownRingError

both = pytest.mark.parametrize("method", METHODS)


def member(number: int, **other: object) -> Member:
    return replace(Member(f"{number:016x}", f"10.0.0.{number}:4317"), **other)


def view(members: list[Member], method: str = "maglev") -> View:
    return make_view(7, members, RingParameters(method))


def moved(before: Ring, after: Ring) -> list[tuple[str, str]]:
    return [(a.name, b.name) for a, b in zip(before.table, after.table, strict=True) if a.name != b.name]


def trace_ids(count: int) -> list[bytes]:
    return [hashlib.md5(str(number).encode()).digest() for number in range(count)]


members_lists = st.lists(st.integers(0, 200), min_size=1, max_size=6, unique=True).flatmap(
    lambda numbers: st.tuples(
        *(st.builds(lambda weight, n=n: member(n, weight=weight), st.integers(1, 4)) for n in numbers)
    ).map(list)
)


@settings(max_examples=15, deadline=None)
@given(members=members_lists, random=st.randoms(use_true_random=False), method=st.sampled_from(METHODS))
def test_order_of_members_does_not_matter(members: list[Member], random: object, method: str) -> None:
    """The same members give the same table in whatever order they are named."""
    shuffled = list(members)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert Ring(view(members, method)).table == Ring(view(shuffled, method)).table


SCRIPT = """
import hashlib
from gateway.membership import Member, RingParameters, make_view
from gateway.ring import Ring
for method in ("maglev", "consistent"):
    members = [Member(f"{n:016x}", f"10.0.0.{n}:4317", weight=1 + n % 3) for n in {5, 3, 9, 1}]
    table = Ring(make_view(7, members, RingParameters(method))).table
    print(method, hashlib.sha256("".join(member.id for member in table).encode()).hexdigest()[:16])
"""


def test_processes_with_other_hash_seeds_agree() -> None:
    """Two processes whose Python hashes differ build the same tables, and these are the tables of version 1."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout.decode()
        for seed in ("1", "4711")
    ]
    assert outputs[0] == outputs[1] == "maglev 793235a91d85b275\nconsistent 2c82beb321de5b47\n"


@pytest.mark.parametrize(
    ("method", "count", "peak", "least"),
    [
        ("maglev", 10, 1.001, 0.999),
        ("maglev", 20, 1.001, 0.999),
        ("consistent", 10, 1.08, 0.93),
        ("consistent", 20, 1.08, 0.9),
    ],
)
def test_slots_are_shared_evenly(method: str, count: int, peak: float, least: float) -> None:
    """Every member owns nearly the same number of slots."""
    owned = Counter(member.name for member in Ring(view([member(n) for n in range(count)], method)).table)
    mean = limits.RING_SLOTS / count
    assert len(owned) == count
    assert max(owned.values()) <= peak * mean
    assert min(owned.values()) >= least * mean


@both
def test_traces_are_shared_evenly(method: str) -> None:
    """Traces fall on members as evenly as chance and the table allow, whatever ids the agents make."""
    ring = Ring(view([member(n) for n in range(5)], method))
    random_ids = Counter(ring.owner(trace_id).name for trace_id in trace_ids(20_000))
    counted_ids = Counter(ring.owner(number.to_bytes(16, "big")).name for number in range(20_000))
    for owned in (random_ids, counted_ids):
        assert all(0.85 * 4000 < count < 1.15 * 4000 for count in owned.values())


@both
def test_weight_is_a_share(method: str) -> None:
    """A member of weight 3 owns three times what a member of weight 1 owns."""
    owned = Counter(m.name for m in Ring(view([member(1), member(2, weight=3), member(3, weight=2)], method)).table)
    share = limits.RING_SLOTS / 6
    for number, weight in ((1, 1), (2, 3), (3, 2)):
        assert abs(owned[member(number).name] / share - weight) < (0.01 if method == "maglev" else 0.2)


@settings(max_examples=10, deadline=None)
@given(members=members_lists, newcomer=st.integers(201, 300))
def test_consistent_moves_only_to_the_newcomer(members: list[Member], newcomer: int) -> None:
    """With `consistent`, a join moves slots only to the newcomer, and its leaving only back from it."""
    before = Ring(view(members, "consistent"))
    after = Ring(view([*members, member(newcomer)], "consistent"))
    assert {to for _, to in moved(before, after)} == {member(newcomer).name}
    assert after.without({member(newcomer).id}).table == before.table


@settings(max_examples=10, deadline=None)
@given(count=st.integers(2, 20), newcomer=st.integers(201, 300))
def test_maglev_moves_hardly_more_than_it_must(count: int, newcomer: int) -> None:
    """With `maglev`, a join moves at most 1 % of the slots between members that were there before."""
    members = [member(n) for n in range(count)]
    changes = moved(Ring(view(members)), Ring(view([*members, member(newcomer)])))
    needless = [change for change in changes if change[1] != member(newcomer).name]
    assert len(needless) <= 0.01 * limits.RING_SLOTS
    assert abs((len(changes) - len(needless)) - limits.RING_SLOTS / (count + 1)) <= 1


@both
def test_restart_in_place_moves_nothing(method: str) -> None:
    """A replica that comes back under its ring name, with a new id, owns what it owned."""
    before = [member(n) for n in range(4)]
    after = [*before[:3], replace(before[3], id="f" * 16, start=9)]
    assert moved(Ring(view(before, method)), Ring(view(after, method))) == []


@both
def test_ring_name_places_not_the_address(method: str) -> None:
    """With a ring name set, a replica may come back at another address and own what it owned."""
    before = [member(1), member(2, ring_name="sampler-1")]
    after = [member(1), member(9, ring_name="sampler-1")]
    assert moved(Ring(view(before, method)), Ring(view(after, method))) == []


def test_later_start_wins_one_ring_name() -> None:
    """Of two replicas with one ring name the later start owns, and the older again once the later is gone."""
    old, new = member(9, ring_name="sampler-0", start=3), member(1, ring_name="sampler-0", start=4)
    ring = Ring(view([old, new, member(5)]))
    assert old not in ring.members
    assert new in ring.members
    assert ring.without({new.id}).members == Ring(view([old, member(5)])).members


@both
def test_only_active_members_own(method: str) -> None:
    """Joining and draining members own nothing."""
    ring = Ring(view([member(1, state=State.JOINING), member(2), member(3, state=State.DRAINING)], method))
    assert set(ring.table) == {member(2)}


@both
def test_without_is_the_next_view(method: str) -> None:
    """Routing around members gives exactly the ring of a view without them."""
    members = [member(n) for n in range(5)]
    ring = Ring(view(members, method))
    around = ring.without({members[1].id}).without([members[3].id])
    assert around.table == Ring(view([members[0], members[2], members[4]], method)).table
    assert ring.without({"nobody"}).table == ring.table
    assert around.without({members[1].id}) is around


def test_empty_ring_can_be_seen_and_not_asked() -> None:
    """A view without active members gives an empty ring; asking it for an owner is a bug."""
    ring = Ring(view([member(1, state=State.DRAINING)]))
    assert ring.empty
    assert Ring(view([member(1)])).without({member(1).id}).empty
    with pytest.raises(AssertionError):
        ring.owner(bytes(16))


@pytest.mark.parametrize(
    ("parameters", "word"),
    [
        (RingParameters("rendezvous"), "rendezvous"),
        (RingParameters("maglev", version=2), "version 2"),
        (RingParameters("maglev", slots=13), "13 slots"),
    ],
)
def test_ring_of_another_release_is_refused(parameters: RingParameters, word: str) -> None:
    """A view whose ring this release cannot build is refused in words instead of guessed."""
    with pytest.raises(UnknownRingError, match=word) as caught:
        Ring(make_view(1, [member(1)], parameters))
    assert isinstance(caught.value, TailgateError)
