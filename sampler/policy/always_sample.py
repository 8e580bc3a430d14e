"""Policy `always_sample`: every trace is kept."""

from __future__ import annotations

from gateway.kernel.names import ALWAYS, Node


def always_sample() -> Node:
    """Keeps everything; takes no parameters."""
    return Node(ALWAYS)
