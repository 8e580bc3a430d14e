"""sampler.policy.status_code."""

from __future__ import annotations

import pytest

from gateway.kernel.names import STATUS_IN, Node
from sampler.policy import BadPolicyError
from sampler.policy.status_code import status_code


@pytest.mark.parametrize(
    ("codes", "mask"),
    [(("ERROR",), 0b100), (("OK", "UNSET"), 0b011), (("UNSET",), 0b001), (("OK", "OK"), 0b010)],
)
def test_listed_codes_make_a_mask(codes: tuple[str, ...], mask: int) -> None:
    """One span with any of the listed codes is enough."""
    assert status_code(codes) == Node(STATUS_IN, mask)


@pytest.mark.parametrize(
    ("codes", "path"),
    [((), ("status_codes",)), (("OK", "ERR"), ("status_codes", 1)), (("error",), ("status_codes", 0))],
)
def test_no_code_or_an_unknown_one_is_refused(codes: tuple[str, ...], path: tuple[str | int, ...]) -> None:
    """A list that is empty or names a code that OTLP does not have cannot be a policy; the first such place is named."""
    with pytest.raises(BadPolicyError) as caught:
        status_code(codes)
    assert caught.value.path == path
