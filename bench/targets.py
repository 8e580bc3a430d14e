"""Are the goals reached: what a span costs in each tier beside the Collector's, with both of our gRPC fronts?

    .venv/bin/python -m bench.targets [--rounds 2] [--seconds 3] [--json FILE] [--tiny]

Ours and the Collector's under the same loads, alternating, and in the same run bare servers that do nothing else: what there is
between a cell and the bare server below it is what a better program on a server of that kind could still win. Two rounds take
about 20 minutes. decision_wait is 4 s on both sides. Last, latency and memory at an equal load. Of a fed sampler the front is
that of the balancer before it: the hop between our tiers is OTLP/HTTP (ours/lb.yaml).
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Sequence
from typing import NamedTuple

from bench import report, subjects
from bench.subjects import BALANCER, COLLECTOR, FED, FLOOR, FLOORS, GRPCIO, NATIVE, OURS, SAMPLER, Subject
from bench.tiers import (
    Ask,
    Case,
    Plan,
    Result,
    cases,
    checksum,
    floor_table,
    median,
    parser,
    plan_of,
    ratios,
    run,
    stop_children_when_terminated,
    table,
)

PLAN = Plan(warm_up=1.0, seconds=3.0, decision_wait=4.0, connections=4, distinct_spans=16_384)
CASES = cases("32x64,128x64,512x8,512x8z,8192x8")
EQUAL = Case(128, 64, rate=40_000)
P99_GOAL, MEMORY_GOAL = 1.0, 6.0  # at that load
TINY_EQUAL = Case(32, 8, rate=2_000)

# Collector : ours, by front, in the order of CASES.
GOALS: dict[tuple[str, str], tuple[float | None, ...]] = {
    (BALANCER, NATIVE): (4, 4, 5, 4, 4.5),
    (BALANCER, GRPCIO): (1.3, 2, 3, 2, 3),
    (SAMPLER, NATIVE): (6, 14, 14, 12, 16),
    (SAMPLER, GRPCIO): (1.8, 5, 7, 6, 10),
    (FED, NATIVE): (None, 14, 14, None, 16),
    (FED, GRPCIO): (None, 8, 8, None, 10),
}


class Verdict(NamedTuple):
    """A ratio, the median of the rounds, beside its goal."""

    ratio: float
    goal: float

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.ratio >= self.goal

    def __str__(self) -> str:
        return f"**{self.ratio:.2f}** {'≥' if self.reached else '<'} {self.goal:g}"


def verdicts(results: Sequence[Result]) -> dict[tuple[str, str, Case], Verdict]:
    """Every goal of which there are results, by tier, front and load."""
    found = {}
    for (tier, name), goals in GOALS.items():
        for case, goal in zip(CASES, goals, strict=True):
            taken = ratios(results, str(case), Subject(tier, COLLECTOR), Subject(tier, name))
            if goal is not None and taken:
                found[tier, name, case] = Verdict(statistics.median(taken), goal)
    return found


def goal_table(results: Sequence[Result]) -> str:
    """The goals and what was reached, and the ratios that bare servers reach under the same load."""
    reached = verdicts(results)
    rows = []
    for tier in (BALANCER, SAMPLER, FED):
        for name in OURS:
            rows.append([f"{tier}, {name}", *(str(reached.get((tier, name, case), "–")) for case in CASES)])
        if tier != FED:  # a bare server that is fed would have to be fed by something
            for name in FLOORS:
                peers = [ratios(results, str(c), Subject(tier, COLLECTOR), Subject(FLOOR, name)) for c in CASES]
                rows.append(
                    [f"a bare server, {name}", *(f"{statistics.median(some):.1f}" if some else "–" for some in peers)]
                )
    return report.markdown(["CPU a span, Collector : ours", *map(str, CASES)], rows)


def equal_table(results: Sequence[Result], case: Case) -> str:
    """At an equal load: p99 of acknowledgements, which is to be no worse, and a sampler's memory in its steady state."""
    rows = []
    for tier in (BALANCER, SAMPLER):
        peer = Subject(tier, COLLECTOR)
        for mine in (Subject(tier, name) for name in OURS):
            found = ratios(results, str(case), peer, mine, "p99_ms")
            memory = ratios(results, str(case), peer, mine, "buffered_bytes")
            verdicts_of = [
                str(Verdict(statistics.median(some), goal)) if some else "–"
                for some, goal in ((found, P99_GOAL), (memory, MEMORY_GOAL))
            ]
            both = [
                " / ".join(median(results, str(case), one, of) for one in (mine, peer))
                for of in ("p99_ms", "buffered_bytes")
            ]
            rows.append([f"{tier}, {mine.name}", *verdicts_of, *both])
    titles = ["p99", "memory a buffered span", "p99 ms, ours / Collector", "bytes a buffered span, ours / Collector"]
    return report.markdown([f"{case} spans, Collector : ours", *titles], rows)


def asks(names: Sequence[str]) -> list[Ask]:
    """All comparisons: a load's tiers and bare servers side by side in time, the timetable last."""
    made = []
    for case in CASES:
        made += [Ask(BALANCER, case, names), Ask(SAMPLER, case, names)]
        if GOALS[FED, NATIVE][CASES.index(case)] is not None:
            made.append(Ask(FED, case, names))
        made.append(Ask(FLOOR, case, FLOORS))
    return made + [Ask(tier, EQUAL, names) for tier in (BALANCER, SAMPLER)]


def tiny_asks(names: Sequence[str]) -> list[Ask]:
    """One of each kind."""
    return [Ask(BALANCER, CASES[0], names), Ask(FLOOR, CASES[0], [NATIVE]), Ask(SAMPLER, TINY_EQUAL, names)]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a process failed or an acknowledged span was lost. A goal that is missed is no failure."""
    asked = parser("the goals, and whether they are reached").parse_args(argv)
    told = report.header()
    print(told, flush=True)
    names = subjects.there(asked.subjects.split(","))
    asked_for, equal, usual = (tiny_asks(names), TINY_EQUAL, 1) if asked.tiny else (asks(names), EQUAL, 2)
    results, good = run(plan_of(asked, PLAN), asked_for, asked.rounds or usual)
    saturated = [r for r in results if r.case != str(equal)]
    print("", goal_table(saturated), "", equal_table(results, equal), sep="\n")
    print("", table(results), "", floor_table(saturated), "", checksum(results), sep="\n")
    reached = verdicts(saturated).values()
    print(f"{sum(verdict.reached for verdict in reached)} of {len(reached)} goals are reached")
    report.write(asked.json, "targets", told, results)
    return 0 if good else 1


if __name__ == "__main__":
    stop_children_when_terminated()
    sys.exit(main())
