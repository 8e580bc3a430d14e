"""sampler.policy.rate_limiting."""

from __future__ import annotations

import pytest

from gateway.kernel.names import SPAN_TOKENS, Node
from sampler.policy.rate_limiting import bucket, rate_limiting


@pytest.mark.parametrize(
    ("rate", "burst", "expected"),
    [
        (3, 3, (3, 3)),
        (2, 0, (2, 4)),
        (2, -1, (2, 4)),
        (0, 7, (0, 7)),
        (0, 0, (0, 0)),
        (-5, 0, (0, 0)),
        (-5, 7, (0, 7)),
        (2**63 - 1, 0, (2**63 - 1, 2**63 - 1)),
    ],
)
def test_a_burst_is_twice_the_rate_unless_given(rate: int, burst: int, expected: tuple[int, int]) -> None:
    """A burst of 0 or less is none given; a rate of 0 or less fills nothing, so that what a bucket holds is kept once."""
    assert bucket(rate, burst) == expected
    assert rate_limiting(rate, burst) == Node(SPAN_TOKENS, *expected)


def test_without_a_rate_nothing_passes() -> None:
    """A rate that is not given is 0."""
    assert rate_limiting() == Node(SPAN_TOKENS, 0, 0)
