"""Policy `drop`: a trace is dropped, whatever other policies say, when every sub policy would keep it."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.kernel.names import VETO, Node


def veto(subs: Sequence[Node]) -> Node:
    """Asked as those of `and`; an error among them drops nothing. Without any it drops everything, as in the Collector."""
    return Node(VETO, children=tuple(subs))
