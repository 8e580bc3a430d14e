"""sampler.drain: when the door closes, and when what is left is given up."""

from __future__ import annotations

import pytest

from gateway import limits
from gateway.membership import ViewStamp
from sampler.drain import Drain


def test_without_a_newer_view_the_door_closes_after_the_longest_time() -> None:
    """As long as it is not known that balancers can know, stragglers are accepted, but no longer than DRAIN_ACCEPT."""
    drain = Drain(100.0, 125.0, alone=False)
    drain.forwarded(None, 101.0)
    assert drain.close_at == 100.0 + limits.DRAIN_ACCEPT
    assert drain.give_up_at == 125.0 - limits.DRAIN_RESERVE


def test_the_door_closes_when_balancers_have_caught_up() -> None:
    """A quiet second after the draining view closes the door; a request from somebody behind it starts another second."""
    drain = Drain(100.0, 125.0, alone=False)
    drain.view_changed(7, 100.5)
    assert drain.close_at == 101.5
    drain.forwarded(ViewStamp(7, "x"), 101.0)
    assert drain.close_at == 101.5
    drain.forwarded(ViewStamp(6, "x"), 101.0)
    assert drain.close_at == 102.0
    drain.forwarded(None, 101.5)
    assert drain.close_at == 102.5


def test_alone_the_door_closes_at_once() -> None:
    """With nobody to wait for the door closes at once."""
    assert Drain(100.0, 125.0, alone=True).close_at == 100.0


@pytest.mark.parametrize("grace", [0.0, 1.0, 2.0, 4.0])
def test_a_short_grace_leaves_time_to_export(grace: float) -> None:
    """However short the grace, no more than half of it is spent on accepting, and nothing is due in the past."""
    drain = Drain(100.0, 100.0 + grace, alone=False)
    assert 100.0 <= drain.close_at <= 100.0 + max(0.0, grace - limits.DRAIN_RESERVE) / 2
    assert drain.close_at <= drain.give_up_at
