"""gateway.metrics: one table of instruments, and a tally that counts in it."""

from __future__ import annotations

import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import metrics
from gateway.metrics import TABLE, Instrument, Kind, Tally


@pytest.mark.parametrize("instrument", TABLE, ids=lambda instrument: instrument.name)
def test_names_follow_the_convention(instrument: Instrument) -> None:
    """Names carry the prefix, counters and only counters end in _total, and every metric says what it is in a sentence."""
    assert re.fullmatch(r"tailgate_[a-z]+(_[a-z]+)*", instrument.name)
    assert instrument.name.endswith("_total") == (instrument.kind is Kind.COUNTER)
    assert instrument.help.endswith(".")
    assert not instrument.help[0].islower()
    assert all(re.fullmatch(r"[a-z_]+", label) for label in instrument.labels)


def test_names_are_unique() -> None:
    """No two instruments share a name."""
    names = [instrument.name for instrument in TABLE]
    assert len(set(names)) == len(names)


def test_every_instrument_is_in_the_table() -> None:
    """The table is whole: every instrument of the module is in it."""
    assert {id(each) for each in vars(metrics).values() if isinstance(each, Instrument)} == {id(each) for each in TABLE}


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 100))))
def test_counters_add_up_by_label(counts: list[tuple[str, int]]) -> None:
    """A counter sums for each label value, and its total is the sum over all."""
    tally = Tally()
    for label, amount in counts:
        tally.add(metrics.SPANS_REJECTED, amount, label)
    for label in "ab":
        assert tally.get(metrics.SPANS_REJECTED, label) == sum(amount for each, amount in counts if each == label)
    assert tally.total(metrics.SPANS_REJECTED) == sum(amount for _, amount in counts)
    assert tally.get(metrics.SPANS_RECEIVED) == 0


def test_gauges_are_replaced_and_forgotten() -> None:
    """A gauge holds the last value for each label until it is cleared; clearing touches no other."""
    tally = Tally()
    tally.set(metrics.OUTBOX_BYTES, 5, "s1")
    tally.set(metrics.OUTBOX_BYTES, 7, "s1")
    tally.set(metrics.OUTBOX_SPANS, 1, "s1")
    assert tally.get(metrics.OUTBOX_BYTES, "s1") == 7
    tally.clear(metrics.OUTBOX_BYTES)
    assert list(tally) == [(metrics.OUTBOX_SPANS, ("s1",), 1)]


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 5)), max_size=30))
def test_a_histogram_counts_each_value_once(observed: list[tuple[float, int]]) -> None:
    """Every value is in the one bucket whose bound is the first that is not smaller; their sum is kept."""
    tally = Tally()
    for value, count in observed:
        tally.observe(metrics.FORWARD_SECONDS, value, "s1", "accepted", count=count)
    found = tally.histograms(metrics.FORWARD_SECONDS)
    if not observed:
        assert found == []
        return
    ((labels, histogram),) = found
    edges = [-1.0, *metrics.FORWARD_SECONDS.bounds, float("inf")]
    expected = [sum(n for value, n in observed if low < value <= high) for low, high in itertools.pairwise(edges)]
    assert (labels, list(histogram.counts)) == (("s1", "accepted"), expected)
    assert histogram.count == sum(count for _, count in observed)
    assert histogram.sum == pytest.approx(sum(value * count for value, count in observed))


def test_a_histogram_without_labels_is_there_from_the_start() -> None:
    """Before anything was observed a histogram without labels is empty and one with labels is not there."""
    tally = Tally()
    assert [found.count for _, found in tally.histograms(metrics.LATE_SPAN_AGE)] == [0]
    assert tally.histograms(metrics.FORWARD_SECONDS) == []


@pytest.mark.parametrize("instrument", TABLE, ids=lambda instrument: instrument.name)
def test_histograms_have_rising_bounds(instrument: Instrument) -> None:
    """A histogram has bounds that rise, and nothing else has any."""
    assert bool(instrument.bounds) == (instrument.kind is Kind.HISTOGRAM)
    assert list(instrument.bounds) == sorted(set(instrument.bounds))


def test_series_are_listed() -> None:
    """What was counted in one instrument is listed by its label values."""
    tally = Tally()
    tally.add(metrics.SPANS_LATE, 2, "keep")
    tally.add(metrics.SPANS_LATE, 3, "drop")
    tally.add(metrics.TRACES_RECEIVED, 9)
    assert dict(tally.series(metrics.SPANS_LATE)) == {("keep",): 2, ("drop",): 3}


@pytest.mark.parametrize(
    "misuse",
    [
        lambda tally: tally.observe(metrics.SPANS_RECEIVED, 1),
        lambda tally: tally.observe(metrics.FORWARD_SECONDS, 1, "one"),
        lambda tally: tally.add(metrics.LATE_SPAN_AGE, 1),
        lambda tally: tally.add(metrics.BUFFER_BYTES, 1),
        lambda tally: tally.set(metrics.SPANS_RECEIVED, 1),
        lambda tally: tally.add(metrics.SPANS_REJECTED, 1),
        lambda tally: tally.set(metrics.BUFFER_BYTES, 1, "too", "many"),
    ],
)
def test_misuse_is_a_bug(misuse: object) -> None:
    """Counting in a gauge, setting a counter, or a wrong number of labels is noticed at once."""
    with pytest.raises(AssertionError):
        misuse(Tally())  # type: ignore[operator]
