"""Who owns a trace: trace id → slot → member, from an immutable table. Pure: a function of the view alone.

Every process that holds the same view builds the same table: the method, its version and the number of slots come with the
view, members are taken in the order of their ring names, and all hashes are xxh3 with fixed seeds. Weights, states and names
come from the view; leases, liveness and routing around a silent member are not known here.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Collection

from uhashring import HashRing
from xxhash import xxh3_64_intdigest

from gateway import limits
from gateway.errors import TailgateError
from gateway.membership import Member, RingParameters, View

METHODS = ("maglev", "consistent")
VERSION = 1
"""The version of both methods that this code builds. A change of any table is a new version."""

HASH_BITS = 64
OFFSET_SEED, SKIP_SEED = 1, 2  # two independent hashes of a name; 0 is the trace ids'


class UnknownRingError(TailgateError):
    """The view asks for a ring that this release cannot build; guessing would split traces."""


class Ring:
    """The owner of every trace in one view. Only active members own; of two with one ring name, the later start.

    `slots` is the table: for each slot its owner's place in `members`, as gateway.kernel takes it; it never changes.
    `owner(trace_id: bytes) -> Member` looks up one. Raises UnknownRingError when built from parameters of another release. An
    empty ring (no active member) may be built and asked for `empty`, never for an owner.
    """

    __slots__ = ("_excluded", "members", "owner", "slots", "view")

    owner: Callable[[bytes], Member]

    def __init__(self, view: View, excluded: Collection[str] = ()) -> None:
        check(view.ring)
        self.view = view
        self._excluded = frozenset(excluded)
        self.members = _owners([member for member in view.active if member.id not in self._excluded])
        build = _maglev if view.ring.method == "maglev" else _consistent
        self.slots = array("i", build(self.members, view.ring.slots) if self.members else ())
        self.owner = _lookup(self.members, self.slots)

    @property
    def table(self) -> tuple[Member, ...]:
        """The owner of each slot."""
        return tuple([self.members[index] for index in self.slots])

    @property
    def empty(self) -> bool:
        """True when nobody owns anything."""
        return not self.members

    def without(self, ids: Collection[str]) -> Ring:
        """The ring the next view would say if exactly these ids were gone from this one's."""
        excluded = self._excluded.union(ids)
        return Ring(self.view, excluded) if excluded != self._excluded else self


def check(parameters: RingParameters) -> None:
    """Raise UnknownRingError, in words, unless this release can build a ring of these parameters."""
    if parameters.method not in METHODS:
        raise UnknownRingError(f"unknown ring method {parameters.method!r}: this release knows {' and '.join(METHODS)}")
    if parameters.version != VERSION:
        raise UnknownRingError(
            f"ring {parameters.method!r} has version {parameters.version}: this release builds version {VERSION}"
        )
    if parameters.slots != limits.RING_SLOTS:
        raise UnknownRingError(f"ring has {parameters.slots} slots: this release builds {limits.RING_SLOTS}")


def _owners(members: list[Member]) -> tuple[Member, ...]:
    """One member a ring name, the one that started last, in the order of the names."""
    newest = {member.name: member for member in sorted(members, key=lambda member: (member.start, member.id))}
    return tuple(newest[name] for name in sorted(newest))


def _lookup(members: tuple[Member, ...], slots: array[int]) -> Callable[[bytes], Member]:
    """The look-up as a closure. The remainder is as even as the top bits and spares a 128-bit product."""
    count, digest = len(slots), xxh3_64_intdigest

    def owner(trace_id: bytes) -> Member:
        return members[slots[digest(trace_id) % count]]

    def nobody(trace_id: bytes) -> Member:
        raise AssertionError("an empty ring has no owners: ask `empty` first")

    return owner if slots else nobody


def _maglev(members: tuple[Member, ...], slots: int) -> list[int]:
    """Maglev's table (Eisenbud et al., NSDI 2016, 3.4): in turns, each member takes its next preferred slot that is free.

    `slots` is prime, so a member's preferences (offset, offset + skip, …) visit every slot. In round r a member of weight w
    has a turn when floor(r * w / heaviest) has grown, so turns are spread evenly in proportion to the weights.
    """
    heaviest = max(member.weight for member in members)
    table = [-1] * slots
    at = [xxh3_64_intdigest(member.name.encode(), OFFSET_SEED) % slots for member in members]
    skips = [xxh3_64_intdigest(member.name.encode(), SKIP_SEED) % (slots - 1) + 1 for member in members]
    turns = [(index, member.weight, skips[index]) for index, member in enumerate(members)]
    free, round_number = slots, 0
    while free:
        round_number += 1
        for index, weight, skip in turns:
            if weight != heaviest and round_number * weight % heaviest >= weight:
                continue
            slot = at[index]
            while table[slot] >= 0:
                slot += skip
                if slot >= slots:
                    slot -= slots
            table[slot], at[index] = index, slot
            free -= 1
            if not free:
                break
    return table


def _position(name: str) -> int:
    return xxh3_64_intdigest(name.encode())


def _consistent(members: tuple[Member, ...], slots: int) -> list[int]:
    """uhashring's circle compiled to slots: a slot belongs to the first point after the slot's beginning.

    A point belongs to one name, so when a member comes or goes, slots move only to it or from it.
    """
    places = {member.name: index for index, member in enumerate(members)}
    weights = {member.name: member.weight for member in members}
    circle = HashRing(weights, vnodes=limits.CONSISTENT_POINTS, hash_fn=_position)
    table: list[int] = []
    points: list[tuple[int, str]] = circle.get_points()
    for point, name in points:
        table += [places[name]] * ((point * slots >> HASH_BITS) + 1 - len(table))
    return table + [places[points[0][1]]] * (slots - len(table))
