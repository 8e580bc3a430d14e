"""Policy `probabilistic`: a share of all traces, chosen by a hash of the trace id.

The hash and the threshold are the Collector's, bit for bit, so that both keep the same traces and replicas agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from gateway.kernel.names import HASH_UPTO
from gateway.otlp.facts import Facts, Interval
from sampler.policy import BadPolicyError, Test, Verdict

DEFAULT_SALT = "default-hash-seed"
_HASH_MAX = 2**64 - 1
_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MANTISSA_BITS = 64


@dataclass(frozen=True, slots=True)
class Probabilistic:
    """`state` is the hash after the salt, `threshold` the largest hash that is kept."""

    name: str
    state: int
    threshold: int

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """None."""
        return ()

    def vote(self, facts: Facts, trace_id: bytes) -> Verdict:
        """Keep when the id's hash does not pass the threshold."""
        return Verdict.KEEP if fnv1a(trace_id, self.state) <= self.threshold else Verdict.NO

    def test(self, marks: Sequence[Interval]) -> Test:
        """The same for the kernel."""
        return HASH_UPTO, self.state, self.threshold


def probabilistic(name: str, percentage: float, salt: str = "") -> Probabilistic:
    """The policy that keeps this percentage; an empty salt means the Collector's default one."""
    return Probabilistic(name, fnv1a((salt or DEFAULT_SALT).encode()), threshold_of(percentage))


def fnv1a(data: bytes, state: int = _FNV_OFFSET) -> int:
    """FNV-1a, 64 bits, going on from `state`."""
    for byte in data:
        state = (state ^ byte) * _FNV_PRIME & _HASH_MAX
    return state


def threshold_of(percentage: float) -> int:
    """The largest hash kept at this percentage: below 0 counts as 0, above 100 as 100. Raises BadPolicyError for NaN.

    percentage / 100 in double precision, times 2^64 - 1 with the product rounded half to even to a mantissa of 64 bits, cut
    to an integer: what Go's big.Float gives.
    """
    ratio = float(percentage) / 100
    if math.isnan(ratio):
        raise BadPolicyError("sampling_percentage is not a number")
    if ratio <= 0:
        return 0
    return _HASH_MAX if ratio >= 1 else min(int(_rounded(Fraction(ratio) * _HASH_MAX)), _HASH_MAX)


def _rounded(value: Fraction) -> Fraction:
    """`value`, below 2^64 and above 0, with its mantissa rounded half to even to 64 bits."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()  # 2^(exponent-1) < value < 2^(exponent+1)
    if value < Fraction(2) ** exponent:
        exponent -= 1
    unit = Fraction(2) ** (exponent - _MANTISSA_BITS + 1)
    return round(value / unit) * unit
