"""Policy `trace_state`: a trace is kept when a span's W3C tracestate has one of the listed values under a key.

What is no tracestate (sampler.w3c) matches nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.kernel.names import MARKED, SPAN, Look, Node, Values
from sampler.policy.marks import NO, YES, Marks
from sampler.policy.negation import NEVER
from sampler.w3c import parse

_TRACE_STATE_FIELD = 3  # Span: string trace_state = 3
_MEMBER_BYTES_MAX = 255  # of key and value together; a longer one of the configuration is not looked for


@dataclass(frozen=True, slots=True)
class HasMember:
    """The span's tracestate has the key with one of these values."""

    key: bytes
    wanted: frozenset[bytes]

    @property
    def looks(self) -> tuple[Look, ...]:
        """The tracestate."""
        return (Look(SPAN, _TRACE_STATE_FIELD),)

    def __call__(self, values: Values) -> int:
        """YES or NO."""
        (raw,) = values
        members = parse(raw) if raw else None
        return YES if members and members.get(self.key) in self.wanted else NO


def trace_state(marks: Marks, key: str = "", values: Sequence[str] = ()) -> Node:
    """Values that are empty, or too long together with the key, are ignored."""
    name = key.encode()
    fitting = frozenset(
        value for value in map(str.encode, values) if value and len(name) + len(value) <= _MEMBER_BYTES_MAX
    )
    return Node(MARKED, marks.any_span(HasMember(name, fitting))) if name and fitting else NEVER
