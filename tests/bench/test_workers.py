"""The comparison of one worker with several runs, adds up, and says when it does not."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from bench import workers
from bench.processes import ROOT
from bench.workers import Result, answering, checksum, received, table

ONE = Result(
    tier="balancer",
    workers=1,
    spans=512,
    round=1,
    cpu_ns=1000.0,
    spans_per_second=1e5,
    others_share=0.0,
    received=[100],
    sent=100,
    acked=100,
    errors={},
)
TWO = replace(ONE, workers=2, cpu_ns=1100.0, received=[60, 40])

PAGE = """\
# TYPE tailgate_spans_received_total counter
tailgate_spans_received_total{worker="0"} 60.0
tailgate_spans_received_total{worker="1"} 40.0
# TYPE tailgate_worker_up gauge
tailgate_worker_up{worker="0"} 1.0
tailgate_worker_up{worker="1"} 0.0
"""
ALONE = "# TYPE tailgate_spans_received_total counter\ntailgate_spans_received_total 7.0\n"


def test_what_each_worker_received_is_read_from_its_page() -> None:
    """A parent's page tells its workers apart and says who answered; a process alone is worker 0."""
    assert (received(PAGE, 2), answering(PAGE)) == ([60, 40], 1)
    assert (received(ALONE, 1), answering(ALONE)) == ([7], 1)
    assert answering("") == 0


def test_a_ratio_is_taken_within_a_round() -> None:
    """The machine being twice as slow in one round changes no ratio; shares are shown by their extremes."""
    slow = [replace(result, round=2, cpu_ns=2 * result.cpu_ns) for result in (ONE, TWO)]
    assert "| balancer, 512 | **1.10** (1.10–1.10) | 40%–60% |" in table([ONE, TWO, *reversed(slow)])


def test_a_lopsided_run_is_counted() -> None:
    """A run of two in which a worker takes less than 35 % is named in the checksum."""
    assert checksum([ONE, TWO]).endswith("a worker outside 35%–65% in 0 of 1 runs of two")
    assert checksum([TWO, replace(TWO, received=[30, 70])]).endswith("in 1 of 2 runs of two")


@pytest.mark.parametrize("wrong", [{"received": [60, 39]}, {"acked": 99}, {"errors": {"UNAVAILABLE": 1}}])
def test_counts_that_do_not_add_up_are_noticed(wrong: dict[str, object]) -> None:
    """A run is exact only if the workers counted what was sent, and all of it was acknowledged without an error."""
    assert TWO.exact
    assert not replace(TWO, **wrong).exact  # type: ignore[arg-type]


def test_ports_in_a_row_are_free() -> None:
    """A sampler with three workers is given three ports nothing listens on."""
    first = workers.consecutive_ports(3)
    assert 0 < first <= 65535 - 2


@pytest.mark.integration
@pytest.mark.parametrize("tier", ["balancer", "sampler"])
def test_both_tiers_run_under_the_bench(tier: str) -> None:
    """One worker and two take the load of 64 connections, and count exactly what was sent."""
    argv = [sys.executable, "-m", "bench.workers", "--tiny", "--only", tier]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"| {tier}, 32 | **" in done.stdout
