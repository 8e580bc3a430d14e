"""The comparison runs, adds up, and says when it does not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from bench import subjects
from bench.end_to_end import Case, Result, checksum, table
from bench.processes import ROOT

RESULT = Result(
    tier="balancer",
    name="ours",
    case="512 (8)",
    round=1,
    spans_per_second=1e5,
    cpu_ns=1000.0,
    p50_ms=1.0,
    p99_ms=2.0,
    resident_before=10**7,
    resident=10**8,
    decision_wait=10.0,
    others_share=0.0,
    exported_share=1.0,
    acked=100,
    arrived=100,
    rejected=0,
    errors={},
)


def run(*flags: str) -> str:
    argv = [sys.executable, "-m", "bench.end_to_end", "--tiny", *flags]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(("text", "case"), [("512x8", Case(512, 8)), ("512x8z", Case(512, 8, gzip=True))])
def test_a_load_is_written_as_spans_times_requests_in_flight(text: str, case: Case) -> None:
    """512x8z is 512 spans a request, 8 in flight, compressed."""
    assert Case.parse(text) == case


def test_a_ratio_is_taken_within_a_round() -> None:
    """The machine being twice as slow in one round changes no ratio."""
    ours = [RESULT, replace(RESULT, round=2, cpu_ns=2000.0)]
    theirs = [replace(r, name="collector", cpu_ns=3 * r.cpu_ns) for r in ours]
    assert "| **3.00** (3.00–3.00) |" in table([*ours, *theirs])


def test_an_acknowledged_span_that_did_not_arrive_is_lost() -> None:
    """A balancer that acknowledges 100 spans of which 98 arrive has lost 2; one that sends two twice has lost none."""
    assert replace(RESULT, arrived=98).lost == 2
    assert replace(RESULT, arrived=102).lost == 0
    assert replace(RESULT, tier="sampler", arrived=6).lost == 0
    assert checksum([RESULT, replace(RESULT, arrived=98)]).endswith(
        "acknowledged 200, arrived at the samplers 198, lost 2"
    )


def test_a_sampler_holds_the_spans_of_the_last_decision_wait() -> None:
    """At 100,000 spans/s and 10 s a sampler that grew by 90 MB takes 90 bytes a span; a balancer holds none."""
    assert replace(RESULT, tier="sampler").buffered_bytes == 90.0
    assert RESULT.buffered_bytes == 0.0


@pytest.mark.integration
def test_the_floor_runs() -> None:
    """The bare servers take the load and are tabulated."""
    assert "| grpcio aio |" in run("--floor", "--cases", "32x4")


@pytest.mark.integration
def test_our_tiers_run_under_the_bench() -> None:
    """Both tiers take the load, and everything the balancer acknowledges arrives at the samplers."""
    assert "lost 0" in run("--subjects", "ours", "--cases", "32x4,512x2")


@pytest.mark.integration
@pytest.mark.skipif(
    subjects.collector() is None, reason=f"no Collector: {subjects.COLLECTOR_VARIABLE} names none, nor is it on PATH"
)
def test_the_collector_runs_under_the_bench() -> None:
    """Both of the Collector's tiers take the same load."""
    assert "lost 0" in run("--subjects", "collector", "--cases", "32x4,512x2")
