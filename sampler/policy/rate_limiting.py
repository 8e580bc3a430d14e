"""Policy `rate_limiting`: traces are kept up to so many spans a second."""

from __future__ import annotations

from gateway.kernel.names import SPAN_TOKENS, Node

_TOKENS_MAX = 2**63 - 1
_BURST_SECONDS = 2  # what a burst is where none is given


def rate_limiting(spans_per_second: int = 0, burst_capacity: int = 0) -> Node:
    """A token bucket of `burst_capacity` spans, full at first and filled at `spans_per_second`.

    A burst of 0 or less means twice the rate. A trace of more spans than the burst never passes.
    """
    return Node(SPAN_TOKENS, *bucket(spans_per_second, burst_capacity))


def bucket(rate: int, burst: int) -> tuple[int, int]:
    """Rate and size of a limiter's bucket, in tokens (a second). A rate below 0 fills nothing, as one of 0."""
    rate = max(rate, 0)
    return rate, min(burst if burst > 0 else _BURST_SECONDS * rate, _TOKENS_MAX)
