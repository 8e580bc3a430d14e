"""sampler.policy.always_sample."""

from __future__ import annotations

from gateway.kernel.names import ALWAYS
from gateway.otlp.facts import Facts
from sampler.policy import Verdict
from sampler.policy.always_sample import AlwaysSample


def test_everything_is_kept() -> None:
    """always_sample keeps a trace whatever its facts are, and asks for none."""
    policy = AlwaysSample("all")
    assert policy.vote(Facts(), bytes(16)) is Verdict.KEEP
    assert policy.intervals == () and policy.test(()) == (ALWAYS, 0, 0)
