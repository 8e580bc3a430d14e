"""Does a second worker take its half of the load, and does a span then cost what it cost before?

    .venv/bin/python -m bench.workers [--only balancer|sampler] [--rounds 5] [--spans 32,512] [--workers 2] [--tiny]

One worker and several, alternating, under the same load: 64 connections of two agents, each with one request in flight. The
cost is the CPU time of the subject's whole process tree, parent included, over a window of steady load, divided by the spans
acknowledged in it. Who took how much is read from the subject's own metrics page. Workers of a load balancer share one port and
the kernel chooses; each worker of a sampler has a port of its own, and the load goes to all alike, as a ring does it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))  # so that it also runs as a script

from prometheus_client.parser import text_string_to_metric_families

from bench import processes, subjects
from bench.end_to_end import header
from bench.processes import ROOT, STEADY_HEAP, Child, ChildError, module, running
from bench.subjects import BALANCER, SAMPLER

CONNECTIONS = 64
RECEIVED = "tailgate_spans_received_total"
ANSWERED = "tailgate_worker_up"
CPU_RATIO_MAX = 1.15  # the goals: of a span's CPU with two workers and with one
SHARE_MIN, SHARE_MAX = 0.35, 0.65  # of the load, with two workers


@dataclass(frozen=True)
class Plan:
    """How long and how hard; durations in seconds."""

    warm_up: float
    seconds: float
    decision_wait: float
    distinct_spans: int
    connections: int
    rate: float  # spans/s, 0: as fast as answers come


class Subject(NamedTuple):
    """A tier with so many workers."""

    tier: str
    workers: int


@dataclass(frozen=True)
class Result:
    """One subject under the load, once. `received` is what each worker counted, in order, over the whole load."""

    tier: str
    workers: int
    spans: int  # a request
    round: int
    cpu_ns: float  # a span
    spans_per_second: float
    others_share: float  # of the machine's CPU, spent on what is no part of this bench
    received: list[int]
    sent: int
    acked: int
    errors: dict[str, int]

    @property
    def shares(self) -> list[float]:
        """Each worker's part of the load."""
        return [one / max(1, sum(self.received)) for one in self.received]

    @property
    def exact(self) -> bool:
        """Whether the workers' counts add up to what was sent, and all of it was acknowledged."""
        return sum(self.received) == self.sent == self.acked and not self.errors

    def line(self) -> str:
        """The result for a terminal."""
        shares = " ".join(f"{share:.0%}" for share in self.shares)
        return (
            f"{self.round}  {self.tier:<8}  {self.workers} worker{'s' if self.workers > 1 else ' '}  {self.spans:>4} spans"
            f"  {self.cpu_ns:>7,.0f} ns/span  {self.spans_per_second:>9,.0f} spans/s  others {self.others_share:.0%}"
            f"  shares {shares}  sent {self.sent:,} {'=' if self.exact else '≠'} counted {sum(self.received):,}"
            + (f"  ERRORS {self.errors}" if self.errors else "")
        )


def received(page: str, workers: int) -> list[int]:
    """The spans each worker says it received; a page without the label `worker` is of a process alone."""
    counts = [0] * workers
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            if sample.name == RECEIVED:
                counts[int(sample.labels.get("worker", "0"))] += int(sample.value)
    return counts


def answering(page: str) -> int:
    """How many workers answered for this page."""
    samples = [sample for family in text_string_to_metric_families(page) for sample in family.samples]
    answered = [sample.value for sample in samples if sample.name == ANSWERED]
    return int(sum(answered)) if answered else int(any(sample.name == RECEIVED for sample in samples))


class Running(NamedTuple):
    """A subject that listens on `targets`, one a load process, and counts at `metrics`."""

    child: Child
    targets: list[str]
    metrics: str

    def page(self) -> str:
        """Its metrics page; empty while there is none."""
        with suppress(OSError), urllib.request.urlopen(self.metrics, timeout=processes.START_TIMEOUT) as answer:
            return str(answer.read().decode())
        return ""


@contextmanager
def started(subject: Subject, sinks: list[str], plan: Plan) -> Iterator[Running]:
    """The subject with all its workers listening. Raises ChildError if it does not start."""
    port, metrics = consecutive_ports(subject.workers), processes.free_port()
    environment = {
        "BENCH_LISTEN": f"127.0.0.1:{port}",
        "BENCH_SINK_A": sinks[0],
        "BENCH_SINK_B": sinks[1],
        "BENCH_DECISION_WAIT": f"{round(plan.decision_wait * 1000)}ms",
        "BENCH_METRICS": f"127.0.0.1:{metrics}",
    }
    tier, file = ("loadbalancer", "lb.yaml") if subject.tier == BALANCER else ("sampler", "sampler.yaml")
    configs = [word for name in (file, "metrics.yaml") for word in ("--config", str(ROOT / "bench" / "ours" / name))]
    command = [subjects.tailgate(), tier, *configs, "--workers", str(subject.workers)]
    spread = subject.workers if subject.tier == SAMPLER else 1
    targets = [f"127.0.0.1:{port + agent % spread}" for agent in range(max(2, spread))]
    with running(command, environment) as child:
        ready = Running(child, targets, f"http://127.0.0.1:{metrics}/metrics")
        _await_workers(ready, subject.workers)
        yield ready


def _await_workers(subject: Running, workers: int) -> None:
    give_up_at = time.monotonic() + processes.START_TIMEOUT
    while answering(subject.page()) < workers:
        subject.child.check()
        if time.monotonic() > give_up_at:
            raise subject.child.failure(f"has not {workers} workers that answer")
        time.sleep(0.05)


def consecutive_ports(count: int) -> int:
    """The first of `count` ports in a row that nothing listens on at this moment."""
    while True:
        first = processes.free_port()
        with ExitStack() as stack, suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first


def measure(subject: Subject, spans: int, at_round: int, plan: Plan, sinks: list[str]) -> Result:
    """Start the subject, load it, stop it. Raises ChildError if a process fails."""
    with started(subject, sinks, plan) as ready, ExitStack() as stack:
        loads = [
            stack.enter_context(running(_load(plan, subject.tier, spans, target, seed, ready), STEADY_HEAP, talks=True))
            for seed, target in enumerate(ready.targets, 1)
        ]
        start = _opened(loads, ready.child.pid)
        stop = _opened(loads, ready.child.pid)
        ready.child.check()
        done = [load.read() for load in loads]
        counts = received(ready.page(), subject.workers)
    acked = sum(one["spans"] for one in done)
    seconds = statistics.mean(one["seconds"] for one in done)
    cpu, bench, machine = (after - before for before, after in zip(start, stop, strict=True))
    errors = {name: sum(one["errors"].get(name, 0) for one in done) for one in done for name in one["errors"]}
    return Result(
        tier=subject.tier,
        workers=subject.workers,
        spans=spans,
        round=at_round,
        cpu_ns=cpu / max(1, acked) * 1e9,
        spans_per_second=acked / seconds,
        others_share=max(0.0, (machine - bench) / (seconds * (os.cpu_count() or 1))),
        received=counts,
        sent=sum(one["sent"] for one in done),
        acked=sum(one["acked"] for one in done),
        errors=errors,
    )


def _opened(loads: list[Child], pid: int) -> tuple[float, float, float]:
    """Wait until every load has opened, or closed, its window; CPU seconds so far of the subject, the bench, the machine."""
    for load in loads:
        load.read()
    return processes.cpu_seconds(pid), processes.cpu_seconds(os.getpid()), processes.busy_seconds()


def _load(plan: Plan, tier: str, spans: int, target: str, seed: int, subject: Running) -> list[str]:
    agents = len(subject.targets)
    connections = plan.connections // agents
    numbers: dict[str, Any] = {
        "--spans": spans,
        "--in-flight": connections,
        "--connections": connections,
        "--rate": plan.rate / agents,
        "--warm-up": plan.warm_up + (1.2 * plan.decision_wait if tier == SAMPLER else 0.0),
        "--seconds": plan.seconds,
        "--distinct-spans": plan.distinct_spans,
        "--seed": seed,
    }
    return module("load", "--target", target, *(str(word) for pair in numbers.items() for word in pair))


def rounds(plan: Plan, asked: argparse.Namespace) -> Iterator[Result]:
    """Each tier and size of request, one worker and several, `asked.rounds` times, taking turns in who goes first."""
    tiers = [asked.only] if asked.only else [BALANCER, SAMPLER]
    with running(module("sink"), talks=True) as first, running(module("sink"), talks=True) as second:
        sinks = [f"127.0.0.1:{sink.read()['port']}" for sink in (first, second)]
        for at_round in range(1, asked.rounds + 1):
            for tier in tiers:
                for spans in asked.spans:
                    order = (1, asked.workers) if at_round % 2 else (asked.workers, 1)
                    for workers in order:
                        yield measure(Subject(tier, workers), spans, at_round, plan, sinks)


def table(results: list[Result]) -> str:
    """The ratios of several workers to one as Markdown: the median of the rounds' ratios, and the range of the shares."""
    lines = [
        "| tier, spans a request | CPU a span, several : one (range) | share of a worker, least–most | CPU ns/span, one / several"
        " | spans/s, one / several |",
        "|---|---|---|---|---|",
    ]
    for tier, spans in dict.fromkeys((r.tier, r.spans) for r in results):
        mine = [r for r in results if (r.tier, r.spans) == (tier, spans)]
        one, several = [r for r in mine if r.workers == 1], [r for r in mine if r.workers > 1]
        ratios = [b.cpu_ns / a.cpu_ns for a, b in zip(one, several, strict=False)]
        shares = [share for r in several for share in r.shares]
        if not ratios:
            continue
        costs, rates = (
            " / ".join(f"{statistics.median(getattr(r, name) for r in some):,.0f}" for some in (one, several))
            for name in ("cpu_ns", "spans_per_second")
        )
        lines.append(
            f"| {tier}, {spans} | **{statistics.median(ratios):.2f}** ({min(ratios):.2f}–{max(ratios):.2f})"
            f" | {min(shares):.0%}–{max(shares):.0%} | {costs} | {rates} |"
        )
    return "\n".join(lines)


def checksum(results: list[Result]) -> str:
    """What became of the spans, in one line."""
    sent, counted = sum(r.sent for r in results), sum(sum(r.received) for r in results)
    lopsided = [r for r in results if r.workers == 2 and not all(SHARE_MIN <= s <= SHARE_MAX for s in r.shares)]
    pairs = sum(r.workers == 2 for r in results)
    return (
        f"accounting: sent {sent:,}, counted by the workers {counted:,}, acknowledged {sum(r.acked for r in results):,};"
        f" a worker outside {SHARE_MIN:.0%}–{SHARE_MAX:.0%} in {len(lopsided)} of {pairs} runs of two"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="CPU a span and shares of the load, one worker beside several")
    parser.add_argument("--only", choices=(BALANCER, SAMPLER), help="one tier")
    parser.add_argument("--workers", type=int, default=2, help="how many are compared with one")
    parser.add_argument("--spans", type=lambda text: [int(t) for t in text.split(",")], help="a request: 32,512")
    parser.add_argument("--rounds", type=int, default=0)
    parser.add_argument("--seconds", type=float, help="of each measured window")
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--rate", type=float, default=0.0, help="spans/s on a timetable instead of a closed loop")
    parser.add_argument("--json", type=Path, help="where to write every single result")
    parser.add_argument("--tiny", action="store_true", help="shows that it runs, not what it costs")
    asked = parser.parse_args()
    asked.rounds = asked.rounds or (1 if asked.tiny else 5)
    asked.spans = asked.spans or ([32] if asked.tiny else [32, 512])
    return asked


def _plan(asked: argparse.Namespace) -> Plan:
    warm_up, seconds, wait, distinct = (0.1, 0.2, 0.2, 1024) if asked.tiny else (1.5, 5.0, 2.0, 32_768)
    return Plan(warm_up, asked.seconds or seconds, wait, distinct, asked.connections, asked.rate)


def main() -> int:
    """Measure, print the ratios; 1 if a process failed or the workers' counts do not add up to what was sent."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds, and so stops the children
    print(header(), flush=True)
    results: list[Result] = []
    failed = False
    try:
        for result in rounds(_plan(asked), asked):
            print(result.line(), flush=True)
            results.append(result)
    except ChildError as error:
        failed = True
        print(error, file=sys.stderr)
    print("", table(results), "", checksum(results), sep="\n")
    if asked.json:
        asked.json.write_text(json.dumps([asdict(r) for r in results], indent=1))
    return 1 if failed or not all(result.exact for result in results) else 0


if __name__ == "__main__":
    sys.exit(main())
