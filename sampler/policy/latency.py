"""Policy `latency`: a trace is kept when it took longer than a threshold, and no longer than an upper one if there is one."""

from __future__ import annotations

from gateway.kernel.names import LASTED, LONGER_THAN, MARKED, Node
from sampler.policy.errors import BadPolicyError
from sampler.policy.marks import Marks

_NO_BOUND = 2**63 - 1  # ms; nanoseconds in 64 bits are less


def latency(marks: Marks, threshold_ms: int = 0, upper_threshold_ms: int = 0, *, strict: bool = False) -> Node:
    """Thresholds in whole milliseconds, the lower one exclusive, the upper one inclusive and 0 for none.

    Durations are cut to milliseconds. The question is, as in the Collector, whether the trace lay inside the bounds after any
    of its spans in order of arrival: with an upper bound, a trace that ends up too long is still kept if it once fitted. With
    `strict` it is how long the whole trace took. Raises BadPolicyError, with `strict`, for a bound below 0.
    """
    if strict:
        _refuse_negative(threshold_ms, upper_threshold_ms)
        return Node(LASTED, threshold_ms, upper_threshold_ms) if upper_threshold_ms else Node(LONGER_THAN, threshold_ms)
    if upper_threshold_ms:
        return Node(MARKED, marks.interval(threshold_ms, upper_threshold_ms))
    if threshold_ms < 0:  # a trace that ends before it begins may be shorter still
        return Node(MARKED, marks.interval(threshold_ms, _NO_BOUND))
    return Node(LONGER_THAN, threshold_ms)


def _refuse_negative(threshold_ms: int, upper_threshold_ms: int) -> None:
    for key, bound in (("threshold_ms", threshold_ms), ("upper_threshold_ms", upper_threshold_ms)):
        if bound < 0:
            raise BadPolicyError(f"no trace takes less than 0 ms; with semantics: strict, {bound} is refused", (key,))
