"""gateway.kernel.decisions against two plain queues, and its bounds."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.kernel import Kernel

GROWTH = 4096  # places of a queue at first


def trace_id(number: int) -> bytes:
    return (number * 0x9E3779B97F4A7C15 & (1 << 64) - 1).to_bytes(8, "big") + number.to_bytes(8, "big")


class Entry:
    def __init__(self, own: bytes | None) -> None:
        self.own = own  # None: withdrawn, because the trace was decided otherwise since
        self.asked = False


class Model:
    """Two queues and a dict."""

    def __init__(self, kept_max: int, dropped_max: int) -> None:
        self.most = {True: kept_max, False: dropped_max}
        self.queues: dict[bool, deque[Entry]] = {True: deque(), False: deque()}
        self.known: dict[bytes, tuple[bool, Entry]] = {}

    def remember(self, own: bytes, keep: bool) -> None:
        if own in self.known:
            kind, entry = self.known[own]
            if kind == keep:
                entry.asked = True
                return
            entry.own = None
            del self.known[own]
        while len(self.queues[keep]) == self.most[keep]:
            self.forget_one(keep)
        self.append(own, keep)

    def append(self, own: bytes, keep: bool) -> None:
        entry = Entry(own)
        self.queues[keep].append(entry)
        self.known[own] = keep, entry

    def forget_one(self, keep: bool) -> None:
        oldest = self.queues[keep].popleft()
        if oldest.own is not None:
            del self.known[oldest.own]
            if oldest.asked:
                self.append(oldest.own, keep)

    def recall(self, own: bytes) -> bool | None:
        if own not in self.known:
            return None
        keep, entry = self.known[own]
        entry.asked = True
        return keep

    def count(self, kind: bool) -> int:
        return sum(keep == kind for keep, _ in self.known.values())


steps = st.lists(
    st.tuples(st.sampled_from(["remember", "remember", "recall"]), st.integers(0, 24), st.booleans()), max_size=200
)


@settings(max_examples=100)
@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([0, 3, 2**64 - 1]), steps)
def test_what_two_queues_do(
    kernel: Kernel, kept_max: int, dropped_max: int, seed: int, story: list[tuple[str, int, bool]]
) -> None:
    """What is remembered is right; what is forgotten is the oldest of its kind that nobody asked for since it joined."""
    decisions, model = kernel.Decisions(kept_max, dropped_max, seed), Model(kept_max, dropped_max)
    for what, number, keep in story:
        own = trace_id(number)
        if what == "recall":
            assert decisions.recall(own) == model.recall(own)
        else:
            decisions.remember(own, keep)
            model.remember(own, keep)
        assert (decisions.kept, decisions.dropped) == (model.count(True), model.count(False))
    assert [decisions.recall(trace_id(n)) for n in range(25)] == [model.recall(trace_id(n)) for n in range(25)]


def test_crowded_places_of_the_index(kernel: Kernel) -> None:
    """In the smallest indexes, where most hashes stand beside their place and beyond the end, nothing is mistaken or lost."""
    dice = random.Random(8)
    for most in range(2, 9):
        decisions, model = kernel.Decisions(most, 3, most), Model(most, 3)
        for _ in range(400 if kernel.form == "pure" else 3000):
            own, keep = trace_id(dice.randrange(30)), dice.random() < 0.6
            if dice.random() < 0.4:
                assert decisions.recall(own) == model.recall(own)
            else:
                decisions.remember(own, keep)
                model.remember(own, keep)
        assert [decisions.recall(trace_id(n)) for n in range(30)] == [model.recall(trace_id(n)) for n in range(30)]


def test_one_kind_grows_around_the_other(kernel: Kernel) -> None:
    """While one queue grows, a full one of the other kind, whose oldest place is anywhere, keeps its decisions in order."""
    decisions = kernel.Decisions(10, 3 * GROWTH)
    fill(decisions, range(17), True)
    fill(decisions, range(100, 100 + 2 * GROWTH + 1), False)
    assert (decisions.kept, decisions.dropped) == (10, 2 * GROWTH + 1)
    fill(decisions, range(20, 24), True)
    assert [n for n in range(24) if decisions.recall(trace_id(n))] == [*range(11, 17), *range(20, 24)]


@pytest.mark.parametrize("most", [1, 2])
def test_the_smallest_memories(kernel: Kernel, most: int) -> None:
    """A memory of one or two decisions holds the last ones, whatever was asked for."""
    decisions = kernel.Decisions(most, most)
    for number in range(1, 200):
        for each in (trace_id(number), trace_id(number)):
            decisions.remember(each, True)
        assert decisions.recall(trace_id(number)) is True
        assert decisions.kept == min(number, most)
    assert decisions.dropped == 0 and decisions.recall(trace_id(1)) is None


def test_growing_forgets_nothing(kernel: Kernel) -> None:
    """While a queue grows, what was remembered stays, and what was asked for before still counts as asked for after."""
    most = GROWTH + 1000
    decisions = kernel.Decisions(most, most)
    fill(decisions, range(GROWTH), True)
    asked = range(0, GROWTH, 3)
    assert all(decisions.recall(trace_id(each)) is True for each in asked)
    fill(decisions, range(GROWTH, most), True)
    fill(decisions, range(most, most + 100), False)
    assert (decisions.kept, decisions.dropped) == (most, 100)
    fill(decisions, range(-1, -1001, -1), True)
    assert all(decisions.recall(trace_id(each)) is True for each in asked)
    forgotten = [each for each in range(GROWTH) if each % 3 and decisions.recall(trace_id(each)) is None]
    assert forgotten == [each for each in range(1500) if each % 3], "the oldest, but for those that were asked for"
    assert decisions.recall(trace_id(most)) is False


def fill(decisions: object, numbers: Iterable[int], keep: bool) -> None:
    for each in numbers:
        decisions.remember(trace_id(each & (1 << 64) - 1), keep)  # type: ignore[attr-defined]


def test_withdrawn_decisions_give_their_places_back(kernel: Kernel) -> None:
    """A place whose decision was replaced by one of the other kind is used again when it becomes the oldest."""
    decisions = kernel.Decisions(50, 500)
    fill(decisions, range(50), True)
    fill(decisions, range(10, 50), False)  # those were forgotten, and came again
    assert (decisions.kept, decisions.dropped) == (10, 40)
    fill(decisions, range(100, 150), True)
    assert (decisions.kept, decisions.dropped) == (50, 40)
    for turn in range(40):
        fill(decisions, range(1000 * turn, 1000 * turn + 60), turn % 2 == 0)
        fill(decisions, range(1000 * turn, 1000 * turn + 60), turn % 2 == 1)
    fill(decisions, range(10**6, 10**6 + 600), True)
    fill(decisions, range(2 * 10**6, 2 * 10**6 + 600), False)
    assert (decisions.kept, decisions.dropped) == (50, 500)


@pytest.mark.parametrize("most", [10, GROWTH + 1, 1_000_000, (1 << 20) + 1, 1_500_000])
def test_a_decision_takes_at_most_24_bytes(kernel: Kernel, most: int) -> None:
    """Full memories of any size take at most 24 bytes a decision, hold exactly as many as they may, and answer rightly."""
    if kernel.form != "compiled" and most > 10_000:
        pytest.skip("the compiled form shows it for large ones")
    decisions = kernel.Decisions(most, 1)
    fill(decisions, range(most), True)
    fill(decisions, range(-1, -3, -1), False)
    assert (decisions.kept, decisions.dropped) == (most, 1)
    assert decisions.bytes <= 24 * most
    step = max(1, most // 5000)
    assert all(decisions.recall(trace_id(each)) is True for each in range(0, most, step))
    assert not any(decisions.recall(trace_id(each)) for each in range(most, 2 * most, step))
    fill(decisions, range(most, most + 5), True)
    assert decisions.kept == most


def test_ids_that_differ_little(kernel: Kernel) -> None:
    """Ids that differ in one half or one bit only are told apart."""
    decisions = kernel.Decisions(5000, 5000)
    ids = [bytes(8) + n.to_bytes(8, "big") for n in range(1, 1000)] + [
        n.to_bytes(8, "big") + bytes(8) for n in range(1, 1000)
    ]
    ids += [(1 << bit).to_bytes(16, "little") for bit in range(128)]
    ids = list(dict.fromkeys(ids))
    for each in ids[::2]:
        decisions.remember(each, True)
    for each in ids[1::2]:
        decisions.remember(each, False)
    assert [decisions.recall(each) for each in ids] == [at % 2 == 0 for at in range(len(ids))]


@pytest.mark.parametrize("size", [0, 8, 15, 17])
def test_only_trace_ids_are_asked_for(kernel: Kernel, size: int) -> None:
    """Whatever has not 16 bytes is no trace id."""
    decisions = kernel.Decisions(2, 2)
    with pytest.raises(ValueError, match="16 bytes"):
        decisions.recall(bytes(size))
    with pytest.raises(ValueError, match="16 bytes"):
        decisions.remember(bytes(size), True)
