"""sampler.policy.span_count."""

from __future__ import annotations

import pytest

from gateway.kernel.names import SPANS_WITHIN, Node
from sampler.policy.negation import NEVER
from sampler.policy.span_count import span_count

MOST = 2**63 - 1


@pytest.mark.parametrize(
    ("bounds", "node"),
    [
        ({}, Node(SPANS_WITHIN, 0, MOST)),
        ({"min_spans": 3}, Node(SPANS_WITHIN, 3, MOST)),
        ({"min_spans": 3, "max_spans": 0}, Node(SPANS_WITHIN, 3, MOST)),
        ({"max_spans": 20}, Node(SPANS_WITHIN, 0, 20)),
        ({"min_spans": 3, "max_spans": 20}, Node(SPANS_WITHIN, 3, 20)),
        ({"min_spans": -3, "max_spans": 20}, Node(SPANS_WITHIN, 0, 20)),
        ({"min_spans": -3, "max_spans": -1}, NEVER),
    ],
)
def test_bounds(bounds: dict[str, int], node: Node) -> None:
    """Both bounds are inclusive, an upper one of 0 is none, and there is no trace with fewer than no spans."""
    assert span_count(**bounds) == node
