"""Goals are compared with what was measured, and the whole run works."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench import targets
from bench.subjects import BALANCER, COLLECTOR, FED, FLOOR, GRPCIO, NATIVE, SAMPLER
from bench.targets import CASES, EQUAL, GOALS, equal_table, goal_table, verdicts
from bench.tiers import Case
from tests.bench.test_tiers import RESULT

FIRST = str(CASES[0])
OURS = [
    replace(RESULT, case=FIRST, name=NATIVE, cpu_ns=1000.0),
    replace(RESULT, case=FIRST, name=GRPCIO, cpu_ns=4000.0),
]
THEIRS = replace(RESULT, case=FIRST, name=COLLECTOR, cpu_ns=5000.0)


def test_every_front_has_its_goals() -> None:
    """There is a goal, or none, for every tier, front and load."""
    assert {len(goals) for goals in GOALS.values()} == {len(CASES)}
    assert set(GOALS) == {(tier, name) for tier in (BALANCER, SAMPLER, FED) for name in (NATIVE, GRPCIO)}


def test_a_goal_is_reached_or_it_is_not() -> None:
    """At 32 spans a request a balancer must be 4 times cheaper with native, and 1.3 times with grpcio."""
    found = verdicts([*OURS, THEIRS])
    assert [str(verdict) for verdict in found.values()] == ["**5.00** ≥ 4", "**1.25** < 1.3"]
    assert [verdict.reached for verdict in found.values()] == [True, False]


def test_the_floor_stands_beside_the_goals() -> None:
    """A bare server's cost is shown as the ratio it would reach."""
    bare = replace(RESULT, tier=FLOOR, case=FIRST, name=NATIVE, cpu_ns=500.0)
    assert "| a bare server, native | 10.0 | – |" in goal_table([*OURS, THEIRS, bare])


def test_latency_is_compared_at_an_equal_load() -> None:
    """p99 not worse than the Collector's is a ratio of 1 or more; a balancer buffers nothing."""
    mine, theirs = (replace(r, case=str(EQUAL)) for r in (OURS[0], replace(THEIRS, p99_ms=3.0)))
    assert "| balancer, native | **1.50** ≥ 1 | – | 2 / 3 | 0 / 0 |" in equal_table([mine, theirs], EQUAL)


def test_a_fed_sampler_is_asked_for_where_it_has_a_goal() -> None:
    """Small requests and compressed ones are for samplers that are sent to directly."""
    asked = targets.asks([NATIVE])
    assert [ask.case for ask in asked if ask.tier == FED] == [Case(128, 64), Case(512, 8), Case(8192, 8)]


@pytest.mark.integration
def test_the_whole_run_works(capsys: pytest.CaptureFixture[str]) -> None:
    """A tier, a bare server under the same load and a timetable are measured in one run."""
    assert targets.main(["--tiny", "--subjects", "native"]) == 0
    told = capsys.readouterr().out
    assert "lost 0" in told and "| balancer, native | 32 (64) |" in told and "at 2,000/s" in told
