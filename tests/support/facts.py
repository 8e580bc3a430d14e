"""The facts of a trace, by the official classes and the plainest arithmetic: the slow twin of what the kernel folds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.kernel.names import ALWAYS, AND, HASH_UPTO, LONGER_THAN, MARKED, NOT, SPANS_WITHIN, STATUS_IN, Node, Plan

MS = 1_000_000

Interval = tuple[int, int]
"""Milliseconds: above the first, up to and including the second."""


class Facts(NamedTuple):
    """The aggregate of one trace. Instants are unix nanoseconds, durations nanoseconds.

    `duration_max` is the longest end_max - start_min seen after any span: what a latency policy without an upper bound asks.
    `inside` has the intervals that the trace's duration so far lay in after any span: what one with an upper bound asks
    (Collector parity). Bit N of `statuses` is set when a span has status code N (0 unset, 1 ok, 2 error).
    """

    span_count: int = 0
    start_min: int = 0
    end_max: int = 0
    duration_max: int = 0
    statuses: int = 0
    inside: frozenset[Interval] = frozenset()


class Rule(NamedTuple):
    """A policy twice: as the kernel's node, made of the marks by interval, and as what it means."""

    node: Callable[[dict[Interval, int]], Node]
    keeps: Callable[[Facts, bytes], bool]
    intervals: tuple[Interval, ...] = ()


def always() -> Rule:
    """Every trace."""
    return Rule(lambda _: Node(ALWAYS), lambda *_: True)


def latency(above: int, up_to: int = 0) -> Rule:
    """Traces that took longer, at any time, than `above` ms and, if there is an upper bound, up to that."""
    if not up_to:
        return Rule(lambda _: Node(LONGER_THAN, above), lambda facts, _: facts.duration_max // MS > above)
    return Rule(
        lambda marks: Node(MARKED, marks[above, up_to]),
        lambda facts, _: (above, up_to) in facts.inside,
        ((above, up_to),),
    )


def status(mask: int) -> Rule:
    """Traces with a span of one of these status codes."""
    return Rule(lambda _: Node(STATUS_IN, mask), lambda facts, _: bool(facts.statuses & mask))


def hashed(state: int, threshold: int) -> Rule:
    """Traces whose id, hashed from `state` on, comes to no more than the threshold."""
    return Rule(lambda _: Node(HASH_UPTO, state, threshold), lambda _, own: fnv1a(own, state) <= threshold)


def counted(least: int, most: int) -> Rule:
    """Traces of so many spans."""
    return Rule(lambda _: Node(SPANS_WITHIN, least, most), lambda facts, _: least <= facts.span_count <= most)


def all_of(rules: Sequence[Rule]) -> Rule:
    """Traces that all of these keep."""
    return Rule(
        lambda marks: Node(AND, children=tuple(each.node(marks) for each in rules)),
        lambda facts, own: all(each.keeps(facts, own) for each in rules),
        tuple(interval for each in rules for interval in each.intervals),
    )


def negated(rule: Rule) -> Rule:
    """Traces that this one does not keep."""
    return Rule(
        lambda marks: Node(NOT, children=(rule.node(marks),)),
        lambda facts, own: not rule.keeps(facts, own),
        rule.intervals,
    )


def marks_of(rules: Sequence[Rule]) -> dict[Interval, int]:
    """A mark for each interval that is asked about."""
    asked = dict.fromkeys(interval for rule in rules for interval in rule.intervals)
    return {interval: mark for mark, interval in enumerate(asked)}


def plan_of(marks: dict[Interval, int]) -> Plan:
    """Nothing but these intervals."""
    return Plan(len(marks), (), tuple((*interval, mark) for interval, mark in marks.items()))


def decider(rules: Sequence[Rule], facts: Facts, trace_id: bytes) -> int:
    """The index of the first that keeps the trace; -1 if none does."""
    return next((index for index, rule in enumerate(rules) if rule.keeps(facts, trace_id)), -1)


def fnv1a(data: bytes, state: int = 0xCBF29CE484222325) -> int:
    """FNV-1a, 64 bits, going on from `state`."""
    for byte in data:
        state = (state ^ byte) * 0x100000001B3 & (1 << 64) - 1
    return state


def facts_of(spans: Iterable[Span], marks: Sequence[Interval] = ()) -> Facts:
    """The aggregate of these spans, which came in this order."""
    made = list(spans)
    prefixes = _prefixes(made)
    return Facts(
        span_count=len(made),
        start_min=prefixes[-1][0] if prefixes else 0,
        end_max=prefixes[-1][1] if prefixes else 0,
        duration_max=max([0, *(end - start for start, end in prefixes)]),
        statuses=sum(1 << code for code in {each.status.code for each in made} if 0 <= code <= 2),
        inside=frozenset(
            (above, upto)
            for above, upto in marks
            if any(above < whole_ms(end - start) <= upto for start, end in prefixes)
        ),
    )


def whole_ms(duration: int) -> int:
    """Nanoseconds as milliseconds, cut off towards zero as Go does."""
    return duration // MS if duration >= 0 else -(-duration // MS)


def _prefixes(spans: list[Span]) -> list[tuple[int, int]]:
    """(start, end) of the trace after each span. As in the Collector's latency.go a 0 counts as not yet set."""
    least = greatest = 0
    out = []
    for each in spans:
        if least == 0 or each.start_time_unix_nano < least:
            least = each.start_time_unix_nano
        if greatest == 0 or each.end_time_unix_nano > greatest:
            greatest = each.end_time_unix_nano
        out.append((least, greatest))
    return out
