"""Policy `bytes_limiting`: traces are kept up to so many bytes a second."""

from __future__ import annotations

from gateway.kernel.names import BYTE_TOKENS, Node
from sampler.policy.rate_limiting import bucket


def bytes_limiting(bytes_per_second: int = 0, burst_capacity: int = 0) -> Node:
    """As rate_limiting, a trace costing its size as protobuf."""
    return Node(BYTE_TOKENS, *bucket(bytes_per_second, burst_capacity))
