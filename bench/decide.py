"""What does a decision cost, against the number of policies that are asked?

    .venv/bin/python -m bench.decide [--json FILE] [--tiny]

Buffered traces of 8 spans are decided and taken out of the buffer, votes counted and the decision written into the journal, under
policies that all say no, so that every one is asked: the dearest case. With no policy at all it costs what taking out costs; what
is beyond that is the asking. What policies ask of single spans costs nothing here: bench.match has that. Goal: 50 policies on the
same facts cost at most twice what one does. The checksum counts the traces and spans; and under policies that do keep some, every
form must keep the same traces.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from zlib import crc32

from bench import micro, report, workload
from gateway.config.settings import PolicySettings, TailSampling
from gateway.kernel import Kernel
from gateway.kernel.journal import Journal
from sampler.policy.build import build

COUNTS = (0, 1, 10, 50)
NEVER_MS = 10**9  # no trace takes so long
SPANS = 512  # a request
TRACES = {"pure": 128, "compiled": 16_384}
TINY_TRACES = 64
GOAL = 2.0
BYTES_MAX = 2**30
JOURNAL_BYTES = 2**18  # round which every turn goes


@dataclass(frozen=True)
class Result:
    """One form under so many policies of one type."""

    form: str
    type: str
    policies: int
    ns: float  # a trace, decided and taken out
    traces: int
    checksum: int


def policy(type_: str, number: int = 0, **values: object) -> PolicySettings:
    """A policy of this type, so numbered."""
    return PolicySettings(f"{type_} {number}", type_, tuple(values.items()))


def _long(n: int) -> PolicySettings:
    return policy("latency", n, threshold_ms=NEVER_MS + n)


def _composite(n: int) -> PolicySettings:
    long = _long(n)
    return policy(
        "composite",
        n,
        max_total_spans_per_second=1000,
        policy_order=(long.name,),
        composite_sub_policy=(long,),
        rate_allocation=((long.name, 100),),
    )


TYPES: dict[str, Callable[[int], PolicySettings]] = {
    "status_code": lambda n: policy("status_code", n, status_codes=("OK",)),
    "latency": _long,
    "latency, upper bound": lambda n: policy(
        "latency", n, threshold_ms=NEVER_MS + n, upper_threshold_ms=NEVER_MS + n + 1
    ),
    "span_count": lambda n: policy("span_count", n, min_spans=1000 + n),
    "string_attribute": lambda n: policy("string_attribute", n, key="http.request.method", values=(f"no {n}",)),
    "probabilistic": lambda n: policy("probabilistic", n, sampling_percentage=1e-9),
    "probabilistic, a salt each": lambda n: policy("probabilistic", n, sampling_percentage=1e-9, hash_salt=f"salt {n}"),
    "rate_limiting": lambda n: policy("rate_limiting", n, spans_per_second=1, burst_capacity=workload.SPANS_A_TRACE),
    "and": lambda n: policy("and", n, and_sub_policy=(policy("always_sample"), _long(n))),
    "not": lambda n: policy("not", n, not_sub_policy=policy("span_count", min_spans=1)),
    "drop": lambda n: policy("drop", n, drop_sub_policy=(policy("always_sample"), _long(n))),
    "composite": _composite,
    "mixed": lambda n: TYPES[("status_code", "latency", "probabilistic")[n % 3]](n),
}
"""Policy number n of each type; all of them say no to every trace of the workload, but that a limiter's tokens last for one."""

REAL = (
    policy("status_code", status_codes=("ERROR",)),
    policy("latency", threshold_ms=5000),
    policy("probabilistic", sampling_percentage=5.0),
)


class Buffered(NamedTuple):
    """Undecided traces of one form of the kernel, and the program of their policies."""

    traces: object
    program: object

    def decide(self) -> tuple[int, int, list[bytes]]:
        """Decide all: how many traces, spans dropped, ids of the kept."""
        done, dropped, kept = self.traces.decide(self.program, 1, 2**31 - 1, _forget)
        return done, dropped, [one.trace_id for one in kept]


def _forget(trace_id: bytes, keep: bool, note: int) -> None: ...


def fill(kernel: Kernel, policies: Sequence[PolicySettings], requests: Sequence[bytes]) -> Buffered:
    """A buffer with the spans of these requests."""
    built = build(TailSampling(tuple(policies)))
    spans = kernel.Spans(facts=True)
    matcher = kernel.Matcher(built.plan) if built.plan.probes else None
    traces = kernel.Traces(spans, bytes_max=BYTES_MAX, plan=built.plan, matcher=matcher)
    program = kernel.Program([one.node for one in built.policies], built.rules, Journal(len(policies), JOURNAL_BYTES))
    traces.join(program)
    for request in requests:
        spans.read(request)
        if matcher is not None:
            matcher.read(request, spans)
        traces.add(request, 1, lambda trace_id: None)
    return Buffered(traces, program)


def kept(kernel: Kernel, requests: Sequence[bytes]) -> list[bytes]:
    """The traces that are kept under REAL."""
    return fill(kernel, REAL, requests).decide()[2]


def cost(kernel: Kernel, type_: str, count: int, requests: Sequence[bytes], rounds: int) -> Iterator[tuple[float, int]]:
    """(CPU nanoseconds a trace, checksum) of every round."""
    policies = [TYPES[type_](n) for n in range(count)]
    for _ in range(rounds):
        buffered = fill(kernel, policies, requests)
        start = time.process_time_ns()
        traces, dropped, found = buffered.decide()
        spent = time.process_time_ns() - start
        assert len(found) <= 1, "all but the trace that a limiter has tokens for is dropped"
        yield spent / traces, traces + dropped


def measure(kernel: Kernel, type_: str, requests: Sequence[bytes], rounds: int) -> Iterator[Result]:
    """Every number of policies of one type, taking turns."""
    runs = {count: cost(kernel, type_, count, requests, rounds) for count in COUNTS}
    taken = [{count: next(run) for count, run in runs.items()} for _ in range(rounds)]
    traces = len(requests) * SPANS // workload.SPANS_A_TRACE
    for count in COUNTS:
        yield Result(kernel.form, type_, count, min(turn[count][0] for turn in taken), traces, taken[0][count][1])


def table(results: Sequence[Result]) -> str:
    """A row a form and type, a column a number of policies."""
    titles = ["deciding, ns/trace", *(f"{count} policies" for count in COUNTS), f"50 : 1 (goal {GOAL:g})"]
    rows = []
    for form, type_ in dict.fromkeys((r.form, r.type) for r in results):
        costs = {r.policies: r.ns for r in results if (r.form, r.type) == (form, type_)}
        rows.append([f"{form}: {type_}", *(f"{ns:,.0f}" for ns in costs.values()), f"**{costs[50] / costs[1]:.2f}**"])
    return report.markdown(titles, rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    asked = micro.arguments("CPU of a decision", argv)
    told = report.header()
    print(told)
    few = micro.requests_of(SPANS, TINY_TRACES * workload.SPANS_A_TRACE // SPANS)
    micro.agreed({kernel.form: crc32(b"".join(kept(kernel, few))) for kernel in micro.kernels()})
    results: list[Result] = []
    for kernel in micro.kernels():
        traces = TINY_TRACES if asked.tiny else TRACES[kernel.form]
        requests = micro.requests_of(SPANS, traces * workload.SPANS_A_TRACE // SPANS)
        print(f"{kernel.form}: keeps {len(kept(kernel, requests))} of {traces} traces", flush=True)
        for type_ in TYPES:
            results += measure(kernel, type_, requests, asked.rounds)
    print("", table(results), "", f"checksum {sum(r.checksum for r in results)}", sep="\n")
    report.write(asked.json, "decide", told, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
