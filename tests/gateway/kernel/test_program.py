"""gateway.kernel.program: votes, limiters against the plainest arithmetic, and consistent rounds."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.kernel import Kernel
from gateway.kernel.journal import Journal
from gateway.kernel.names import (
    ALWAYS,
    AND,
    BYTE_TOKENS,
    COMPOSITE,
    DROP,
    ERROR,
    JUDGED,
    KEEP,
    MARKED,
    NO,
    NOT,
    RANDOM_FROM,
    SHARE,
    SKIPPED,
    SPAN_TOKENS,
    SPANS_WITHIN,
    STATUS_IN,
    VETO,
    Node,
    Rules,
)
from tests.support import wire

USUAL = Rules()
ERRORS, ALL, NONE = Node(STATUS_IN, 0b100), Node(ALWAYS), Node(NOT, children=(Node(ALWAYS),))


class Decider:
    """Traces that are decided one after the other by one program."""

    def __init__(self, kernel: Kernel, nodes: list[Node], rules: Rules = USUAL, journal: Journal | None = None) -> None:
        self.spans = kernel.Spans(facts=True)
        self.traces = kernel.Traces(self.spans, bytes_max=1 << 20)
        self.program = kernel.Program(nodes, rules, journal)
        self.traces.join(self.program)
        self.number = 0

    def add(self, spans: int, status: int = 0, random: int | None = None) -> bytes:
        self.number += 1
        own = self.number.to_bytes(9, "big") + (self.number if random is None else random).to_bytes(7, "big")
        code = wire.message(15, wire.number_field(3, status))
        made = [wire.plain_span(own, n.to_bytes(8, "big"), code) for n in range(1, spans + 1)]
        body = wire.plain_request(*made)
        self.spans.read(body)
        self.traces.add(body, 1, lambda _: None)
        return body

    def take(self, now: float = 0.0, most: int = 1) -> list[Any]:
        *_, kept = self.traces.decide(self.program, 1, most, lambda *_: None, now)
        return list(kept)

    def decide(self, spans: int, now: float = 0.0, status: int = 0) -> tuple[bool, list[int]]:
        self.add(spans, status)
        return bool(self.take(now)), self.program.votes()


@pytest.mark.parametrize(
    ("nodes", "keeps", "votes", "policy"),
    [
        ([ALL], True, [KEEP], 0),
        ([NONE, ALL, ALL], True, [NO, KEEP, KEEP], 1),
        ([ALL, Node(VETO, children=(ERRORS,))], True, [KEEP, NO], 0),
        ([ALL, Node(VETO, children=(ALL,))], False, [SKIPPED, DROP], 1),
        ([ALL, Node(VETO)], False, [SKIPPED, DROP], 1),
        ([Node(AND)], True, [KEEP], 0),
        ([Node(AND, children=(ALL, NONE, ALL))], False, [NO], -1),
        ([Node(NOT, children=(NONE,))], True, [KEEP], 0),
        ([], False, [], -1),
    ],
)
def test_votes_and_the_decision(kernel: Kernel, nodes: list[Node], keeps: bool, votes: list[int], policy: int) -> None:
    """Drop beats keep beats no; policies that can drop are asked first, and nobody after one that has."""
    journal = Journal(len(nodes), 1 << 20)
    decider = Decider(kernel, nodes, journal=journal)
    assert decider.decide(2) == (keeps, votes)
    (record,) = journal.since(0)
    assert (record.keep, record.policy, list(record.votes), record.spans) == (keeps, policy, votes, 2)
    assert record.size == len(decider.add(2))


def test_the_first_match_ends_the_asking(kernel: Kernel) -> None:
    """With first_match nobody is asked behind the first that keeps."""
    limited = Node(SPAN_TOKENS, 1, 1)
    assert Decider(kernel, [ERRORS, ALL, limited], Rules(first_match=True)).decide(1)[1] == [NO, KEEP, SKIPPED]
    assert Decider(kernel, [limited, ALL], Rules(frugal=True)).decide(1)[1] == [SKIPPED, KEEP]
    assert Decider(kernel, [limited, ERRORS], Rules(frugal=True)).decide(1)[1] == [KEEP, NO]


limits_of = st.tuples(st.integers(0, 20), st.integers(1, 30))


@settings(max_examples=100)
@given(limits_of, st.lists(st.tuples(st.integers(1, 25), st.integers(0, 3000)), max_size=20))
def test_token_buckets(kernel: Kernel, limit: tuple[int, int], steps: list[tuple[int, int]]) -> None:
    """A bucket begins full, fills with time up to its burst, and gives all that is asked or nothing: in exact arithmetic."""
    rate, burst = limit
    decider = Decider(kernel, [Node(SPAN_TOKENS, rate, burst)])
    tokens, at, now = Fraction(burst), 0, 0
    for spans, ms in steps:
        now += ms
        left = min(Fraction(burst), tokens + Fraction(rate * (now - at), 1000)) - spans
        if left >= 0:
            tokens, at = left, now
        if abs(left) > Fraction(1, 10**6) or left == 0:  # not where doubles may round either way
            assert decider.decide(spans, now / 1000)[0] == (left >= 0)
        elif decider.decide(spans, now / 1000)[0] != (left >= 0):
            return


def test_bytes_are_limited_by_what_a_trace_measures(kernel: Kernel) -> None:
    """The cost of a trace is its size as protobuf: the burst that is just enough, and one byte less."""
    size = len(Decider(kernel, []).add(3))
    assert Decider(kernel, [Node(BYTE_TOKENS, 1, size)]).decide(3)[0]
    assert not Decider(kernel, [Node(BYTE_TOKENS, 1, size - 1)]).decide(3)[0]


def composite(total: int, *children: tuple[Node, int]) -> Node:
    return Node(COMPOSITE, total, 0, tuple(Node(SHARE, share, 0, (node,)) for node, share in children))


def test_a_composite_shares_out_a_second(kernel: Kernel) -> None:
    """The first child that keeps answers, within its share of this second; what is over it is not left to the next."""
    decider = Decider(kernel, [composite(100, (ERRORS, 4), (ALL, 3))])
    assert [decider.decide(2, 5.0, 2)[0] for _ in range(3)] == [True, True, False]
    assert [decider.decide(1, 5.9)[0] for _ in range(4)] == [True, True, True, False]
    assert decider.decide(2, 6.0, 2)[0]
    decider.add(1, 0)
    (kept,) = decider.take(6.0)
    assert (kept.policy, kept.child) == (0, 1)


def test_a_composite_that_overflows(kernel: Kernel) -> None:
    """With overflow a trace over one share goes to the next child, and all of them together keep within the total."""
    node = composite(5, (ERRORS, 2), (ALL, 9))
    decider = Decider(kernel, [node], Rules(overflow=True))
    assert [decider.decide(2, 5.0, 2)[0] for _ in range(3)] == [True, True, False]
    assert decider.decide(1, 5.0)[0]
    assert not decider.decide(1, 5.0)[0]


def test_errors_have_no_say(kernel: Kernel) -> None:
    """Of a mark for keep and one for an error the trace has one; an error passes through what is around it."""
    for node in (Node(JUDGED, 0), Node(AND, children=(Node(JUDGED, 0), ALL)), Node(NOT, children=(Node(JUDGED, 0),))):
        spans = kernel.Spans(facts=True)
        traces = kernel.Traces(spans, bytes_max=1 << 20)
        program = kernel.Program([node])
        traces.join(program)
        body = wire.plain_request(wire.plain_span(b"A" * 16, b"a" * 8))
        spans.read(body)
        traces.add(body, 1, lambda _: None)
        traces.decide(program, 1, 1, lambda *_: None)
        assert program.votes() == [KEEP if node.op == NOT else NO]
    assert ERROR not in (KEEP, NO)


# ---------------------------------------------------------------- consistent rounds

CONSISTENT = Rules(consistent=True)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(1, 4), st.sampled_from([0, 2])), min_size=1, max_size=12),
    st.integers(0, 12),
    st.integers(0, 20),
    st.sampled_from(["limiter", "both", "and", "errors"]),
)
def test_what_is_kept_is_what_its_threshold_says(
    kernel: Kernel, made: list[tuple[int, int, int]], burst: int, least: int, mix: str
) -> None:
    """In a consistent round the traces kept by a policy are those at or above its threshold, limiters included, and a trace
    carries the smallest threshold among the policies that keep it."""
    limiter, share = Node(SPAN_TOKENS, 0, burst), Node(RANDOM_FROM, least)
    nodes = {
        "limiter": [limiter],
        "both": [limiter, share],
        "and": [Node(AND, children=(share, limiter))],
        "errors": [ERRORS, limiter],
    }[mix]
    decider = Decider(kernel, nodes, CONSISTENT)
    for random, spans, status in made:
        decider.add(spans, status, random)
    kept = decider.take(most=100)
    by_id = {each.trace_id: each for each in kept}
    cut = max([0, *[each.threshold for each in kept]])
    for number, (random, _, status) in enumerate(made, 1):
        each = by_id.get(number.to_bytes(9, "big") + random.to_bytes(7, "big"))
        if each is not None:
            assert random >= each.threshold
            assert each.threshold == 0 or not (mix == "errors" and status == 2)
        elif mix in ("limiter", "and") and made[number - 1][1] <= burst:  # a trace larger than the burst never passes
            assert random < cut or not kept
    spent = sum(each.spans for each in kept if mix in ("limiter", "and"))
    assert spent <= burst


def test_spans_within(kernel: Kernel) -> None:
    """Both bounds are inclusive."""
    decider = Decider(kernel, [Node(SPANS_WITHIN, 2, 3)])
    assert [decider.decide(spans)[0] for spans in (1, 2, 3, 4)] == [False, True, True, False]


def test_marks_are_none_without_a_plan(kernel: Kernel) -> None:
    """A mark that nobody sets keeps nothing."""
    assert Decider(kernel, [Node(MARKED, 0)]).decide(1) == (False, [NO])


def test_votes_are_counted(kernel: Kernel) -> None:
    """Every vote on every trace is counted by policy."""
    decider = Decider(kernel, [ERRORS, ALL])
    for status in (0, 2, 2):
        decider.decide(1, status=status)
    assert decider.program.counts() == [[1, 2, 0, 0, 0], [0, 3, 0, 0, 0]]
