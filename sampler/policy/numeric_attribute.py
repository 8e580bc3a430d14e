"""Policy `numeric_attribute`: a trace is kept when a resource or span of it has a number within bounds under a key."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gateway.kernel.names import MARKED, Look, Node, Values
from sampler.policy.errors import BadPolicyError
from sampler.policy.marks import NO, YES, Marks
from sampler.policy.negation import negation
from sampler.policy.values import attribute, scalar

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class IsWithin:
    """The attribute's value lies between the bounds, both inclusive. What is no integer counts as 0, as in the Collector.

    `strict`: floating point numbers are compared too, and what is no number does not lie there.
    """

    look: Look
    least: float
    most: float
    strict: bool

    @property
    def looks(self) -> tuple[Look, ...]:
        """The attribute."""
        return (self.look,)

    def __call__(self, values: Values) -> int:
        """YES or NO."""
        (raw,) = values
        if raw is None:
            return NO
        value = scalar(raw)
        if isinstance(value, bool) or not isinstance(value, int):
            if not self.strict:
                value = 0
            elif not isinstance(value, float):
                return NO
        return YES if self.least <= value <= self.most else NO


def numeric_attribute(
    marks: Marks,
    key: str = "",
    min_value: int | None = None,
    max_value: int | None = None,
    invert_match: bool = False,
    *,
    strict: bool = False,
) -> Node:
    """A bound of 0 is none, unless `strict`: then one that is set counts. `invert_match` keeps what does not match.

    Raises BadPolicyError where there is no bound: a Collector crashes on the first trace.
    """
    least, most = (bound if bound is not None and (bound or strict) else None for bound in (min_value, max_value))
    if least is None and most is None:
        zero = "" if strict else "; a bound of 0 counts as none"
        raise BadPolicyError(f"needs min_value or max_value{zero}")
    lowest, highest = (-math.inf, math.inf) if strict else (_INT64_MIN, _INT64_MAX)
    bounds = (lowest if least is None else least, highest if most is None else most)
    found = marks.any_span(*(IsWithin(look, *bounds, strict) for look in attribute(key)))
    return negation(Node(MARKED, found)) if invert_match else Node(MARKED, found)
