"""Policy `trace_state`: a trace is kept when a span's W3C tracestate has one of the listed values under a key.

A tracestate that breaks the rules of W3C Trace Context, as the Go SDK checks them, matches nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.kernel.names import MARKED, SPAN, Look, Node, Values
from sampler.policy.marks import NO, YES, Marks
from sampler.policy.negation import NEVER

_TRACE_STATE_FIELD = 3  # Span: string trace_state = 3
_MEMBERS_MAX = 32
_MEMBER_BYTES_MAX = 255  # of key and value together; a longer one of the configuration is not looked for
_BLANKS = b" \t"
# W3C Trace Context 1, 3.3.1.3: simple-key, or tenant-id @ system-id; and chr{0,255} nblk-chr.
_KEY = re.compile(rb"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}")
_VALUE = re.compile(rb"[ -+\--<>-~]{0,255}[!-+\--<>-~]")


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


def parse(tracestate: bytes) -> dict[bytes, bytes] | None:
    """The members of a tracestate, None if it is not valid."""
    members: dict[bytes, bytes] = {}
    for part in tracestate.split(b","):
        if not part:
            continue
        key, separator, value = part.partition(b"=")
        key, value = key.lstrip(_BLANKS), value.rstrip(_BLANKS)
        valid = separator and _KEY.fullmatch(key) and _VALUE.fullmatch(value)
        if not valid or key in members or len(members) == _MEMBERS_MAX:
            return None
        members[key] = value
    return members


def trace_state(marks: Marks, key: str = "", values: Sequence[str] = ()) -> Node:
    """Values that are empty, or too long together with the key, are ignored."""
    name = key.encode()
    fitting = frozenset(
        value for value in map(str.encode, values) if value and len(name) + len(value) <= _MEMBER_BYTES_MAX
    )
    return Node(MARKED, marks.any_span(HasMember(name, fitting))) if name and fitting else NEVER
