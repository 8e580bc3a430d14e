"""Policy `trace_flags`: a trace is kept when any of its spans has the W3C flag `sampled`."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.kernel.names import MARKED, SPAN, Look, Node, Values
from sampler.policy.marks import NO, YES, Marks

_FLAGS_FIELD = 16  # Span: fixed32 flags = 16; the low byte is the W3C trace flags
_FLAGS_BYTES = 4
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class IsFlagged:
    """The span's flag is set."""

    @property
    def looks(self) -> tuple[Look, ...]:
        """The flags."""
        return (Look(SPAN, _FLAGS_FIELD),)

    def __call__(self, values: Values) -> int:
        """YES or NO."""
        (raw,) = values
        return YES if raw is not None and len(raw) == _FLAGS_BYTES and raw[0] & _SAMPLED else NO


def trace_flags(marks: Marks) -> Node:
    """Takes no parameters."""
    return Node(MARKED, marks.any_span(IsFlagged()))
