"""sampler.policy.always_sample."""

from __future__ import annotations

from gateway.kernel.names import ALWAYS, Node
from sampler.policy.always_sample import always_sample


def test_it_keeps_everything() -> None:
    """Nothing is asked of a trace."""
    assert always_sample() == Node(ALWAYS)
