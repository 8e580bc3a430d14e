"""Members and views: who is alive, as one numbered value that everybody can compare. Pure.

A lease makes a replica a member; the leases at one epoch make a view; a view makes a ring (gateway.ring). How a replica keeps
its lease and its view up to date is gateway.lease; this module knows nothing of the lease store and of time.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from gateway import limits

DIGEST_CHARS = 16
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


NO_VIEW = ViewStamp(0, "")


class State(enum.StrEnum):
    """Where a replica is in its life. Only ACTIVE members own traces."""

    JOINING = "joining"
    ACTIVE = "active"
    DRAINING = "draining"


@dataclass(frozen=True, slots=True)
class Member:
    """A replica listed in a view. `id` is new at every start and only fences; `ring_name` places it on the ring.

    `start` grows from start to start: of two replicas in one place, the greater is the newer. `http` is where it takes
    OTLP/HTTP (host:port), "" if it takes none; `admin` where its admin pages are, "" if nobody else reaches them.
    """

    id: str
    endpoint: str
    ring_name: str = ""
    state: State = State.ACTIVE
    weight: int = 1
    start: int = 0
    http: str = ""
    admin: str = ""

    @property
    def name(self) -> str:
        """The name the ring is built from."""
        return self.ring_name or self.endpoint


@dataclass(frozen=True, slots=True)
class RingParameters:
    """How the ring is built; part of the view, so that all agree by construction."""

    method: str = "maglev"  # or "consistent"
    version: int = 1
    slots: int = limits.RING_SLOTS

    def __str__(self) -> str:
        return f"{self.method}/{self.version}/{self.slots}"

    @classmethod
    def parse(cls, text: str) -> RingParameters:
        """Read what str() wrote. Raises ValueError."""
        method, version, slots = text.split("/")
        return cls(method, int(version), int(slots))


DEFAULT_RING = RingParameters()


@dataclass(frozen=True, slots=True)
class View:
    """The members at one epoch, sorted by id. `predecessor` are the members of the view before this one."""

    epoch: int
    members: tuple[Member, ...]
    predecessor: tuple[Member, ...] = ()
    ring: RingParameters = DEFAULT_RING
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
    """A view of these members with its digest; the order in which they are given does not matter.

    The digest is the one the lease store computes (gateway/net/lease.lua), so a view that came over a wire can be checked.
    """
    ordered = tuple(sorted(members, key=lambda member: member.id))
    ring = ring or DEFAULT_RING
    lines = [str(ring), *(f"{member.id}\t{entry(member)}" for member in ordered)]
    digest = hashlib.sha1("\n".join(lines).encode(), usedforsecurity=False).hexdigest()[:DIGEST_CHARS]
    return View(epoch, ordered, predecessor, ring, digest)


def entry(member: Member) -> str:
    """What the lease store keeps of a member, and what the digest covers."""
    admin = (
        f"\t{member.admin}" if member.admin else ""
    )  # without these an entry is what earlier releases write and read
    http = f"\t{member.http}" if member.http or admin else ""
    return f"{member.endpoint}\t{member.name}\t{member.state}\t{member.weight}\t{member.start}{http}{admin}"


def parse_member(id: str, text: str) -> Member:
    """The member of an entry. Raises ValueError if it is not one of ours."""
    endpoint, name, state, weight, start, *addresses = text.split("\t")
    if len(addresses) > 2:
        raise ValueError(f"a member of more fields than are known: {text!r}")
    return Member(id, endpoint, "" if name == endpoint else name, State(state), int(weight), int(start), *addresses)
