"""sampler.policy.negation: the policy `not`."""

from __future__ import annotations

from gateway.kernel.names import ALWAYS, NOT, Node
from sampler.policy.negation import NEVER, negation


def test_it_holds_its_sub_policy() -> None:
    """What the sub policy says is turned round."""
    assert negation(Node(ALWAYS, 1)) == Node(NOT, children=(Node(ALWAYS, 1),))


def test_never_is_not_always() -> None:
    """A policy that no trace can meet is the negation of one that every trace meets."""
    assert negation(Node(ALWAYS)) == NEVER
