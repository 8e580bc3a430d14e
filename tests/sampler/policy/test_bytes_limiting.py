"""sampler.policy.bytes_limiting."""

from __future__ import annotations

from gateway.kernel.names import BYTE_TOKENS, Node
from sampler.policy.bytes_limiting import bytes_limiting


def test_a_burst_is_twice_the_rate_unless_given() -> None:
    """The bucket is that of rate_limiting, in bytes."""
    assert bytes_limiting(1000) == Node(BYTE_TOKENS, 1000, 2000)
    assert bytes_limiting(1000, 1) == Node(BYTE_TOKENS, 1000, 1)
