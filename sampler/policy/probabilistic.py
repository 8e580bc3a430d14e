"""Policy `probabilistic`: a share of all traces, chosen by a hash of the trace id.

The hash and the threshold are the Collector's, bit for bit, so that both keep the same traces and replicas agree. Where
probability is to be stated, the randomness and the threshold are OpenTelemetry's instead (tracestate `rv` and `th`).
"""

from __future__ import annotations

import math
from fractions import Fraction

from gateway.kernel.names import HASH_UPTO, RANDOM_FROM, Node
from sampler.policy.errors import BadPolicyError
from sampler.tracestate import threshold_of

DEFAULT_SALT = "default-hash-seed"
_HASH_MAX = 2**64 - 1
_FNV_OFFSET = 0xCBF29CE484222325
_FNV_PRIME = 0x100000001B3
_MANTISSA_BITS = 64


def probabilistic(sampling_percentage: float = 0.0, hash_salt: str = "", *, consistent: bool = False) -> Node:
    """An empty salt means the Collector's default one; with `consistent` there is none. Raises BadPolicyError for NaN."""
    if math.isnan(sampling_percentage):
        raise BadPolicyError("is not a number", ("sampling_percentage",))
    if consistent:
        return Node(RANDOM_FROM, threshold_of(sampling_percentage))
    return Node(HASH_UPTO, fnv1a((hash_salt or DEFAULT_SALT).encode()), hash_upto(sampling_percentage))


def fnv1a(data: bytes, state: int = _FNV_OFFSET) -> int:
    """FNV-1a, 64 bits, going on from `state`."""
    for byte in data:
        state = (state ^ byte) * _FNV_PRIME & _HASH_MAX
    return state


def hash_upto(percentage: float) -> int:
    """The largest hash kept at this percentage: below 0 counts as 0, above 100 as 100.

    percentage / 100 in double precision, times 2^64 - 1 with the product rounded half to even to a mantissa of 64 bits, cut
    to an integer: what Go's big.Float gives.
    """
    ratio = percentage / 100
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
