"""sampler.policy.status_code."""

from __future__ import annotations

import pytest

from gateway.kernel.names import STATUS_IN
from gateway.otlp.facts import Facts
from sampler.policy import BadPolicyError, Verdict
from sampler.policy.status_code import StatusCode, mask_of


def facts(*codes: int) -> Facts:
    return Facts(statuses=sum(1 << code for code in codes))


@pytest.mark.parametrize(
    ("codes", "seen", "expected"),
    [
        (("ERROR",), (0, 2), Verdict.KEEP),
        (("ERROR",), (0, 1), Verdict.NO),
        (("OK", "UNSET"), (2,), Verdict.NO),
        (("OK", "UNSET"), (2, 1), Verdict.KEEP),
        (("UNSET",), (0,), Verdict.KEEP),
    ],
)
def test_any_span_with_a_listed_code_keeps_the_trace(
    codes: tuple[str, ...], seen: tuple[int, ...], expected: Verdict
) -> None:
    """One span with a listed code is enough."""
    assert StatusCode("s", mask_of(codes)).vote(facts(*seen), bytes(16)) is expected


@pytest.mark.parametrize("codes", [(), ("OK", "ERR"), ("error",)])
def test_no_code_or_an_unknown_one_is_refused(codes: tuple[str, ...]) -> None:
    """A list that is empty or names a code OTLP does not have cannot be a policy."""
    with pytest.raises(BadPolicyError):
        mask_of(codes)


def test_the_kernel_is_given_the_mask() -> None:
    """What the kernel looks for is any status code of the mask."""
    policy = StatusCode("s", mask_of(("ERROR", "UNSET")))
    assert policy.test(()) == (STATUS_IN, 0b101, 0)
    assert policy.intervals == ()
