"""Are the counts right that a backend computes of what is kept?

    .venv/bin/python -m bench.probability [--traces 20000] [--rounds 50] [--subjects core,model] [--json FILE] [--tiny]

With `tracestate: true` every kept span states a threshold, and stands for 2^56 / (2^56 - threshold) spans. Here a population
with known numbers passes the sampler's whole core in virtual time, over and over with other trace ids; what is exported is read
as a backend would, and the sum for each service compared with the truth. `model` is the same by bench.consistent, without bytes.

Mean error and standard deviation are in per cent of the truth, z is the mean error in standard errors: beyond ±4 it is no
accident, and the run fails. A kept span that states nothing fails it too. The checksum counts traces and kept spans.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench import micro, population, report
from bench.consistent import Model
from bench.population import Population, Trace
from gateway.config.settings import Batch, OtlpClient, OtlpExporter, PolicySettings, TailSampling
from gateway.core import Accepted, Action, Delivered, Received, Reply, Send
from gateway.metrics import Tally
from sampler.sampler import Sampler
from sampler.tracestate import NEVER, threshold_in, threshold_of

TRACES, ROUNDS = 20_000, 50  # a round: a million of a mix together
TINY_TRACES, TINY_ROUNDS = 300, 3
TRACES_A_REQUEST = 40
WAIT = 1.0  # decision_wait, in virtual seconds
Z_MAX = 4.0
ALL = "all"

Counts = dict[str, float]
"""Spans by service."""


class UnstatedError(Exception):
    """A kept span states no threshold."""


@dataclass(frozen=True)
class Mix:
    """Policies, and what comes to them: `head` per cent of all, with explicit randomness or with that of the ids."""

    name: str
    policies: tuple[PolicySettings, ...]
    head: float = 100.0
    explicit: bool = False
    semantics: str = "parity"
    honest: bool = True  # False: outside of what can be stated, shown for what it does


@dataclass(frozen=True)
class Result:
    """One service of one mix, over all rounds. Errors are shares of the truth."""

    subject: str
    mix: str
    honest: bool
    service: str
    true: float  # a round
    estimated: float
    kept: float  # the share of its spans
    error: float
    deviation: float
    z: float

    def row(self) -> list[str]:
        """For the table."""
        numbers = [f"{self.true:,.0f}", f"{self.estimated:,.0f}", f"{self.kept:.2%}"]
        shares = [f"{self.error:+.3%}", f"{self.deviation:.3%}", f"{self.z:+.2f}"]
        return [self.subject, self.mix, self.service, *numbers, *shares]


def _policy(name: str, type_: str, **values: object) -> PolicySettings:
    return PolicySettings(name, type_, tuple(values.items()))


def _some(percentage: float) -> PolicySettings:
    return _policy(f"{percentage:g} %", "probabilistic", sampling_percentage=float(percentage))


def _limit(spans: int) -> PolicySettings:
    return _policy(f"{spans}/s", "rate_limiting", spans_per_second=spans)


def _of(services: tuple[str, ...], part: PolicySettings) -> PolicySettings:
    of = _policy("of", "string_attribute", key="service.name", values=services)
    return _policy(f"{part.name} of {services[0]}", "and", and_sub_policy=(of, part))


_ERRORS = _policy("errors", "status_code", status_codes=("ERROR",))
_SLOW = _policy("slow", "latency", threshold_ms=1000)
_BY_SERVICE = (_of(("payment", "checkout"), _some(50)), _of(("search",), _some(5)), _some(2))

MIXES = (
    Mix("1 %", (_some(1),)),
    Mix("10 %", (_some(10),)),
    Mix("50 %", (_some(50),)),
    Mix("10 % by rv", (_some(10),), explicit=True),
    Mix("errors, slow, 5 %", (_ERRORS, _SLOW, _some(5))),
    Mix("head 25 %, then 10 %", (_some(10),), head=25.0),
    Mix("head 25 % by rv, then errors, 50 %", (_ERRORS, _some(50)), head=25.0, explicit=True),
    Mix("50 % and 5 % by service, 2 %", _BY_SERVICE),
    Mix("1500 spans/s", (_limit(1500),)),
    Mix("errors, 5 %, 1500 spans/s", (_ERRORS, _some(5), _limit(1500))),
    Mix("the same, strict", (_ERRORS, _some(5), _limit(1500)), semantics="strict"),
    Mix("head 25 %, then 1500 spans/s", (_limit(1500),), head=25.0),
    Mix("1000 spans/s of search, 5 %", (_of(("search",), _limit(1000)), _some(5))),
    Mix("100 spans/s, a trace up to 20", (_limit(100),), honest=False),
)
"""What is estimated. 2000 traces of 5 spans come a second."""


# ---------------------------------------------------------------- who keeps


class Core:
    """The sampler, in virtual time. What it exports is read by whoever runs it."""

    def __init__(self, mix: Mix) -> None:
        settings = TailSampling(mix.policies, WAIT, 10**6, tracestate=True, semantics=mix.semantics)
        exporter = OtlpExporter("backend", OtlpClient())
        self._core = Sampler(settings, [exporter], Batch(), Tally(), budget=2**30, alone=True)
        self._exported: list[bytes] = []

    def run(self, arrivals: Iterator[Trace]) -> Iterator[bytes]:
        """The requests that it exports."""
        now = 0.0
        for traces in _groups(arrivals, TRACES_A_REQUEST):
            now = traces[-1].at
            self._pass(now)
            request = b"".join([trace.encode() for trace in traces])
            self._perform(self._core.handle(Received(None, request), now), now)
            yield from self._take()
        self._pass(now + 2 * WAIT)
        yield from self._take()

    def _pass(self, until: float) -> None:
        """Let time pass."""
        while (due_at := self._core.next_deadline()) is not None and due_at <= until:
            self._perform(self._core.tick(due_at), due_at)

    def _take(self) -> list[bytes]:
        taken, self._exported = self._exported, []
        return taken

    def _perform(self, actions: list[Action], now: float) -> None:
        for action in actions:
            match action:
                case Send(attempt, request=request):
                    self._exported.append(request)
                    self._perform(self._core.handle(Delivered(attempt), now), now)
                case Reply(_, outcome):
                    assert outcome == Accepted(), outcome


def by_core(mix: Mix, arrivals: Iterator[Trace]) -> tuple[Counts, Counts]:
    """(estimated, kept) spans of what the sampler keeps."""
    return counted(stated(Core(mix).run(arrivals)))


def by_model(mix: Mix, arrivals: Iterator[Trace]) -> tuple[Counts, Counts]:
    """(estimated, kept) spans of what the model keeps."""
    head = threshold_of(mix.head)
    model = Model(mix.policies)
    kept = ((trace, max(threshold, head)) for trace, threshold in model.run(arrivals))
    return counted((name, count, at) for trace, at in kept for name, count in trace.shape.spans.items())


SUBJECTS: dict[str, Callable[[Mix, Iterator[Trace]], tuple[Counts, Counts]]] = {"core": by_core, "model": by_model}


# ---------------------------------------------------------------- what a backend sees


def stated(requests: Iterable[bytes]) -> Iterator[tuple[str, int, int]]:
    """Every span of these requests as (service, 1, threshold). Raises UnstatedError."""
    for request in requests:
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
            service = resource.resource.attributes[0].value.string_value
            for span in [span for scope in resource.scope_spans for span in scope.spans]:
                threshold = threshold_in(span.trace_state.encode())
                if threshold is None:
                    raise UnstatedError(f"a kept span of {service} has the tracestate {span.trace_state!r}")
                yield service, 1, threshold


def counted(spans: Iterable[tuple[str, int, int]]) -> tuple[Counts, Counts]:
    """(estimated, kept) spans by service, of (service, spans, threshold)."""
    estimated: Counts = dict.fromkeys([ALL, "frontend", *population.CALLED], 0.0)
    kept = dict(estimated)
    for service, count, threshold in spans:
        for name in (service, ALL):
            estimated[name] += count * NEVER / (NEVER - threshold)
            kept[name] += count
    return estimated, kept


# ---------------------------------------------------------------- comparing


def measure(subject: str, mix: Mix, traces: int, rounds: int) -> list[Result]:
    """All rounds of one mix."""
    head = threshold_of(mix.head)
    shapes = population.shapes(1, head=head, explicit=mix.explicit)
    rows: list[tuple[Counter[str], Counts, Counts]] = []
    for seed in range(rounds):
        people = Population(shapes, traces, seed, head=head, explicit=mix.explicit)
        estimated, kept = SUBJECTS[subject](mix, people.arrivals())
        truth = people.truth()
        truth[ALL] = truth.total()
        rows.append((truth, estimated, kept))
    return [_result(subject, mix, service, rows) for service in rows[0][1]]


def _result(subject: str, mix: Mix, service: str, rows: Sequence[tuple[Counter[str], Counts, Counts]]) -> Result:
    numbers = [(truth[service], estimated[service], kept[service]) for truth, estimated, kept in rows]
    true, estimated, kept = (statistics.fmean(column) for column in zip(*numbers, strict=True))
    errors = [guess / fact - 1 for fact, guess, _ in numbers]
    error, deviation = statistics.fmean(errors), statistics.stdev(errors)
    return Result(
        subject,
        mix.name,
        mix.honest,
        service,
        true,
        estimated,
        kept / true,
        error,
        deviation,
        in_standard_errors(error, deviation, len(numbers)),
    )


def in_standard_errors(error: float, deviation: float, rounds: int) -> float:
    """How many standard errors the mean of so many rounds is off; what is off by rounding alone is not."""
    if abs(error) < 1e-9:
        return 0.0
    return error / (deviation / math.sqrt(rounds)) if deviation else math.copysign(math.inf, error)


def table(results: Sequence[Result]) -> str:
    """A row a service of a mix."""
    titles = ["", "policies", "service", "true spans", "estimated", "kept", "mean error", "deviation", "z"]
    return report.markdown(titles, [result.row() for result in results])


def verdict(results: Sequence[Result]) -> tuple[bool, str]:
    """Whether every estimate that should be right is, and by how much the worst is off."""
    judged = [result for result in results if result.honest]
    worst = max(judged, key=lambda result: abs(result.z))
    right = abs(worst.z) <= Z_MAX
    where = f"{worst.subject}, {worst.mix}, {worst.service}"
    return right, f"worst z {worst.z:+.2f} of {len(judged)} ({where}): {'no bias' if right else 'BIASED'}"


def _groups(traces: Iterator[Trace], size: int) -> Iterator[list[Trace]]:
    group: list[Trace] = []
    for trace in traces:
        group.append(trace)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if an estimate is biased."""
    asked = micro.arguments(
        "estimated against true counts",
        argv,
        ("--traces", int, TRACES, "a round"),
        ("--subjects", str, "core,model", "who keeps"),
        ("--mixes", str, "", "numbers of mixes, from 0: 0,4,9"),
        rounds=ROUNDS,
    )
    if asked.tiny:
        asked.traces, asked.rounds = TINY_TRACES, TINY_ROUNDS
    mixes = [MIXES[int(number)] for number in asked.mixes.split(",")] if asked.mixes else MIXES
    told = f"{report.header()} · {asked.rounds} rounds of {asked.traces:,} traces"
    print(told, flush=True)
    results: list[Result] = []
    for mix in mixes:
        for subject in asked.subjects.split(","):
            results += measure(subject, mix, asked.traces, asked.rounds)
            print(*results[-len(population.CALLED) - 2].row(), flush=True)
    right, said = verdict(results)
    print("", table(results), "", said, "", sep="\n")
    kept = sum(result.kept * result.true for result in results if result.service == ALL)
    traces = asked.traces * asked.rounds * len(mixes)
    print(f"checksum: {traces:,} traces, {kept * asked.rounds:,.0f} spans kept")
    report.write(asked.json, "probability", told, results)
    return 0 if right or asked.tiny else 1


if __name__ == "__main__":
    sys.exit(main())
