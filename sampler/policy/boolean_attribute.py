"""Policy `boolean_attribute`: a trace is kept when a resource or span of it has a certain boolean under a key."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.kernel.names import MARKED, Look, Node, Values
from sampler.policy.marks import NO, YES, Marks
from sampler.policy.negation import negation
from sampler.policy.values import attribute, scalar


@dataclass(frozen=True, slots=True)
class IsBoolean:
    """The attribute has this value. What is no boolean counts as false, as in the Collector; not if `strict`."""

    look: Look
    wanted: bool
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
        if not isinstance(value, bool):
            if self.strict:
                return NO
            value = False
        return YES if value == self.wanted else NO


def boolean_attribute(
    marks: Marks, key: str = "", value: bool = False, invert_match: bool = False, *, strict: bool = False
) -> Node:
    """`invert_match` keeps what does not match: traces without the key, too."""
    found = marks.any_span(*(IsBoolean(look, value, strict) for look in attribute(key)))
    return negation(Node(MARKED, found)) if invert_match else Node(MARKED, found)
