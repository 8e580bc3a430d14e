"""What does a buffered span take of a sampler's memory, and what is given back when a burst has been decided?

    .venv/bin/python -m bench.memory [--traces 2000000] [--burst 200000] [--json FILE] [--tiny]

Resident memory of the running process before and after exactly so many traces of 8 spans of 350 bytes, none of them decided yet;
the growth divided by the spans. Ours and the Collector's take the same burst, and are looked at again when it has been decided;
ours then takes --traces at once (2 million: 16 million spans, 6 GB). Nothing may have left the sampler before it is looked at,
and every span must have been acknowledged: else the bench fails. The checksum counts them.
A heap that is collected holds more in a steady state, when what was decided still lies about: bench.targets compares both then.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bench import processes, report, subjects, workload
from bench.processes import STEADY_HEAP, Child, ChildError, module, running
from bench.subjects import COLLECTOR, NATIVE, OURS, SAMPLER, Running, Subject
from bench.tiers import MB, stop_children_when_terminated

SPANS, IN_FLIGHT = 512, 8  # a request, and requests
TRACES_MAX = 2_000_000  # num_traces in ours/ and peer/
GOAL = 6.0  # Collector : ours, a buffered span


@dataclass(frozen=True)
class Result:
    """One sampler with so many spans in it. `after` is when all have been decided, 0 if nobody waited for that."""

    name: str
    traces: int
    spans: int
    before: int
    full: int
    after: int
    exported: int

    @property
    def a_span(self) -> float:
        """Bytes for each buffered span."""
        return (self.full - self.before) / self.spans

    def row(self) -> list[str]:
        """For the table."""
        after = f"{self.after / MB:,.0f} MB ({(self.after - self.before) / (self.full - self.before):.0%})"
        sizes = [f"{size / MB:,.0f} MB" for size in (self.before, self.full)]
        return [self.name, f"{self.traces:,}", *sizes, f"**{self.a_span:,.0f}**", after if self.after else "–"]


class Times(NamedTuple):
    """Seconds: decision_wait for a burst and for the whole, longer than their traces take to come; and to settle after that."""

    burst: float
    whole: float
    settle: float


USUAL, TINY = Times(60.0, 1200.0, 30.0), Times(1.5, 60.0, 1.0)


class Bench:
    """The backend behind every sampler that is measured."""

    def __init__(self, sink: Child) -> None:
        self._sink = sink
        self._address = f"127.0.0.1:{sink.read()['port']}"

    def measure(self, name: str, traces: int, wait: float, settle: float | None = None) -> Result:
        """Fill one sampler; with `settle`, wait for its decisions and so much longer. Raises ChildError if it fails, or holds
        something else than it should."""
        exported = self._sink.ask()["spans"]
        with subjects.started(Subject(SAMPLER, name), (self._address, self._address), wait) as started:
            pid = started.child.pid
            before = processes.resident_bytes(pid)
            spans = _fill(started, traces)
            full = processes.resident_bytes(pid)
            if self._sink.ask()["spans"] > exported:
                raise started.child.failure(
                    f"has decided some of {traces} traces already: it was too slow for {wait} s"
                )
            after = 0
            if settle is not None:
                time.sleep(wait + settle)
                started.child.check()
                after = processes.resident_bytes(pid)
            exported = self._sink.ask()["spans"] - exported
            if settle is not None and not exported:
                raise started.child.failure("has exported nothing of what it should have decided by now")
        return Result(name, traces, spans, before, full, after, exported)


def _fill(started: Running, traces: int) -> int:
    """Send so many traces; the spans, all of which were acknowledged. Raises ChildError if they were not."""
    requests = -(-traces * workload.SPANS_A_TRACE // SPANS)
    numbers = {"--spans": SPANS, "--in-flight": IN_FLIGHT, "--requests": requests, "--distinct-spans": 16_384}
    flags = [str(word) for pair in numbers.items() for word in pair]
    with running(module("load", "--target", started.target, *flags), STEADY_HEAP, talks=True) as load:
        load.read()
        load.read()
        done = load.read()
    if done["acked"] != requests * SPANS:
        raise started.child.failure(f"acknowledged {done['acked']} of {requests * SPANS} spans: {done['errors']}")
    return requests * SPANS


def measurements(bench: Bench, names: Sequence[str], asked: argparse.Namespace, times: Times) -> Iterator[Result]:
    """A burst for each, then ours with all there is to be."""
    for name in names:
        yield bench.measure(name, asked.burst, times.burst, times.settle)
    for name in (name for name in names if name in OURS):
        yield bench.measure(name, asked.traces, times.whole)


def table(results: Sequence[Result]) -> str:
    """A row a measurement; then the ratio that the goal is about, of our fullest sampler."""
    titles = [
        "sampler",
        "traces",
        "RSS before",
        "RSS with them",
        "bytes a buffered span",
        "RSS when decided (of the growth)",
    ]
    whole = report.markdown(titles, [result.row() for result in results])
    theirs = [r.a_span for r in results if r.name == COLLECTOR]
    ours = [r.a_span for r in results if r.name in OURS]
    if not theirs or not ours:
        return whole
    ratio = theirs[0] / ours[-1]
    return f"{whole}\n\nCollector : ours {ratio:.1f}, goal {GOAL:g}: {'reached' if ratio >= GOAL else 'NOT reached'}"


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="a sampler's memory for each buffered span")
    parser.add_argument("--traces", type=int, default=TRACES_MAX, help=f"in ours, {TRACES_MAX} at most")
    parser.add_argument("--burst", type=int, default=200_000, help="traces that both take")
    parser.add_argument("--subjects", default=f"{NATIVE},{COLLECTOR}", help="who is measured")
    parser.add_argument("--json", type=Path, help="where to write every single result")
    parser.add_argument("--tiny", action="store_true", help="a few hundred traces: shows that it runs")
    asked = parser.parse_args(argv)
    if asked.traces > TRACES_MAX:
        parser.error(f"num_traces is {TRACES_MAX}: with more traces some would be decided early")
    if asked.tiny:
        asked.traces = asked.burst = 640
    return asked


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a process failed."""
    asked = _arguments(argv)
    told = report.header()
    print(told, flush=True)
    results: list[Result] = []
    failed = False
    with running(module("sink"), STEADY_HEAP, talks=True) as sink:
        try:
            names = subjects.there(asked.subjects.split(","))
            for result in measurements(Bench(sink), names, asked, TINY if asked.tiny else USUAL):
                print(" ".join(result.row()), flush=True)
                results.append(result)
        except ChildError as error:
            failed = True
            print(error, file=sys.stderr)
    print("", table(results), "", sep="\n")
    print(f"checksum: {sum(r.spans for r in results):,} spans held, {sum(r.exported for r in results):,} exported")
    report.write(asked.json, "memory", told, results)
    return 1 if failed else 0


if __name__ == "__main__":
    stop_children_when_terminated()
    sys.exit(main())
