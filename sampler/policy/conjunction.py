"""Policy `and`: a trace is kept when every sub policy would keep it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.kernel.names import AND, Node


def conjunction(subs: Sequence[Node]) -> Node:
    """Asked from left to right, and no further than the first that does not say keep: limiters behind it are not charged.

    Without sub policies it keeps everything, as in the Collector.
    """
    return Node(AND, children=tuple(subs))
