"""Policy `string_attribute`: a trace is kept when a resource or span of it has one of the listed strings under a key.

With regular expressions these are RE2's, which take time in proportion to the value whatever they say.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import re2

from gateway.kernel.names import MARKED, RESOURCE, Look, Node, Values
from sampler.policy.errors import BadPolicyError
from sampler.policy.marks import NO, YES, Marks
from sampler.policy.negation import NEVER, negation
from sampler.policy.values import attribute, scalar

_REPLACEMENT = "\ufffd".encode()


@dataclass(frozen=True, slots=True)
class IsOneOf:
    """The attribute is a string of this set, which has no empty one."""

    look: Look
    wanted: frozenset[bytes]

    @property
    def looks(self) -> tuple[Look, ...]:
        """The attribute."""
        return (self.look,)

    def __call__(self, values: Values) -> int:
        """YES or NO."""
        (raw,) = values
        value = None if raw is None else scalar(raw)
        return YES if isinstance(value, bytes) and value in self.wanted else NO


@dataclass(frozen=True, slots=True)
class Matches:
    """One of the patterns is found in the attribute, a string; with `strict` it matches the whole of it.

    On a span an empty string matches nothing. On a resource it is tried, and so is, unless `strict`, a value of any other kind,
    which then counts as empty.
    """

    look: Look
    patterns: tuple[str, ...]
    strict: bool
    _compiled: tuple[Any, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_compiled", tuple(_compiled(pattern) for pattern in self.patterns))

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
        if not isinstance(value, bytes):
            if self.strict:
                return NO
            value = b""
        if not value and self.look.where != RESOURCE:
            return NO
        text = as_text(value)
        found = any(each.fullmatch(text) if self.strict else each.search(text) for each in self._compiled)
        return YES if found else NO


def string_attribute(
    marks: Marks,
    key: str = "",
    values: Sequence[str] = (),
    enabled_regex_matching: bool = False,
    cache_max_size: int = 0,
    invert_match: bool = False,
    *,
    strict: bool = False,
) -> Node:
    """`invert_match` keeps what does not match: traces without the key, too. Empty strings among exact `values` are ignored.

    `cache_max_size` has no effect: answers are remembered for whatever is asked of spans. Raises BadPolicyError for a pattern
    that RE2 does not take.
    """
    for index, pattern in enumerate(values if enabled_regex_matching else ()):
        _check(pattern, index)
    node = _found(marks, key, tuple(values), enabled_regex_matching, strict)
    return negation(node) if invert_match else node


def _found(marks: Marks, key: str, values: tuple[str, ...], regex: bool, strict: bool) -> Node:
    wanted = frozenset(value.encode() for value in values if value)
    if not (values if regex else wanted):
        return NEVER
    if regex:
        return Node(MARKED, marks.any_span(*(Matches(look, values, strict) for look in attribute(key))))
    return Node(MARKED, marks.any_span(*(IsOneOf(look, wanted) for look in attribute(key))))


def as_text(value: bytes) -> bytes:
    """`value` as Go's regular expressions read it: each byte that is not part of UTF-8 stands for U+FFFD."""
    try:
        value.decode()
    except UnicodeDecodeError:
        escaped = value.decode(errors="surrogateescape")
        return b"".join(_REPLACEMENT if "\udc80" <= each <= "\udcff" else each.encode() for each in escaped)
    return value


def _check(pattern: str, index: int) -> None:
    try:
        _compiled(pattern)
    except re2.error as error:
        raise BadPolicyError(f"RE2 does not take this pattern: {_reason(error)}", ("values", index)) from error


def _reason(error: Exception) -> str:
    (reason,) = error.args
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.log_errors = False  # to standard error
    options.never_capture = True  # where groups begin and end is nobody's question
    return re2.compile(pattern, options)
