"""Policy `span_count`: a trace is kept when the number of its spans lies within bounds."""

from __future__ import annotations

from gateway.kernel.names import SPANS_WITHIN, Node
from sampler.policy.negation import NEVER

_NO_BOUND = 2**63 - 1


def span_count(min_spans: int = 0, max_spans: int = 0) -> Node:
    """Bounds are inclusive; a `max_spans` of 0 means none, and with one below 0 there is no such trace."""
    if max_spans < 0:
        return NEVER
    return Node(SPANS_WITHIN, max(min_spans, 0), max_spans or _NO_BOUND)
