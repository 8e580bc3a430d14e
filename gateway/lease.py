"""How a replica keeps its lease and its view up to date: when to call the lease store, with what, and what an answer means. Pure.

Owns the values that go to and come from the store and the Keeper. Whether a lease has lapsed is never judged here but in the
store's one script (gateway/net/lease.lua); how the store is reached is gateway.net.lease_store's business.
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import dataclass

from gateway import limits
from gateway.errors import TailgateError
from gateway.membership import DEFAULT_RING, NO_VIEW, RingParameters, State, View, ViewStamp


@dataclass(frozen=True, slots=True)
class Claim:
    """What a replica asks the lease store for. `id` is lower-case hex, new at every start; `lease` is in seconds.

    `http` is where it takes OTLP/HTTP, "" if it takes none; `admin` where its admin pages are, "" if nobody reaches them.
    """

    id: str
    endpoint: str
    ring_name: str = ""
    weight: int = 1
    lease: float = limits.LEASE
    ring: RingParameters = DEFAULT_RING
    http: str = ""
    admin: str = ""

    def __post_init__(self) -> None:
        assert self.id and not set(self.id) - set("0123456789abcdef"), "the store sorts ids; hex sorts alike everywhere"
        for text in (self.endpoint, self.ring_name, self.http, self.admin):
            if not text.isprintable():
                raise TailgateError(f"endpoint, ring_name, http and admin must be printable text, not {text!r}")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the lease store. `held` is the view the caller goes by, `seen` the highest epoch it has ever been told.

    With a claim the lease is renewed in `state`, or given up if `leaving`; without one the views are only read.
    """

    held: ViewStamp
    seen: int
    lease: float
    claim: Claim | None = None
    state: State = State.JOINING
    start: int = 0
    leaving: bool = False


class Standing(enum.StrEnum):
    """What the lease store says to a claim."""

    HELD = "held"
    SUPERSEDED = "superseded"  # a newer replica serves this endpoint
    REFUSED = "refused"  # the cluster goes by another ring
    FULL = "full"
    LEFT = "left"  # this replica has left; the call was carried out late


@dataclass(frozen=True, slots=True)
class Answer:
    """The lease store's answer: its stamp, and the view if it differs from the one held and is fit to be gone by.

    `lease` is the one in force in seconds, `start` the caller's own, `ring` the parameters in force (None: nobody has joined).
    """

    stamp: ViewStamp
    lease: float
    standing: Standing = Standing.HELD
    start: int = 0
    recovering: bool = False
    ring: RingParameters | None = None
    view: View | None = None


# ---------------------------------------------------------------- what the keeper reports


@dataclass(frozen=True, slots=True)
class ViewTaken:
    """This view is in force from now on."""

    view: View


@dataclass(frozen=True, slots=True)
class SteppedDown:
    """The replica may not go on as a member; it makes no further calls. `reason` is for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class StoreSilent:
    """The lease store has begun to fail; the last view stays in force."""

    reason: str


@dataclass(frozen=True, slots=True)
class StoreBack:
    """The lease store answers again, after so many seconds."""

    silent_for: float


Change = ViewTaken | SteppedDown | StoreSilent | StoreBack


class Keeper:
    """Keeps one replica's lease, or only watches the views (no claim): when to call, with what, and what an answer means.

    One call at a time: `call`, then `answered` or `failed`. `id` only spreads the calls of many replicas over time.
    """

    def __init__(self, id: str, poll: float, claim: Claim | None = None) -> None:
        self.view: View | None = None
        self.state = State.JOINING
        self.start = 0
        self.seen = 0
        self._claim = claim
        self._poll = poll
        self._lease = claim.lease if claim else limits.LEASE
        self._spread = 0.75 + 0.2 * int(hashlib.sha1(id.encode(), usedforsecurity=False).hexdigest()[:8], 16) / 2**32
        self._calling: Call | None = None
        self._called_at = 0.0
        self._due_at: float | None = 0.0
        self._hurry_at: float | None = None  # asked for while a call was out
        self._settled = False
        self._read: ViewStamp | None = None
        self._answered_at: float | None = None
        self._silent_since: float | None = None

    # ---- what can be asked

    @property
    def converged(self) -> bool:
        """Whether to be ready: a claimant is listed as active; a watcher has read one view with an active member twice."""
        if self._claim:
            return self._own_state is State.ACTIVE
        return self._settled and self.view is not None and bool(self.view.active)

    @property
    def silent(self) -> bool:
        """Whether the last call failed."""
        return self._silent_since is not None

    @property
    def ended(self) -> bool:
        """Whether the replica has left or stepped down: there is nothing more to call for."""
        return self._due_at is None

    @property
    def timeout(self) -> float:
        """How long to wait for one answer: short, so that a beat that fails leaves time for the next."""
        return min(limits.STORE_TIMEOUT, self._lease / 6)

    def age(self, now: float) -> float | None:
        """Seconds since the store last answered; None if it never has."""
        return None if self._answered_at is None else now - self._answered_at

    def next_deadline(self) -> float | None:
        """When to make the next call; None while one is out, and when there will be none."""
        return None if self._calling else self._due_at

    # ---- what happens

    def want(self, state: State, now: float) -> None:
        """Go on to this state. ACTIVE takes effect once a view lists this replica."""
        self.state = state
        self._ask(now)

    def heard(self, epoch: int, now: float) -> None:
        """Somebody knows of this epoch: read soon if it is news. Redis decides what it is worth."""
        if epoch > self.seen:
            self.hasten(now)

    def hasten(self, now: float) -> None:
        """Read soon instead of at the next poll."""
        self._ask(max(now, self._called_at + limits.HINT_SPACING))

    def call(self, now: float, *, leaving: bool = False) -> Call:
        """Begin a call; whatever was asked for until now is in it."""
        assert self._calling is None, "one call at a time"
        held = self.view.stamp if self.view and self._settled else NO_VIEW
        self._called_at, self._hurry_at = now, None
        self._calling = Call(held, self.seen, self._lease, self._claim, self._effective_state(), self.start, leaving)
        return self._calling

    def failed(self, reason: str, now: float) -> list[Change]:
        """No answer, or none that makes sense. Everything stays as it is."""
        self._finish(now)
        if self._silent_since is not None:
            return []
        self._silent_since = now
        return [StoreSilent(reason)]

    def answered(self, answer: Answer, now: float) -> list[Change]:
        """The store has answered."""
        call = self._finish(now)
        changes: list[Change] = []
        if self._silent_since is not None:
            changes.append(StoreBack(now - self._silent_since))
        self._silent_since, self._answered_at = None, now
        self.seen, self.start, self._lease = max(self.seen, answer.stamp.epoch), answer.start, answer.lease
        if call.leaving:
            self._due_at = None
            return changes
        if answer.standing is not Standing.HELD:
            self._due_at = None
            return [*changes, SteppedDown(self._refusal(answer))]
        if answer.view is not None and self._is_news(answer.view):
            self.view = answer.view
            changes.append(ViewTaken(answer.view))
        self._settle(answer)
        self._due_at = now + self._interval() if self._effective_state() is call.state else now
        self._ask(self._hurry_at)
        return changes

    # ---- within

    @property
    def _own_state(self) -> State | None:
        claim = self._claim
        if claim is None or self.view is None:
            return None
        return next((member.state for member in self.view.members if member.id == claim.id), None)

    def _effective_state(self) -> State:
        unlisted = self.state is State.ACTIVE and not self._settled and self._own_state is None
        return State.JOINING if unlisted else self.state

    def _ask(self, at: float | None) -> None:
        if at is None or self._due_at is None:
            return
        if self._calling:
            self._hurry_at = at if self._hurry_at is None else min(self._hurry_at, at)
        else:
            self._due_at = min(self._due_at, at)

    def _finish(self, now: float) -> Call:
        call, self._calling = self._calling, None
        assert call is not None, "an answer without a call"
        if self._due_at is not None:
            self._due_at = now + self._interval()
        return call

    def _interval(self) -> float:
        """A poll, and at most a third of a lease: the store takes longer pauses of everybody for an outage."""
        poll = self._poll if self._settled else min(self._poll, limits.STORE_POLL_STARTING)
        return min(poll, self._lease / 3) * self._spread

    def _is_news(self, view: View) -> bool:
        """Epochs only grow. The same epoch with another digest is news: the store wins."""
        return (
            self.view is None
            or view.epoch > self.view.epoch
            or (view.epoch == self.view.epoch and view.digest != self.view.digest)
        )

    def _settle(self, answer: Answer) -> None:
        """From the first time it is converged, a replica keeps its view through a recovery of the store."""
        if self._claim:
            self._settled = self._settled or self._own_state is State.ACTIVE
        elif self.view is not None and not answer.recovering and answer.stamp == self.view.stamp:
            self._settled = self._settled or (self._read == answer.stamp and bool(self.view.active))
        self._read = None if answer.recovering else answer.stamp

    def _refusal(self, answer: Answer) -> str:
        claim = self._claim
        assert claim is not None, "only a claim can be refused"
        match answer.standing:
            case Standing.SUPERSEDED:
                return f"a newer replica serves {claim.endpoint}: this one steps down"
            case Standing.FULL:
                return f"the cluster has its {limits.MEMBERS_MAX} members: no more are taken"
            case Standing.LEFT:
                return f"this replica of {claim.endpoint} has left the cluster"
            case _:
                return (
                    f"the cluster goes by ring {answer.ring}, this sampler is configured for {claim.ring}: "
                    "all samplers of a cluster need the same `ring`; to change it, stop them all first"
                )
