"""Tiers under load through the network, ours and the Collector's in one run, alternating: shared by the benches that ask for it.

The cost is the CPU time of the subject's whole process tree over a window of steady load, divided by the spans acknowledged in
it. Everything acknowledged by a load balancer must have arrived at the samplers behind it. Which tiers and loads are asked for,
and what the goals are, is not known here.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from bench import processes, report, subjects
from bench.processes import STEADY_HEAP, Child, ChildError, module, running
from bench.subjects import BALANCER, COLLECTOR, FED, FLOOR, FLOORS, OURS, SAMPLER, Subject

MB = 1e6


class Case(NamedTuple):
    """A load: requests of `spans` spans, so many in flight, written 512x8, or 512x8z with gzip.

    With a `rate` (spans/s) they leave on a timetable; without, as fast as answers come.
    """

    spans: int
    in_flight: int
    gzip: bool = False
    rate: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Case:
        """Raises ValueError if the text is not a load."""
        spans, in_flight = text.removesuffix("z").split("x")
        return cls(int(spans), int(in_flight), text.endswith("z"))

    def __str__(self) -> str:
        timetable = f" at {self.rate:,.0f}/s" if self.rate else ""
        return f"{self.spans}{' gzip' if self.gzip else ''} ({self.in_flight}){timetable}"


@dataclass(frozen=True)
class Plan:
    """How long and how hard; durations in seconds."""

    warm_up: float
    seconds: float
    decision_wait: float
    connections: int
    distinct_spans: int

    def warm_up_of(self, tier: str) -> float:
        """A sampler is in its steady state only once traces are being decided as fast as they come."""
        return self.warm_up + (1.2 * self.decision_wait if tier in (SAMPLER, FED) else 0.0)


LONG = Plan(warm_up=2.0, seconds=6.0, decision_wait=10.0, connections=4, distinct_spans=32_768)
TINY = Plan(warm_up=0.1, seconds=0.2, decision_wait=0.2, connections=4, distinct_spans=1024)
TINY_CASES = (Case(32, 8),)


@dataclass(frozen=True)
class Result:
    """One subject under one load, once. `acked` and `arrived` count the whole load, the rest the measured window."""

    tier: str
    name: str
    case: str
    spans: int  # a request of the load
    round: int
    spans_per_second: float  # that the subject took
    cpu_ns: float  # a span
    p50_ms: float
    p99_ms: float
    resident_before: int
    resident: int
    decision_wait: float
    others_share: float  # of the machine's CPU, spent on what is no part of this bench
    exported_share: float  # spans that arrived behind the subject for each one it took
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
        held = self.spans_per_second * self.decision_wait if self.tier in (SAMPLER, FED) else 0.0
        return (self.resident - self.resident_before) / held if held else 0.0

    def line(self) -> str:
        """The result for a terminal."""
        fate = f"{self.exported_share:.1%} kept"
        if self.tier == BALANCER:
            fate = f"acked {self.acked:,} {'=' if self.acked == self.arrived else '≠'} arrived {self.arrived:,}"
        return (
            f"{self.round}  {self.tier:<12}  {self.case:>13}  {self.name:<9}  {self.cpu_ns:>7,.0f} ns/span"
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
    arrived: tuple[int, int]  # at each sink


class Bench:
    """The two sinks, standing as long as the run, and a subject and a load at a time before them."""

    def __init__(self, plan: Plan, sinks: tuple[Child, Child]) -> None:
        self._plan = plan
        self._sinks = sinks
        first, second = (f"127.0.0.1:{sink.read()['port']}" for sink in sinks)
        self._addresses = (first, second)

    def measure(self, subject: Subject, case: Case, at_round: int) -> Result:
        """Start the subject, load it, stop it. Raises ChildError if a process fails."""
        before = self._arrived()
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
            after = self._arrived()
        arrived = (after[0] - before[0], after[1] - before[1])
        memory = {"resident_before": resident_before, "resident": resident, "decision_wait": self._plan.decision_wait}
        return _result(subject, case, at_round, (start, stop), done, memory, arrived)

    def _load(self, target: str, tier: str, case: Case) -> list[str]:
        plan = self._plan
        numbers = {
            "--spans": case.spans,
            "--in-flight": case.in_flight,
            "--connections": min(plan.connections, case.in_flight),
            "--rate": case.rate,
            "--warm-up": plan.warm_up_of(tier),
            "--seconds": plan.seconds,
            "--distinct-spans": plan.distinct_spans,
        }
        flags = [str(word) for pair in numbers.items() for word in pair]
        return module("load", "--target", target, *flags, *(["--gzip"] if case.gzip else []))

    def _arrived(self) -> tuple[int, int]:
        first, second = self._sinks
        return first.ask()["spans"], second.ask()["spans"]

    def _reading(self, pid: int) -> Reading:
        subject = processes.cpu_seconds(pid)
        bench = processes.cpu_seconds(os.getpid())
        return Reading(subject, bench, processes.busy_seconds(), self._arrived())


def _result(
    subject: Subject,
    case: Case,
    at_round: int,
    window: tuple[Reading, Reading],
    done: dict[str, Any],
    memory: dict[str, Any],
    arrived: tuple[int, int],
) -> Result:
    start, stop = window
    # Of what a fed sampler's balancer is sent, what does not arrive at the second sink goes to the sampler.
    share = 1 - arrived[1] / max(1, done["acked"]) if subject.tier == FED else 1.0
    spans = max(1.0, done["spans"] * share)
    # Everything a bench starts is a child of it, so its tree holds the subject and the load as well.
    others = (stop.machine - start.machine) - (stop.bench - start.bench)
    exported = stop.arrived[0] - start.arrived[0] + (0 if subject.tier == FED else stop.arrived[1] - start.arrived[1])
    return Result(
        tier=subject.tier,
        name=subject.name,
        case=str(case),
        spans=case.spans,
        round=at_round,
        spans_per_second=spans / done["seconds"],
        cpu_ns=(stop.subject - start.subject) / spans * 1e9,
        p50_ms=done["p50_ms"],
        p99_ms=done["p99_ms"],
        **memory,
        others_share=max(0.0, others / (done["seconds"] * (os.cpu_count() or 1))),
        exported_share=exported / spans,
        acked=done["acked"],
        arrived=sum(arrived),
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


class Ask(NamedTuple):
    """A comparison: this tier under this load, of all these."""

    tier: str
    case: Case
    names: Sequence[str]


def rounds(bench: Bench, asked: Sequence[Ask], count: int) -> Iterator[Result]:
    """Every comparison `count` times, the subjects taking turns in who goes first."""
    for at_round in range(1, count + 1):
        for tier, case, names in asked:
            for name in names if at_round % 2 else reversed(names):
                yield bench.measure(Subject(tier, name), case, at_round)


# ---------------------------------------------------------------- what came of it


def ratios(results: Sequence[Result], case: str, peer: Subject, mine: Subject, of: str = "cpu_ns") -> list[float]:
    """peer : mine, a ratio a round: what changes on the machine between two rounds then changes no ratio."""
    values = {(r.tier, r.name, r.round): getattr(r, of) for r in results if r.case == case}
    pairs = [(values.get((*peer, at)), values.get((*mine, at))) for at in sorted({r.round for r in results})]
    return [theirs / ours for theirs, ours in pairs if theirs and ours]


_TITLES = (
    "tier, front",
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


def table(results: Sequence[Result]) -> str:
    """The medians as Markdown, ratios first; a ratio is the median of the rounds' ratios."""
    rows = []
    for tier, case in dict.fromkeys((r.tier, r.case) for r in results if r.tier != FLOOR):
        peer = Subject(tier, COLLECTOR)
        taken = {r.name for r in results if (r.tier, r.case) == (tier, case)}
        for mine in (Subject(tier, name) for name in OURS if name in taken):
            cells = [f"{tier}, {mine.name}", case, _ratio(ratios(results, case, peer, mine), spread=True)]
            cells += [_ratio(ratios(results, case, peer, mine, of)) for of in ("p99_ms", "resident", "buffered_bytes")]
            cells += [
                f"{median(results, case, mine, of, f)} / {median(results, case, peer, of, f)}" for of, f in _COLUMNS
            ]
            rows.append(cells)
    return report.markdown(_TITLES, rows)


def floor_table(results: Sequence[Result]) -> str:
    """The bare servers' medians as Markdown; empty if there are none."""
    cases = list(dict.fromkeys(r.case for r in results if r.tier == FLOOR))
    rows = [[name, *(median(results, case, Subject(FLOOR, name), "cpu_ns") for case in cases)] for name in FLOORS]
    return report.markdown(["bare server, CPU ns/span", *cases], rows) if cases else ""


def median(results: Sequence[Result], case: str, subject: Subject, of: str, unit: float = 1.0) -> str:
    """The median of the rounds, in words."""
    values = [getattr(r, of) / unit for r in results if (r.tier, r.name, r.case) == (*subject, case)]
    return f"{statistics.median(values):,.0f}" if values else "–"


def _ratio(found: Sequence[float], *, spread: bool = False) -> str:
    if not found:
        return "–"
    return f"**{statistics.median(found):.2f}**" + (f" ({min(found):.2f}–{max(found):.2f})" if spread else "")


def checksum(results: Iterable[Result]) -> str:
    """What became of the spans, in one line."""
    mine = [r for r in results if r.tier == BALANCER]
    acked, arrived, lost = sum(r.acked for r in mine), sum(r.arrived for r in mine), sum(r.lost for r in mine)
    return f"accounting, balancer: acknowledged {acked:,}, arrived at the samplers {arrived:,}, lost {lost:,}"


# ---------------------------------------------------------------- the command line


def cases(text: str) -> list[Case]:
    """Loads such as 32x64,512x8z. Raises ValueError."""
    return [Case.parse(word) for word in text.split(",")]


def parser(question: str) -> argparse.ArgumentParser:
    """The options that all these benches have."""
    made = argparse.ArgumentParser(description=question)
    made.add_argument("--subjects", default=",".join((*OURS, COLLECTOR)), help="who is measured")
    made.add_argument("--rounds", type=int, help="3")
    made.add_argument("--seconds", type=float, help="of each measured window")
    made.add_argument("--decision-wait", type=float, help="seconds")
    made.add_argument("--connections", type=int)
    made.add_argument("--json", type=Path, help="where to write every single result")
    made.add_argument("--tiny", action="store_true", help="short windows: shows that it runs, not what it costs")
    return made


def plan_of(asked: argparse.Namespace, usual: Plan = LONG) -> Plan:
    """The plan, changed as the options say."""
    wanted = {name: getattr(asked, name) for name in ("seconds", "decision_wait", "connections")}
    return replace(TINY if asked.tiny else usual, **{name: value for name, value in wanted.items() if value})


def run(plan: Plan, asks: Sequence[Ask], count: int) -> tuple[list[Result], bool]:
    """Measure, printing every result; what there is, and whether nothing failed and no acknowledged span was lost."""
    results: list[Result] = []
    try:
        with standing(plan) as bench:
            for result in rounds(bench, asks, count):
                print(result.line(), flush=True)
                results.append(result)
    except ChildError as error:
        print(error, file=sys.stderr)
        return results, False
    return results, not any(r.lost for r in results)


def stop_children_when_terminated() -> None:
    """SIGTERM unwinds this process, and so stops what it has started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def command(name: str, question: str, usual: dict[str, Sequence[Case]], argv: Sequence[str] | None = None) -> int:
    """A whole bench: these tiers under these loads. 1 if a process failed or an acknowledged span was lost."""
    options = parser(question)
    options.add_argument("--only", choices=tuple(usual), help="one tier")
    options.add_argument("--floor", action="store_true", help="bare servers that take the bytes and answer, too")
    options.add_argument("--cases", type=cases, help="32x64,512x8,512x8z")
    options.add_argument("--rate", type=float, default=0.0, help="spans/s on a timetable instead of a closed loop")
    asked = options.parse_args(argv)
    told = report.header()
    print(told, flush=True)
    names = subjects.there(asked.subjects.split(","))
    tiers = [asked.only] if asked.only else list(usual)
    loads = {tier: asked.cases or (TINY_CASES if asked.tiny else usual[tier]) for tier in tiers}
    if asked.floor:
        loads[FLOOR] = list(dict.fromkeys(case for tier in tiers for case in loads[tier]))
    asks = [
        Ask(tier, case._replace(rate=asked.rate), FLOORS if tier == FLOOR else names)
        for tier, some in loads.items()
        for case in some
    ]
    results, good = run(plan_of(asked), asks, asked.rounds or (1 if asked.tiny else 3))
    print("", table(results), "", floor_table(results), checksum(results), sep="\n")
    report.write(asked.json, name, told, results)
    return 0 if good else 1
