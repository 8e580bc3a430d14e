"""sampler.policy: what a built configuration is."""

from __future__ import annotations

from gateway.kernel.names import ALWAYS, Node, Plan, Rules
from sampler.policy import BadPolicyError, Built, Policy


def test_what_is_built_is_plain_values() -> None:
    """Policies that mean the same are equal, whoever built them."""
    made = [Built((Policy("all", Node(ALWAYS)),), Plan(), Rules()) for _ in range(2)]
    assert made[0] == made[1] and made[0].policies[0].children == ()


def test_a_bad_policy_is_placed() -> None:
    """A policy that makes no sense says where, from its own block on; its index is known once it is."""
    error = BadPolicyError("no", ("latency", "threshold_ms"), 2, 3)
    assert (str(error), error.path, error.line, error.column, error.policy) == (
        *("no", ("latency", "threshold_ms"), 2, 3),
        None,
    )
