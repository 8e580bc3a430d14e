"""sampler.policy.errors: what is wrong with a policy, and where."""

from __future__ import annotations

from gateway.errors import TailgateError
from sampler.policy.errors import BadPolicyError


def test_a_mistake_is_placed_at_its_beginning() -> None:
    """Without a path the mistake is in the policy itself; lines and columns count from 1."""
    error = BadPolicyError("no")
    assert isinstance(error, TailgateError)
    assert (error.path, error.line, error.column, error.policy) == ((), 1, 1, None)
