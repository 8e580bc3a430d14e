"""Does a span cost the sampler the same, however many traces are buffered and however many policies are asked?

    .venv/bin/python -m bench.growth [--traces 10000,100000,500000,2000000] [--json FILE] [--tiny]

The sampler's whole core in this process, in virtual time and a steady state: as many traces are decided as arrive. What it keeps
is exported to somebody who takes everything at once. All the samplers stand filled side by side (2 million traces take 7 GB)
and take turns. Goals: most : least within 1.2 over the buffered traces, 50 policies at most twice one. The kernel's form is the
process's: TAILGATE_PURE=1 for the pure one. The checksum counts the traces decided and the spans exported.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from bench import micro, report, workload
from bench.decide import REAL, TYPES
from gateway import kernel, metrics
from gateway.config.settings import Batch, OtlpClient, OtlpExporter, PolicySettings, TailSampling
from gateway.core import Accepted, Action, Delivered, Received, Reply, Send
from gateway.metrics import Tally
from sampler.sampler import Sampler

WAIT = 10.0  # decision_wait, in virtual seconds
SPANS = 512  # a request
TRACES_A_REQUEST = SPANS // workload.SPANS_A_TRACE
REMEMBERED = 100_000  # decisions of each kind, the same for all; the warm-up fills them
BUFFERED = (10_000, 100_000, 500_000, 2_000_000)
POLICIES = (1, 3, 10, 50)
POLICIES_BUFFERED = 100_000
TURN = 100  # requests
ROUNDS = 31
BUDGET_A_SPAN = 1000  # bytes: room enough, so that nothing is evicted
GOAL_BUFFERED, GOAL_POLICIES = 1.2, 2.0


@dataclass(frozen=True)
class Result:
    """The core with so many traces in it and so many policies. The checksum is (traces decided, spans exported)."""

    form: str
    buffered: int
    policies: int
    ns: float  # a span, the median of the turns
    ratio: float  # to the first of its kind: the median of the turns' ratios
    checksum: tuple[int, int]


class Steady:
    """A sampler's core in virtual time, so fed that about `traces` are in it."""

    def __init__(self, traces: int, policies: Sequence[PolicySettings]) -> None:
        self.traces = traces
        self.policies = len(policies)
        self._tally = Tally()
        settings = TailSampling(
            tuple(policies), WAIT, 4 * traces, sampled_cache_size=REMEMBERED, non_sampled_cache_size=REMEMBERED
        )
        budget = BUDGET_A_SPAN * traces * workload.SPANS_A_TRACE + 2**28
        exporter = OtlpExporter("anybody", OtlpClient())
        self._core = Sampler(settings, [exporter], Batch(), self._tally, budget=budget, alone=True)
        self._now = 0.0
        self._gap = WAIT * TRACES_A_REQUEST / traces

    def feed(self, requests: Sequence[bytes]) -> float:
        """Take these requests as they come, and do all that is due in between; the nanoseconds a span it took."""
        start = time.process_time_ns()
        for request in requests:
            self._now += self._gap
            self._perform(self._core.handle(Received(None, request), self._now))
            while (due_at := self._core.next_deadline()) is not None and due_at <= self._now:
                self._perform(self._core.tick(self._now))
        return (time.process_time_ns() - start) / (len(requests) * SPANS)

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            match action:
                case Send(attempt):
                    self._perform(self._core.handle(Delivered(attempt), self._now))
                case Reply(_, outcome):
                    assert outcome == Accepted(), outcome

    def checksum(self) -> tuple[int, int]:
        """(traces decided, spans exported); asserts that the buffer holds what it should."""
        self._core.publish()
        tally = self._tally
        held = tally.get(metrics.BUFFER_TRACES)
        assert 0.9 * self.traces <= held <= 1.1 * self.traces + 2 * TRACES_A_REQUEST, f"{held} are not {self.traces}"
        received = tally.get(metrics.TRACES_RECEIVED)
        assert tally.get(metrics.TRACES_EVICTED, "bytes") == tally.get(metrics.TRACES_EVICTED, "traces") == 0
        return round(received - held), round(tally.get(metrics.SPANS_EXPORTED, "anybody"))


def compare(cores: Sequence[Steady], source: Iterator[tuple[bytes, int]], asked: object, warm: int) -> list[Result]:
    """Fill all, then let them take turns. Costs are compared within a turn."""
    for core in cores:
        for _ in range(-(-(round(1.05 * core.traces) + warm) // (TRACES_A_REQUEST * TURN))):
            core.feed(_some(source, TURN))
    turns = [[core.feed(_some(source, asked.turn)) for core in cores] for _ in range(asked.rounds)]
    return [
        Result(
            kernel.FORM,
            core.traces,
            core.policies,
            statistics.median(costs),
            statistics.median(cost / turn[0] for cost, turn in zip(costs, turns, strict=True)),
            core.checksum(),
        )
        for core, costs in zip(cores, zip(*turns, strict=True), strict=True)
    ]


def _some(source: Iterator[tuple[bytes, int]], count: int) -> list[bytes]:
    return [request for request, _ in islice(source, count)]


def policies_of(count: int) -> list[PolicySettings]:
    """So many policies that keep the same traces however many they are: one that keeps some, the rest none."""
    return [*REAL[2:], *(TYPES["mixed"](n) for n in range(count - 1))]


def table(results: Sequence[Result], what: str, goal: float) -> str:
    """A row a result, and the ratio that the goal is about."""
    rows = [[f"{getattr(r, what):,}", f"{r.ns:,.0f}", f"{r.ratio:.2f}"] for r in results]
    spread = max(r.ratio for r in results) / min(r.ratio for r in results)
    verdict = f"most : least {spread:.2f}, goal {goal:g}: {'reached' if spread <= goal else 'NOT reached'}"
    return report.markdown([what, "ns/span", "× the first"], rows) + f"\n\n{verdict}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    asked = micro.arguments(
        "growth of a span's cost", argv, ("--traces", str, "", "buffered: 10000,100000"), rounds=ROUNDS
    )
    buffered = [int(word) for word in asked.traces.split(",")] if asked.traces else list(BUFFERED)
    asked.turn, warm, few = TURN, REMEMBERED, POLICIES_BUFFERED
    if asked.tiny:
        buffered, asked.turn, warm, few = [64, 640], 1, 0, 640
    told = f"{report.header()} · kernel {kernel.FORM}"
    print(told, flush=True)
    source = workload.stream(workload.templates(SPANS, distinct_spans=2 * SPANS if asked.tiny else 64 * SPANS))
    by_policies = compare([Steady(few, policies_of(n)) for n in POLICIES], source, asked, warm)
    print("", table(by_policies, "policies", GOAL_POLICIES), "", sep="\n", flush=True)
    by_buffered = compare([Steady(n, REAL) for n in buffered], source, asked, warm)
    print(table(by_buffered, "buffered", GOAL_BUFFERED), "", sep="\n")
    results = [*by_policies, *by_buffered]
    decided, exported = (sum(numbers) for numbers in zip(*(r.checksum for r in results), strict=True))
    print(f"checksum: {decided:,} traces decided, {exported:,} spans exported")
    report.write(asked.json, "growth", told, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
