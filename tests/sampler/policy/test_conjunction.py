"""sampler.policy.conjunction: the policy `and`."""

from __future__ import annotations

from gateway.kernel.names import ALWAYS, AND, STATUS_IN, Node
from sampler.policy.conjunction import conjunction


def test_sub_policies_keep_their_order() -> None:
    """Which limiter is charged depends on the order, so it is kept."""
    subs = [Node(STATUS_IN, 4), Node(ALWAYS)]
    assert conjunction(subs) == Node(AND, children=tuple(subs))


def test_none_is_no_mistake() -> None:
    """An empty `and` is a policy: it keeps everything, as the Collector's does."""
    assert conjunction([]) == Node(AND)
