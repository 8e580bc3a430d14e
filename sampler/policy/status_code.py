"""Policy `status_code`: a trace is kept when any of its spans has one of the listed codes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.kernel.names import STATUS_IN
from gateway.otlp.facts import Facts, Interval
from sampler.policy import BadPolicyError, Test, Verdict

CODES = {"UNSET": 0, "OK": 1, "ERROR": 2}


@dataclass(frozen=True, slots=True)
class StatusCode:
    """`mask` has bit N set for status code N, as Facts.statuses has."""

    name: str
    mask: int

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """None."""
        return ()

    def vote(self, facts: Facts, trace_id: bytes) -> Verdict:
        """Keep when a span's code is listed."""
        return Verdict.KEEP if facts.statuses & self.mask else Verdict.NO

    def test(self, marks: Sequence[Interval]) -> Test:
        """The same for the kernel."""
        return STATUS_IN, self.mask, 0


def mask_of(codes: tuple[str, ...]) -> int:
    """The mask of these codes. Raises BadPolicyError when there is none, or one that OTLP does not have."""
    if not codes:
        raise BadPolicyError("status_codes needs at least one of OK, ERROR, UNSET")
    mask = 0
    for code in codes:
        if code not in CODES:
            raise BadPolicyError(f"unknown status code {code!r}: it is one of OK, ERROR, UNSET")
        mask |= 1 << CODES[code]
    return mask
