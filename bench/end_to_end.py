"""What does a span cost in each tier, ours and the Collector's? Answered in the same run, alternating, on the same load.

    .venv/bin/python -m bench.end_to_end [--only balancer|sampler] [--rounds 3] [--floor] [--tiny]

The cost is the CPU time of the subject's whole process tree over a window of steady load, divided by the spans acknowledged in
it. Everything acknowledged by a load balancer must have arrived at the samplers behind it: the run fails if it did not.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that it also runs as a script

from bench import processes, subjects
from bench.processes import STEADY_HEAP, Child, ChildError, module, running
from bench.subjects import BALANCER, COLLECTOR, FLOOR, FLOORS, OURS, SAMPLER, Subject

MB = 1e6


class Case(NamedTuple):
    """A load: requests of `spans` spans, so many in flight, written 512x8, or 512x8z with gzip."""

    spans: int
    in_flight: int
    gzip: bool = False

    @classmethod
    def parse(cls, text: str) -> Case:
        """Raises ValueError if the text is not a load."""
        spans, in_flight = text.removesuffix("z").split("x")
        return cls(int(spans), int(in_flight), text.endswith("z"))

    def __str__(self) -> str:
        return f"{self.spans}{' gzip' if self.gzip else ''} ({self.in_flight})"


CASES = (Case(32, 64), Case(512, 8), Case(8192, 8))
TINY_CASES = (Case(32, 8), Case(512, 2))


@dataclass(frozen=True)
class Plan:
    """How long and how hard: seconds, and spans/s (0: as fast as answers come)."""

    warm_up: float
    seconds: float
    decision_wait: float
    rate: float
    connections: int
    distinct_spans: int

    def warm_up_of(self, tier: str) -> float:
        """A sampler is in its steady state only once traces are being decided as fast as they come."""
        return self.warm_up + (1.2 * self.decision_wait if tier == SAMPLER else 0.0)


@dataclass(frozen=True)
class Result:
    """One subject under one load, once. `acked` and `arrived` count the whole load, the rest the measured window."""

    tier: str
    name: str
    case: str
    round: int
    spans_per_second: float
    cpu_ns: float  # a span
    p50_ms: float
    p99_ms: float
    resident_before: int
    resident: int
    decision_wait: float
    others_share: float  # of the machine's CPU, spent on what is no part of this bench
    exported_share: float  # spans that arrived behind the subject for each one acknowledged
    acked: int
    arrived: int
    rejected: int
    errors: dict[str, int]

    @property
    def lost(self) -> int:
        """Spans a balancer acknowledged that no sampler got; a sampler drops on purpose."""
        return max(0, self.acked - self.arrived) if self.tier == BALANCER else 0

    @property
    def buffered_bytes(self) -> float:
        """Resident memory for each span a sampler holds, which are those of the last `decision_wait`; 0 for other tiers."""
        held = self.spans_per_second * self.decision_wait
        return (self.resident - self.resident_before) / held if self.tier == SAMPLER and held else 0.0

    def line(self) -> str:
        """The result for a terminal."""
        fate = f"{self.exported_share:.1%} kept"
        if self.tier == BALANCER:
            fate = f"acked {self.acked:,} {'=' if self.acked == self.arrived else '≠'} arrived {self.arrived:,}"
        return (
            f"{self.round}  {self.tier:<8}  {self.case:>13}  {self.name:<9}  {self.cpu_ns:>7,.0f} ns/span"
            f"  {self.spans_per_second:>9,.0f} spans/s  p50 {self.p50_ms:>6.1f}  p99 {self.p99_ms:>6.1f} ms"
            f"  RSS {self.resident_before / MB:>4,.0f} → {self.resident / MB:>5,.0f} MB  others {self.others_share:.0%}"
            + ("" if self.tier == FLOOR else f"  {fate}")
            + (f"  rejected {self.rejected:,}" if self.rejected else "")
            + (f"  ERRORS {self.errors}" if self.errors else "")
        )


class Reading(NamedTuple):
    """The machine at one instant."""

    subject: float  # CPU seconds so far
    bench: float
    machine: float
    arrived: int


class Bench:
    """The two sinks, standing as long as the run, and a subject and a load at a time before them."""

    def __init__(self, plan: Plan, sinks: tuple[Child, Child]) -> None:
        self._plan = plan
        self._sinks = sinks
        first, second = (f"127.0.0.1:{sink.read()['port']}" for sink in sinks)
        self._addresses = (first, second)

    def measure(self, subject: Subject, case: Case, at_round: int) -> Result:
        """Start the subject, load it, stop it. Raises ChildError if a process fails."""
        arrived = self._arrived()
        with subjects.started(subject, self._addresses, self._plan.decision_wait) as started:
            pid = started.child.pid
            resident_before = processes.resident_bytes(pid)
            with running(self._load(started.target, subject.tier, case), STEADY_HEAP, talks=True) as load:
                load.read()
                start = self._reading(pid)
                load.read()
                started.child.check()
                stop = self._reading(pid)
                resident = processes.resident_bytes(pid)
                done = load.read()
            arrived = self._arrived() - arrived
        memory = {"resident_before": resident_before, "resident": resident, "decision_wait": self._plan.decision_wait}
        return _result(subject, case, at_round, start, stop, done, memory, arrived)

    def _load(self, target: str, tier: str, case: Case) -> list[str]:
        plan = self._plan
        numbers = {
            "--spans": case.spans,
            "--in-flight": case.in_flight,
            "--connections": min(plan.connections, case.in_flight),
            "--rate": plan.rate,
            "--warm-up": plan.warm_up_of(tier),
            "--seconds": plan.seconds,
            "--distinct-spans": plan.distinct_spans,
        }
        flags = [str(word) for pair in numbers.items() for word in pair]
        return module("load", "--target", target, *flags, *(["--gzip"] if case.gzip else []))

    def _arrived(self) -> int:
        return sum(sink.ask()["spans"] for sink in self._sinks)

    def _reading(self, pid: int) -> Reading:
        subject = processes.cpu_seconds(pid)
        bench = processes.cpu_seconds(os.getpid())
        return Reading(subject, bench, processes.busy_seconds(), self._arrived())


def _result(
    subject: Subject,
    case: Case,
    at_round: int,
    start: Reading,
    stop: Reading,
    done: dict[str, Any],
    memory: dict[str, Any],
    arrived: int,
) -> Result:
    spans = max(1, done["spans"])
    cpu = stop.subject - start.subject
    # Everything a bench starts is a child of it, so its tree holds the subject and the load as well.
    others = (stop.machine - start.machine) - (stop.bench - start.bench)
    return Result(
        tier=subject.tier,
        name=subject.name,
        case=str(case),
        round=at_round,
        spans_per_second=done["spans"] / done["seconds"],
        cpu_ns=cpu / spans * 1e9,
        p50_ms=done["p50_ms"],
        p99_ms=done["p99_ms"],
        **memory,
        others_share=max(0.0, others / (done["seconds"] * (os.cpu_count() or 1))),
        exported_share=(stop.arrived - start.arrived) / spans,
        acked=done["acked"],
        arrived=arrived,
        rejected=done["rejected"],
        errors=done["errors"],
    )


@contextmanager
def standing(plan: Plan) -> Iterator[Bench]:
    """A bench with its sinks running."""
    with (
        running(module("sink"), STEADY_HEAP, talks=True) as first,
        running(module("sink"), STEADY_HEAP, talks=True) as second,
    ):
        yield Bench(plan, (first, second))


def rounds(bench: Bench, tiers: list[str], names: list[str], cases: list[Case], count: int) -> Iterator[Result]:
    """Every tier under every load, `count` times, the subjects taking turns in who goes first."""
    for at_round in range(1, count + 1):
        for tier in tiers:
            for case in cases:
                order = list(FLOORS) if tier == FLOOR else names
                for name in order if at_round % 2 else reversed(order):
                    yield bench.measure(Subject(tier, name), case, at_round)


_TITLES = (
    "tier",
    "spans a request (in flight)",
    "CPU a span, Collector : ours (range)",
    "p99, Collector : ours",
    "RSS, Collector : ours",
    "RSS a buffered span, Collector : ours",
    "CPU ns/span ours / Collector",
    "spans/s ours / Collector",
    "p99 ms ours / Collector",
    "RSS MB ours / Collector",
)
_COLUMNS = (("cpu_ns", 1.0), ("spans_per_second", 1.0), ("p99_ms", 1.0), ("resident", MB))


def table(results: list[Result]) -> str:
    """The medians as Markdown, ratios first. A ratio is the median of the rounds' ratios: what changes on the machine
    between two rounds then changes no ratio."""
    lines = [f"| {' | '.join(_TITLES)} |", "|---" * len(_TITLES) + "|"]
    for tier, case in dict.fromkeys((r.tier, r.case) for r in results if r.tier != FLOOR):
        ours, theirs = ([r for r in results if (r.tier, r.case, r.name) == (tier, case, n)] for n in (OURS, COLLECTOR))
        cells = [tier, case, _ratio(ours, theirs, "cpu_ns", spread=True)]
        cells += [_ratio(ours, theirs, name) for name in ("p99_ms", "resident", "buffered_bytes")]
        cells += [f"{_median(ours, name, f)} / {_median(theirs, name, f)}" for name, f in _COLUMNS]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def floor_table(results: list[Result]) -> str:
    """The bare servers' medians as Markdown."""
    cases = list(dict.fromkeys(r.case for r in results if r.tier == FLOOR))
    lines = [f"| bare server, CPU ns/span | {' | '.join(cases)} |", "|---" * (len(cases) + 1) + "|"]
    for name in FLOORS:
        taken = [[r for r in results if (r.tier, r.name, r.case) == (FLOOR, name, case)] for case in cases]
        lines.append(f"| grpcio {name} | {' | '.join(_median(some, 'cpu_ns', 1) for some in taken)} |")
    return "\n".join(lines)


def _median(results: list[Result], name: str, unit: float) -> str:
    return f"{statistics.median(getattr(r, name) / unit for r in results):,.0f}" if results else "–"


def _ratio(ours: list[Result], theirs: list[Result], name: str, *, spread: bool = False) -> str:
    pairs = zip(ours, theirs, strict=False)
    ratios = [getattr(b, name) / getattr(a, name) for a, b in pairs if getattr(a, name)]
    if not ratios:
        return "–"
    return f"**{statistics.median(ratios):.2f}**" + (f" ({min(ratios):.2f}–{max(ratios):.2f})" if spread else "")


def checksum(results: Iterable[Result]) -> str:
    """What became of the spans, in one line."""
    mine = [r for r in results if r.tier == BALANCER]
    acked, arrived, lost = sum(r.acked for r in mine), sum(r.arrived for r in mine), sum(r.lost for r in mine)
    return f"accounting, balancer: acknowledged {acked:,}, arrived at the samplers {arrived:,}, lost {lost:,}"


def header() -> str:
    """What the results belong to: commit, date, machine."""
    asked = {"commit": ["rev-parse", "--short", "HEAD"], "changed": ["status", "--porcelain", "--untracked-files=no"]}
    git = {}
    for key, words in asked.items():
        done = subprocess.run(["git", *words], cwd=processes.ROOT, capture_output=True, text=True, check=False)
        git[key] = done.stdout.strip()
    return (
        f"commit {git['commit'] or 'unknown'}{' with changes' if git['changed'] else ''} · {time.strftime('%Y-%m-%d %H:%M')}"
        f" · {os.cpu_count()} cores · Python {platform.python_version()} · load average {os.getloadavg()[0]:.1f} at the start"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU, latency and memory of each tier, beside the Collector's")
    parser.add_argument("--only", choices=(BALANCER, SAMPLER), help="one tier")
    parser.add_argument("--subjects", default=f"{OURS},{COLLECTOR}", help="who is measured")
    parser.add_argument("--floor", action="store_true", help="measure the bare servers instead")
    parser.add_argument(
        "--cases", type=lambda text: [Case.parse(t) for t in text.split(",")], help="32x64,512x8,512x8z"
    )
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--seconds", type=float, help="of each measured window")
    parser.add_argument("--rate", type=float, default=0.0, help="spans/s on a timetable instead of a closed loop")
    parser.add_argument("--decision-wait", type=float, help="seconds")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--json", type=Path, help="where to write every single result")
    parser.add_argument(
        "--tiny", action="store_true", help="windows of a fifth of a second: shows that it runs, not what it costs"
    )
    return parser.parse_args()


def _plan(asked: argparse.Namespace) -> Plan:
    defaults = (0.1, 0.2, 0.2, 1024) if asked.tiny else (2.0, 6.0, 10.0, 32_768)
    warm_up, seconds, wait, distinct = defaults
    return Plan(warm_up, asked.seconds or seconds, asked.decision_wait or wait, asked.rate, asked.connections, distinct)


def _names(asked: argparse.Namespace) -> list[str]:
    names = [name for name in asked.subjects.split(",") if name in (OURS, COLLECTOR)]
    if COLLECTOR in names and not asked.floor and subjects.collector() is None:
        names.remove(COLLECTOR)
        print(
            f"the Collector is left out: no {subjects.COLLECTOR_NAME} on PATH and {subjects.COLLECTOR_VARIABLE} not set"
        )
    return names


def main() -> int:
    """Measure, print the medians; 1 if a process failed or an acknowledged span was lost."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, and so stops the children
    tiers = [FLOOR] if asked.floor else [asked.only] if asked.only else [BALANCER, SAMPLER]
    cases = asked.cases or list(TINY_CASES if asked.tiny else CASES)
    print(header())
    results: list[Result] = []
    failed = False
    try:
        with standing(_plan(asked)) as bench:
            for result in rounds(bench, tiers, _names(asked), cases, asked.rounds or (1 if asked.tiny else 3)):
                print(result.line(), flush=True)
                results.append(result)
    except ChildError as error:
        failed = True
        print(error, file=sys.stderr)
    print("", floor_table(results) if asked.floor else table(results), sep="\n")
    if BALANCER in tiers:
        print("", checksum(results), sep="\n")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(r) for r in results], indent=1))
    return 1 if failed or any(r.lost for r in results) else 0


if __name__ == "__main__":
    sys.exit(main())
