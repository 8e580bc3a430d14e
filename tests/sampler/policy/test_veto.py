"""sampler.policy.veto: the policy `drop`."""

from __future__ import annotations

from gateway.kernel.names import ALWAYS, STATUS_IN, VETO, Node
from sampler.policy.veto import veto


def test_sub_policies_keep_their_order() -> None:
    """They are asked as they stand in the configuration."""
    subs = [Node(STATUS_IN, 4), Node(ALWAYS)]
    assert veto(subs) == Node(VETO, children=tuple(subs))


def test_none_is_no_mistake() -> None:
    """An empty `drop` is a policy: it drops everything, as the Collector's does."""
    assert veto([]) == Node(VETO)
