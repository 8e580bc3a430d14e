"""Marks: what policies ask of single spans, numbered. A trace has a mark once any of its spans has answered yes.

Policies ask for marks while they are built; the plan is what the kernel then does to each span. Predicates with the same looks
share one probe, and equal ones one mark.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from gateway import limits
from gateway.kernel.names import RESOURCE, SCOPE, SPAN, Look, Plan, Probe, Values
from sampler.policy.errors import BadPolicyError

NO, YES, ERROR = range(3)
"""What a predicate answers."""

_VOLATILE = {(SPAN, field) for field in (1, 2, 4, 7, 8, 11, 13)} | {(SPAN, 9)}
"""Ids, times, events, links and all attributes at once: hardly ever the same twice, so that remembering answers is no use."""


class Predicate(Hashable, Protocol):
    """A question about one span, by a few of its fields. Pure; equal predicates answer alike."""

    @property
    def looks(self) -> tuple[Look, ...]:
        """What it reads."""
        ...

    def __call__(self, values: Values) -> int:
        """NO, YES or ERROR, of the values of its looks."""
        ...


class _Asked(NamedTuple):
    predicate: Predicate
    mark: int


@dataclass(frozen=True, slots=True)
class _Judge:
    """All predicates of one probe."""

    asked: tuple[_Asked, ...]

    def __call__(self, values: Values) -> int:
        mask = 0
        for predicate, mark in self.asked:
            answer = predicate(values)
            if answer:
                mask |= 1 << (mark + answer - 1)
        return mask


class Marks:
    """Hands out marks, and says in the end what is to be done for them."""

    def __init__(self) -> None:
        self._used = 0
        self._asked: dict[tuple[Look, ...], list[_Asked]] = {}
        self._known: dict[Hashable, int] = {}
        self._intervals: list[tuple[int, int, int]] = []
        self._pairs = 0

    def interval(self, above: int, up_to: int) -> int:
        """The mark of traces whose duration, after any span, was above the first and at most the second, in ms."""
        key = (above, up_to)
        if key not in self._known:
            self._known[key] = mark = self._take(1)
            self._intervals.append((above, up_to, mark))
        return self._known[key]

    def any_span(self, *alternatives: Predicate, errors: bool = False) -> int:
        """The mark of traces with a span for which one of these predicates answers YES.

        With `errors` the mark after it stands for ERROR, and of both only the first to come is set; without, an ERROR is a NO.
        """
        key = (frozenset(alternatives), errors)
        if key in self._known:
            return self._known[key]
        if errors:
            self._used += self._used % 2  # a pair never lies in two words
        self._known[key] = mark = self._take(2 if errors else 1)
        if errors:
            self._pairs |= 1 << mark
        for predicate in alternatives:
            asked = predicate if errors else _Sure(predicate)
            self._asked.setdefault(predicate.looks, []).append(_Asked(asked, mark))
        return mark

    def plan(self) -> Plan:
        """Everything asked for so far."""
        probes = tuple(_probe(looks, _Judge(tuple(asked))) for looks, asked in self._asked.items())
        return Plan(self._used, probes, tuple(self._intervals), self._pairs)

    def _take(self, marks: int) -> int:
        first = self._used
        self._used += marks
        if self._used > limits.MARKS_MAX:
            raise BadPolicyError(f"the policies ask more than {limits.MARKS_MAX} different questions about spans")
        return first


@dataclass(frozen=True, slots=True)
class _Sure:
    """A predicate whose errors are no answer."""

    predicate: Predicate

    @property
    def looks(self) -> tuple[Look, ...]:
        return self.predicate.looks

    def __call__(self, values: Values) -> int:
        return self.predicate(values) == YES


def _probe(looks: tuple[Look, ...], judge: Callable[[Values], int]) -> Probe:
    volatile = any((look.where, look.field) in _VOLATILE and not look.key for look in looks)
    return Probe(looks, judge, memo=not volatile)


assert {RESOURCE, SCOPE, SPAN} == {0, 1, 2}
