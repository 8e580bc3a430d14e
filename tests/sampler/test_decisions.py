"""sampler.decisions: memory of what was exported."""

from __future__ import annotations

import tracemalloc

from sampler.decisions import EXPORTED_TRACE_BYTES, Exported
from sampler.seen import NONE_SEEN
from tests.support.spans import span_id, trace_id

A, B, C = trace_id("A"), trace_id("B"), trace_id("C")


def test_a_span_exported_within_the_window_is_known() -> None:
    """A span id counts as exported from its export until the window has passed since the trace's last new span."""
    exported = Exported(60.0, 1 << 20)
    exported.remember(A, span_id(1) + span_id(2), 0.0)
    assert not exported.add(A, span_id(1), 30.0)
    assert exported.add(A, span_id(3), 50.0)
    assert not exported.add(A, span_id(3), 100.0)
    assert not exported.add(A, span_id(1), 109.0)
    assert exported.add(A, span_id(1), 110.0)
    assert not exported.add(A, span_id(1), 111.0)
    assert exported.add(A, span_id(2), 112.0)


def test_what_has_expired_costs_nothing() -> None:
    """Expired traces are forgotten and their bytes with them."""
    exported = Exported(60.0, 1 << 20)
    for number in range(100):
        exported.remember(trace_id(f"T{number}"), span_id(1), float(number))
    exported.remember(A, NONE_SEEN, 1000.0)
    assert exported.bytes == EXPORTED_TRACE_BYTES


def test_the_oldest_are_forgotten_beyond_the_bytes() -> None:
    """Exported span ids never take more than their bytes; the oldest traces give way."""
    exported = Exported(60.0, 10 * EXPORTED_TRACE_BYTES)
    for number in range(100):
        exported.remember(trace_id(f"T{number}"), span_id(1) * 2, 0.0)
        assert exported.bytes <= 10 * EXPORTED_TRACE_BYTES
    assert exported.add(trace_id("T0"), span_id(1), 1.0)
    assert not exported.add(trace_id("T99"), span_id(1), 1.0)


def test_a_trace_with_late_spans_outlives_the_others() -> None:
    """Late spans renew their own trace's window and no other's."""
    exported = Exported(10.0, 1 << 20)
    exported.remember(A, span_id(1), 0.0)
    exported.remember(B, span_id(1), 0.0)
    assert exported.add(A, span_id(2), 8.0)
    exported.remember(C, span_id(1), 12.0)
    assert not exported.add(A, span_id(1), 12.0)
    assert exported.add(B, span_id(1), 12.0)


def test_the_bytes_named_are_the_bytes_taken() -> None:
    """The memory of exported spans is counted as about what it takes."""
    ids = [number.to_bytes(16, "big") for number in range(1, 5_000)]
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        exported = Exported(60.0, 1 << 30)
        for number, each in enumerate(ids):
            exported.remember(bytes(bytearray(each)), bytes(bytearray(64)), number / 100)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert 0.9 < exported.bytes / taken < 1.3
