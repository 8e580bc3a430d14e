"""The load counts what it is told, and is quick to arrive."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceResponse,
)

from bench import load
from bench.processes import module, running


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 50.0), (0.99, 99.0), (1.0, 100.0)])
def test_a_percentile_is_a_value_that_was_seen(share: float, expected: float) -> None:
    """p99 of 1 to 100 is 99: the smallest value that 99 % do not exceed."""
    assert load.percentile([float(n) for n in range(1, 101)], share) == expected


def test_only_answers_inside_the_window_are_measured() -> None:
    """The warm-up counts towards the accounting and not towards the rate."""
    tally = load.Tally()
    tally.answered(b"", 8, 0.5)
    tally.open = True
    tally.answered(b"", 16, 0.25)
    report = tally.report(2.0)
    assert (report["acked"], report["spans"], report["p99_ms"]) == (24, 16, 250.0)


def test_rejected_spans_are_not_acknowledged() -> None:
    """A partial success acknowledges the rest of the request."""
    tally = load.Tally(open=True)
    reply = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=3))
    tally.answered(reply.SerializeToString(), 8, 0.1)
    assert (tally.acked, tally.rejected, tally.acked_in_window) == (5, 3, 5)


def test_refused_requests_are_counted_by_status() -> None:
    """An error is neither acknowledged nor forgotten."""
    tally = load.Tally()
    tally.refused("UNAVAILABLE", 8)
    tally.refused("UNAVAILABLE", 8)
    report = tally.report(1.0)
    assert (report["errors"], report["failed"], report["acked"]) == ({"UNAVAILABLE": 2}, 16, 0)


@pytest.mark.integration
@pytest.mark.parametrize(
    "flags",
    [[], ["--gzip"], ["--rate", "2000"], ["--requests", "20"]],
    ids=["closed loop", "gzip", "timetable", "counted"],
)
def test_what_a_load_says_was_acknowledged_has_arrived(flags: list[str]) -> None:
    """A load announces its window, and its total is what the sink counted."""
    with running(module("sink", "--form", "sync"), talks=True) as sink:
        window = ["--warm-up", "0.05", "--seconds", "0.1", "--spans", "32", "--distinct-spans", "64"]
        target = ["--target", f"127.0.0.1:{sink.read()['port']}"]
        with running(module("load", *target, *window, *flags), talks=True) as child:
            start, stop, done = child.read(), child.read(), child.read()
        assert (start["event"], stop["event"], done["errors"]) == ("start", "stop", {})
        assert 0 < done["sent"] == done["acked"] == sink.ask()["spans"]
        assert "--requests" not in flags or done["sent"] == done["spans"] == 20 * 32
