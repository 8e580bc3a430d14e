"""Members and views: who is alive, as one numbered value that everybody can compare. Pure.

A lease in Redis makes a replica a member (gateway.net.lease_store); the leases at one epoch make a view; a view makes a ring
(gateway.ring). This module knows nothing of Redis and of time.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import NamedTuple

VIEW_HEADER = "x-tailgate-view"
"""Metadata key under which requests and replies between the tiers carry the sender's ViewStamp."""


class ViewStamp(NamedTuple):
    """Which view a process has: enough to see who is behind."""

    epoch: int
    digest: str

    def __str__(self) -> str:
        return f"{self.epoch}:{self.digest}"

    @classmethod
    def parse(cls, text: str | bytes | None) -> ViewStamp | None:
        """Read the header's value; None if there is none or it is not one of ours."""
        if isinstance(text, bytes):
            text = text.decode("ascii", "replace")
        epoch, colon, digest = (text or "").partition(":")
        if not colon or not epoch.isdecimal() or len(epoch) > 19 or not digest or len(digest) > 64:
            return None
        return cls(int(epoch), digest)


class State(enum.StrEnum):
    """Where a replica is in its life. Only ACTIVE members own traces."""

    JOINING = "joining"
    ACTIVE = "active"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Member:
    """A replica listed in a view. `id` is new at every start and only fences; `ring_name` places it on the ring."""

    id: str
    endpoint: str
    ring_name: str = ""
    state: State = State.ACTIVE
    weight: int = 1

    @property
    def name(self) -> str:
        """The name the ring is built from."""
        return self.ring_name or self.endpoint


@dataclass(frozen=True, slots=True)
class RingParameters:
    """How the ring is built; part of the view, so that all agree by construction."""

    method: str = "maglev"  # or "consistent"
    version: int = 1
    slots: int = 65537


@dataclass(frozen=True, slots=True)
class View:
    """The members at one epoch, sorted by id. `predecessor` are the members of the view before this one."""

    epoch: int
    members: tuple[Member, ...]
    predecessor: tuple[Member, ...] = ()
    ring: RingParameters = RingParameters()
    digest: str = ""

    @property
    def stamp(self) -> ViewStamp:
        """What is carried in metadata."""
        return ViewStamp(self.epoch, self.digest)

    @property
    def active(self) -> tuple[Member, ...]:
        """The members that own traces."""
        return tuple(member for member in self.members if member.state is State.ACTIVE)


def make_view(
    epoch: int,
    members: list[Member] | tuple[Member, ...],
    ring: RingParameters | None = None,
    predecessor: tuple[Member, ...] = (),
) -> View:
    """A view of these members with its digest; the order in which they are given does not matter."""
    ordered = tuple(sorted(members, key=lambda member: member.id))
    ring = ring or RingParameters()
    lines = [f"{ring.method}/{ring.version}/{ring.slots}"]
    lines += [f"{m.id}\t{m.endpoint}\t{m.name}\t{m.state}\t{m.weight}" for m in ordered]
    digest = hashlib.blake2b("\n".join(lines).encode(), digest_size=8).hexdigest()
    return View(epoch, ordered, predecessor, ring, digest)
