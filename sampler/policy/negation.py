"""Policy `not`: its sub policy, the other way round."""

from __future__ import annotations

from gateway.kernel.names import ALWAYS, NOT, Node


def negation(sub: Node) -> Node:
    """Keep where `sub` says no, and no where it says keep. An error stays one."""
    return Node(NOT, children=(sub,))


NEVER = negation(Node(ALWAYS))
"""What a policy means that no trace can meet."""
