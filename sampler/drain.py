"""The end of a sampler's life: how long it goes on accepting, and when what is left is given up. Pure; a clock's arithmetic.

A sampler that leaves the ring still gets spans from balancers that have not read the view without it. It takes them until
they have all caught up, so that nobody is turned away for being a moment behind.
"""

from __future__ import annotations

from gateway import limits
from gateway.membership import ViewStamp


class Drain:
    """The drain of one sampler, from the request to end until `give_up_at`.

    `alone`: nobody forwards to it by a view, so there are no stragglers to wait for.
    """

    def __init__(self, now: float, finish_at: float, *, alone: bool) -> None:
        self.give_up_at = max(now, finish_at - limits.DRAIN_RESERVE)
        # At most half of the time is spent on accepting: what was accepted has to leave, too.
        self._accept_until = now if alone else min(now + limits.DRAIN_ACCEPT, (now + self.give_up_at) / 2)
        self._epoch: int | None = None
        self._quiet_at = self._accept_until

    @property
    def close_at(self) -> float:
        """When the door closes, unless a straggler comes before."""
        return min(self._quiet_at, self._accept_until)

    def view_changed(self, epoch: int, now: float) -> None:
        """The newest view; the first one after the drain has begun shows this sampler draining."""
        self._epoch = epoch
        self._quiet_at = now + limits.DRAIN_QUIET

    def forwarded(self, stamp: ViewStamp | None, now: float) -> None:
        """A request came with this view on it; None: the sender has none, as agents and Collectors have."""
        if self._epoch is not None and (stamp is None or stamp.epoch < self._epoch):
            self._quiet_at = now + limits.DRAIN_QUIET
