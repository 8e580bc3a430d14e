"""The lease store without Redis: the same judgement as gateway/net/lease.lua, in plain Python, under a clock that is told.

The same test class runs over this and over a real Redis (tests/gateway/net/test_lease_store.py). `copy` and `restore` make a
fail-over to a replica that lags; a new object is a store that came back empty.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field, replace

from gateway import limits
from gateway.lease import Answer, Call, Claim, Standing
from gateway.membership import Member, RingParameters, State, ViewStamp, make_view

RANK = {State.JOINING: 1, State.ACTIVE: 2, State.DRAINING: 3}


@dataclass
class _Kept:
    """All that the store keeps, as Redis would hold it."""

    members: dict[str, Member] = field(default_factory=dict)
    lapses_at: dict[str, float] = field(default_factory=dict)
    predecessor: tuple[Member, ...] = ()
    born: bool = False
    epoch: int = 0
    digest: str = ""
    ring: RingParameters | None = None
    lease: float = 0.0
    last_start: int = 0
    left: tuple[str, ...] = ()
    called_at: float = 0.0
    born_at: float = 0.0
    recovering_until: float = 0.0


class SimulatedLeases:
    """One cluster's leases. `now` is the store's own clock in seconds, which tests may set to anything, also back."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now
        self._kept = _Kept()
        self.published: list[int] = []

    def copy(self) -> _Kept:
        return copy.deepcopy(self._kept)

    def restore(self, kept: _Kept) -> None:
        self._kept = copy.deepcopy(kept)

    def forget(self) -> None:
        """Come back empty."""
        self._kept = _Kept()

    def call(self, call: Call) -> Answer:
        """What the script does, in its order."""
        kept = self._kept
        missing, before = not kept.born, dict(kept.members)
        if missing:
            kept.born, kept.born_at, kept.called_at, kept.lease = True, self.now, self.now, call.lease
        self._forgive_gap()
        start, standing = call.start, Standing.HELD
        if call.claim and call.leaving:
            self._leave(call.claim.id)
        elif call.claim:
            start, standing = self._hold(call.claim, call.state, call.start, call.lease)
        self._sweep()
        self._number(call, before, missing)
        kept.called_at = self.now
        return self._answer(call, start, standing)

    def _forgive_gap(self) -> None:
        kept = self._kept
        gap = self.now - kept.called_at
        if gap < 0 or gap * 3 > kept.lease:
            kept.lapses_at = {id: at + gap for id, at in kept.lapses_at.items()}
            kept.recovering_until += gap
            kept.born_at += gap

    def _remove(self, id: str) -> None:
        self._kept.members.pop(id, None)
        self._kept.lapses_at.pop(id, None)

    def _leave(self, id: str) -> None:
        self._remove(id)
        others = tuple(other for other in self._kept.left if other != id)
        self._kept.left = (id, *others)[: limits.MEMBERS_MAX]

    def _hold(self, claim: Claim, state: State, start: int, lease: float) -> tuple[int, Standing]:
        kept = self._kept
        listed = kept.members.get(claim.id)
        rivals = [m for m in kept.members.values() if m.endpoint == claim.endpoint and m.id != claim.id]
        if listed:
            state, start = max(state, listed.state, key=RANK.__getitem__), listed.start
        else:
            if claim.id in kept.left:
                return start, Standing.LEFT
            if kept.members and kept.ring not in (None, claim.ring):
                return start, Standing.REFUSED
            if len(kept.members) >= limits.MEMBERS_MAX:
                return start, Standing.FULL
            if start and any(m.start > start and m.state is not State.JOINING for m in rivals):
                return start, Standing.SUPERSEDED
            if not kept.members:
                kept.ring = claim.ring
        start = start or max(kept.last_start + 1, int(self.now * 1000))
        kept.last_start = max(kept.last_start, start)
        kept.lease, kept.ring = lease, kept.ring or claim.ring
        kept.lapses_at[claim.id] = self.now + lease
        ring_name = claim.ring_name if claim.ring_name != claim.endpoint else ""
        places = claim.http, claim.admin
        kept.members[claim.id] = Member(claim.id, claim.endpoint, ring_name, state, claim.weight, start, *places)
        if kept.members[claim.id] != listed and state is not State.JOINING:
            for older in rivals:
                if older.start < start:
                    self._remove(older.id)
        return start, Standing.HELD

    def _sweep(self) -> None:
        kept = self._kept
        late = [id for id, at in kept.lapses_at.items() if at <= self.now + kept.lease / 3]
        limit = self.now - kept.lease if len(late) * 2 >= len(kept.members) else self.now
        for id in late:
            if kept.lapses_at[id] <= limit:
                self._remove(id)

    def _number(self, call: Call, before: dict[str, Member], missing: bool) -> None:
        kept, raised = self._kept, False
        if kept.members != before:
            digest = make_view(0, tuple(kept.members.values()), kept.ring).digest
            raised, kept.digest = True, digest
            kept.predecessor = tuple(before[id] for id in sorted(before))
        if call.seen > kept.epoch:
            if missing or self.now < kept.born_at + kept.lease:
                kept.recovering_until = max(kept.recovering_until, self.now + kept.lease)
            kept.epoch, raised = call.seen, True
        elif call.held.epoch == kept.epoch and call.held.digest != kept.digest:
            raised = True
        if raised:
            kept.epoch += 1
            self.published.append(kept.epoch)

    def _answer(self, call: Call, start: int, standing: Standing) -> Answer:
        kept = self._kept
        stamp, recovering = ViewStamp(kept.epoch, kept.digest), self.now < kept.recovering_until
        answer = Answer(stamp, kept.lease, standing, start, recovering, kept.ring)
        if call.leaving or not kept.digest or call.held == stamp or (recovering and call.held.epoch > 0):
            return answer
        return replace(answer, view=make_view(kept.epoch, tuple(kept.members.values()), kept.ring, kept.predecessor))
