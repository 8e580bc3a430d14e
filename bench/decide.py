"""What does a decision cost, against the number of policies that are asked?

    .venv/bin/python -m bench.decide [--json FILE] [--tiny]

Buffered traces of 8 spans are decided and taken out of the buffer, under policies that all say no, so that every one is asked:
the dearest case. With no policy at all it costs what taking out costs; what is beyond that is the asking. Goal: 50 policies on
the same facts cost at most twice what one does. The checksum counts the traces and spans; and under policies that do keep
some, each form must keep the traces that the policies' own votes keep.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench import facts, micro, report, workload
from gateway.config.settings import PolicySettings
from gateway.kernel import Kernel
from gateway.otlp.facts import Facts
from sampler.policy import Policy, decide, marks_of
from sampler.policy.build import build_policies

COUNTS = (0, 1, 3, 10, 50)
NEVER_MS = 10**9  # no trace takes so long
SPANS = 512  # a request
TRACES = {"pure": 512, "compiled": 16_384}
TINY_TRACES = 64
GOAL = 2.0
BYTES_MAX = 2**30


@dataclass(frozen=True)
class Result:
    """One form under so many policies of one type."""

    form: str
    type: str
    policies: int
    ns: float  # a trace, decided and taken out
    traces: int
    checksum: int


def _policy(name: str, type_: str, **values: object) -> PolicySettings:
    return PolicySettings(name, type_, tuple(values.items()))


TYPES: dict[str, Callable[[int], PolicySettings]] = {
    "status_code": lambda n: _policy(f"p{n}", "status_code", status_codes=("OK",)),
    "latency": lambda n: _policy(f"p{n}", "latency", threshold_ms=NEVER_MS + n),
    "latency, upper bound": lambda n: _policy(
        f"p{n}", "latency", threshold_ms=NEVER_MS + n, upper_threshold_ms=NEVER_MS + n + 1
    ),
    "probabilistic": lambda n: _policy(f"p{n}", "probabilistic", sampling_percentage=1e-9),
    "probabilistic, a salt each": lambda n: _policy(
        f"p{n}", "probabilistic", sampling_percentage=1e-9, hash_salt=f"salt {n}"
    ),
    "mixed": lambda n: TYPES[("status_code", "latency", "probabilistic")[n % 3]](n),
}
"""Policy number n of each type; all of them say no to every trace of the workload."""

REAL = (
    _policy("errors", "status_code", status_codes=("ERROR",)),
    _policy("slow", "latency", threshold_ms=5000),
    _policy("some", "probabilistic", sampling_percentage=5.0),
)


class Buffered(NamedTuple):
    """Undecided traces of one form of the kernel, and the program of their policies."""

    traces: object
    program: object

    def decide(self) -> tuple[int, int, list[bytes]]:
        """Decide all: how many traces, spans dropped, ids of the kept."""
        done, dropped, kept = self.traces.decide(self.program, 1, 2**31 - 1, _forget, [0] * 64)
        return done, dropped, [one.trace_id for one in kept]


def _forget(trace_id: bytes, keep: bool) -> None: ...


def fill(kernel: Kernel, policies: Sequence[Policy], requests: Sequence[bytes]) -> Buffered:
    """A buffer with the spans of these requests."""
    marks = marks_of(policies)
    spans = kernel.Spans(facts=True)
    traces = kernel.Traces(spans, bytes_max=BYTES_MAX, traces_max=10**6, intervals=list(marks))
    for request in requests:
        spans.read(request)
        traces.add(request, 1, lambda trace_id: None)
    return Buffered(traces, kernel.Program([policy.test(marks) for policy in policies]))


def voted(policies: Sequence[Policy], requests: Sequence[bytes]) -> list[bytes]:
    """The traces that the policies' votes keep, in order of arrival; facts by the official classes."""
    known: dict[bytes, Facts] = {}
    for trace_id, _, status, start, end in (fact for request in requests for fact in facts.decoded(request)):
        was = known.get(trace_id, Facts(start_min=start))
        first, last = min(was.start_min, start), max(was.end_max, end)
        known[trace_id] = was._replace(
            start_min=first,
            end_max=last,
            duration_max=max(was.duration_max, last - first),
            statuses=was.statuses | 1 << status,
        )
    return [trace_id for trace_id, found in known.items() if decide(policies, found, trace_id).keep]


def check(kernel: Kernel, requests: Sequence[bytes]) -> int:
    """How many traces are kept under REAL. Raises DisagreementError unless they are those of the votes."""
    policies = build_policies(REAL)
    kept = fill(kernel, policies, requests).decide()[2]
    expected = voted(policies, requests)
    if kept != expected:
        raise micro.DisagreementError(f"{kernel.form} keeps {len(kept)} traces, the votes {len(expected)}, or others")
    return len(kept)


def cost(kernel: Kernel, type_: str, count: int, requests: Sequence[bytes], rounds: int) -> Iterator[tuple[float, int]]:
    """(CPU nanoseconds a trace, checksum) of every round."""
    policies = build_policies([TYPES[type_](n) for n in range(count)])
    for _ in range(rounds):
        buffered = fill(kernel, policies, requests)
        start = time.process_time_ns()
        traces, dropped, kept = buffered.decide()
        spent = time.process_time_ns() - start
        assert not kept
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
    results: list[Result] = []
    for kernel in micro.kernels():
        traces = TINY_TRACES if asked.tiny else TRACES[kernel.form]
        requests = micro.requests_of(SPANS, traces * workload.SPANS_A_TRACE // SPANS)
        print(f"{kernel.form}: keeps {check(kernel, requests)} of {traces} traces, as the votes do", flush=True)
        for type_ in TYPES:
            results += measure(kernel, type_, requests, asked.rounds)
    print("", table(results), "", f"checksum {sum(r.checksum for r in results)}", sep="\n")
    report.write(asked.json, "decide", told, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
