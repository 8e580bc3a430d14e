"""Do we keep the traces that the Collector keeps, under the same policies?

    .venv/bin/python -m bench.parity [--configs 40] [--traces 200] [--seed S] [--judges naive,core] [--tiny]

Random configurations, each a pipeline of one running Collector, get the same random traces, in requests of several traces
each. What the Collector kept is held against what our core decides in this process, in virtual time, and against the naive
evaluator of the tests; the Collector is right. Of every kept trace the deciding policy is compared too. Our core gets its
settings from a file with the very block that the Collector's has. Limiters are given rates of nothing or of plenty, since the
Collector decides the traces of one tick in random order. Not a bench of speed.

We measure a trace as it came, the Collector as it would write it itself: schema URLs lost, empty ids and messages written out.
Differences that are only due to this are counted apart.

Exits with 1 if there is another difference, and with 0, saying so, where there is no Collector.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import grpc
from google.protobuf import text_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans

from bench import subjects
from bench.processes import Child, free_port, running
from bench.sink import SERVICE
from gateway.config import load
from gateway.config.settings import PolicySettings, TailSampling
from gateway.errors import ConfigError
from gateway.kernel.names import Record
from sampler.config import parse
from tests.support import generated
from tests.support.deciding import WAIT, Decider
from tests.support.naive import Naive, Trace, collector_bytes, traces_of

EXPORT = f"/{SERVICE}/Export"
CONTROL = "control"  # a pipeline that keeps everything: shows when the Collector has decided
KEEP_ALL = (PolicySettings("all", "always_sample"),)
REQUESTS = 12
PATIENCE = 30.0
DECISION_WAIT = 5.0  # of the Collector: everything must have been sent within it
QUIET = 2.5  # nothing has come for so long, once the control has decided everything: more than a tick and the exporters' batches
SHOWN = 3  # differences of one configuration and judge that are printed whole
BATCH = {"flush_timeout": "200ms", "min_size": 1_000}
GATE = "processor.tailsamplingprocessor.recordpolicy"

Kept = dict[bytes, str]
"""Trace id to the name of the policy that decided, of traces that are kept."""


class Case(NamedTuple):
    """A configuration under which the traces are decided."""

    name: str
    settings: TailSampling


# ---------------------------------------------------------------- the Collector


class Sink:
    """What the Collector's pipelines export, by their names."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.kept: dict[str, Kept] = {}
        self.last_at = time.monotonic()  # when something came last

    def export(self, request: bytes, context: Any) -> bytes:
        """Note the traces of one request; the answer is a full success."""
        pipeline = dict(context.invocation_metadata())["x-pipeline"]
        with self._lock:
            self.last_at = time.monotonic()
            kept = self.kept.setdefault(pipeline, {})
            for outer in ExportTraceServiceRequest.FromString(request).resource_spans:
                kept |= {span.trace_id: _policy(inner) for inner in outer.scope_spans for span in inner.spans}
        return b""


def _policy(scope_spans: ScopeSpans) -> str:
    """The policy that decided, as the Collector records it."""
    values = [each.value.string_value for each in scope_spans.scope.attributes if each.key == "tailsampling.policy"]
    return "".join(values)


@contextmanager
def sink() -> Iterator[tuple[Sink, int]]:
    """A sink and its port on 127.0.0.1."""
    made = Sink()
    server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.max_receive_message_length", -1),))
    handlers = {"Export": grpc.unary_unary_rpc_method_handler(made.export)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield made, port
    finally:
        server.stop(None)


def block_of(case: Case) -> dict[str, Any]:
    """Its `tail_sampling`, the same for both."""
    return {
        "decision_wait": f"{DECISION_WAIT:g}s",
        "num_traces": 1_000_000,
        "sample_on_first_match": case.settings.sample_on_first_match,
        "policies": [generated.yaml_of(each) for each in case.settings.policies],
    }


def collector_config(cases: Sequence[Case], port: int, sink_port: int) -> dict[str, Any]:
    """All configurations in one Collector, which gives every pipeline a copy of what comes."""
    blocks = {case.name: block_of(case) for case in (*cases, Case(CONTROL, TailSampling(KEEP_ALL)))}
    return {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": f"127.0.0.1:{port}", "max_recv_msg_size_mib": 64}}}},
        "processors": {f"tail_sampling/{name}": block for name, block in blocks.items()},
        "exporters": {
            f"otlp_grpc/{name}": {
                "endpoint": f"127.0.0.1:{sink_port}",
                "compression": "none",
                "tls": {"insecure": True},
                "headers": {"x-pipeline": name},
                "sending_queue": {"enabled": True, "queue_size": 1_000_000, "batch": BATCH},
            }
            for name in blocks
        },
        "service": {
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "error"}},
            "pipelines": {
                f"traces/{name}": {
                    "receivers": ["otlp"],
                    "processors": [f"tail_sampling/{name}"],
                    "exporters": [f"otlp_grpc/{name}"],
                }
                for name in blocks
            },
        },
    }


def collector_kept(binary: str, cases: Sequence[Case], requests: Sequence[bytes], traces: int) -> dict[str, Kept]:
    """What a running Collector keeps, by configuration. Raises ChildError or TimeoutError if it does not start or decide."""
    with sink() as (made, sink_port), tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        port = free_port()
        json.dump(collector_config(cases, port, sink_port), file)
        file.flush()
        with running([binary, "--config", file.name, f"--feature-gates={GATE}"]) as child:
            child.await_port(port)
            _send(f"127.0.0.1:{port}", requests)
            _await(lambda: len(made.kept.get(CONTROL, {})) == traces, child)
            _await(lambda: time.monotonic() - made.last_at > QUIET, child)
        return {case.name: made.kept.get(case.name, {}) for case in cases}


def _send(target: str, requests: Sequence[bytes]) -> None:
    began_at = time.monotonic()
    with grpc.insecure_channel(target) as channel:
        export = channel.unary_unary(EXPORT)
        for request in requests:
            export(request, timeout=PATIENCE)
    if time.monotonic() - began_at > DECISION_WAIT - 0.5:
        raise TimeoutError("the machine is too busy: the Collector may have decided before everything was sent")


def _await(condition: Callable[[], bool], child: Child) -> None:
    give_up_at = time.monotonic() + PATIENCE
    while not condition():
        child.check()
        if time.monotonic() > give_up_at:
            raise TimeoutError("the Collector has not decided everything")
        time.sleep(0.05)


# ---------------------------------------------------------------- the judges


def naive_kept(case: Case, requests: Sequence[bytes], measure: Callable[[Trace], int] = collector_bytes) -> Kept:
    """What the naive evaluator keeps. Traces are decided a second apart, so that none is short of what another took."""
    judge = Naive(case.settings, generated.CONDITIONS, measure)
    kept: Kept = {}
    for second, (trace_id, trace) in enumerate(parsed(requests).items()):
        decision = judge.decide(trace, float(second))
        if decision.keep:
            kept[trace_id] = case.settings.policies[decision.policy].name
    return kept


def core_kept(case: Case, requests: Sequence[bytes]) -> Kept:
    """What our core keeps; its traces are decided apart, too. Raises ConfigError where our file's rules refuse the block."""
    core, records = decided(case, requests)
    decisions = [(record.trace_id, core.decision(record)) for record in records]
    return {trace_id: case.settings.policies[made.policy].name for trace_id, made in decisions if made.keep}


def decided(case: Case, requests: Sequence[bytes]) -> tuple[Decider, list[Record]]:
    """A core with the settings that a file with this block gives, and its decisions."""
    core = Decider(replace(read(case), decision_wait=WAIT))
    for request in requests:
        core.receive(request, 0.0)
    return core, core.decide_apart(2 * WAIT, 1.0)


def read(case: Case) -> TailSampling:
    """The block as our configuration reads it."""
    file = {
        "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:4317"}}}},
        "processors": {"tail_sampling": block_of(case)},
        "exporters": {"debug": {}},
        "service": {
            "pipelines": {"traces": {"receivers": ["otlp"], "processors": ["tail_sampling"], "exporters": ["debug"]}}
        },
    }
    return parse(load([(f"{case.name}.yaml", json.dumps(file))], {})).tail_sampling


def parsed(requests: Sequence[bytes]) -> dict[bytes, Trace]:
    """The traces in order of arrival."""
    return traces_of([ExportTraceServiceRequest.FromString(each) for each in requests])


# ---------------------------------------------------------------- the comparison


class Difference(NamedTuple):
    """A trace that a judge sees otherwise than the Collector: the deciding policies, "" where it is not kept."""

    case: Case
    judge: str
    trace_id: bytes
    collector: str
    judged: str


class Found(NamedTuple):
    """What a judge's comparison came to. `by_size`: how many traces differ only by how they are measured."""

    differences: list[Difference]
    by_size: int
    refused: list[str]  # the configurations our file's rules refuse, and why

    def line(self, judge: str, facts: int) -> str:
        """It in words."""
        agree = facts - len(self.differences) - self.by_size
        cases = len({each.case.name for each in self.differences})
        words = f"{agree} of {facts} agree, {len(self.differences)} differ (in {cases} configurations)"
        return f"  {judge}: {words}, {self.by_size} by their size, {len(self.refused)} configurations refused"


def compare(case: Case, judge: str, collector: Kept, judged: Kept, traces: Iterable[bytes]) -> list[Difference]:
    """The traces of which they differ."""
    pairs = ((each, collector.get(each, ""), judged.get(each, "")) for each in traces)
    return [Difference(case, judge, *pair) for pair in pairs if pair[1] != pair[2]]


def naive_found(cases: Sequence[Case], requests: Sequence[bytes], collector: dict[str, Kept]) -> Found:
    """The naive evaluator against the Collector."""
    traces = parsed(requests)
    found = [compare(case, "naive", collector[case.name], naive_kept(case, requests), traces) for case in cases]
    return Found([each for one in found for each in one], 0, [])


def core_found(cases: Sequence[Case], requests: Sequence[bytes], collector: dict[str, Kept]) -> Found:
    """Our core against the Collector."""
    sizes = {record.trace_id: record.size for record in decided(Case(CONTROL, TailSampling(KEEP_ALL)), requests)[1]}
    found = Found([], 0, [])
    for case in cases:
        try:
            judged = core_kept(case, requests)
        except ConfigError as error:
            found.refused.append(f"{case.name}: {error}")
            continue
        differences = compare(case, "core", collector[case.name], judged, sizes)
        other = _unexplained(differences, case, requests, sizes) if differences else []
        found.differences.extend(other)
        found = found._replace(by_size=found.by_size + len(differences) - len(other))
    return found


def _unexplained(
    differences: Sequence[Difference], case: Case, requests: Sequence[bytes], sizes: Mapping[bytes, int]
) -> list[Difference]:
    """Those that are no matter of size: the naive evaluator does not side with each of the two when it measures as they do."""
    theirs = naive_kept(case, requests)
    ours = naive_kept(case, requests, lambda trace: sizes[trace.trace_id])
    explained = [
        theirs.get(each.trace_id, "") == each.collector and ours.get(each.trace_id, "") == each.judged
        for each in differences
    ]
    return [each for each, known in zip(differences, explained, strict=True) if not known]


JUDGES: Mapping[str, Callable[[Sequence[Case], Sequence[bytes], dict[str, Kept]], Found]] = {
    "naive": naive_found,
    "core": core_found,
}


def show(difference: Difference, requests: Sequence[bytes]) -> str:
    """The difference with its configuration and its trace."""
    settings = difference.case.settings
    policies = [generated.yaml_of(each) for each in settings.policies]
    lines = [
        f"{difference.judge} differs on {difference.trace_id.hex()} under {difference.case.name}: the Collector says "
        f"{difference.collector or 'no'}, it says {difference.judged or 'no'}",
        f"  sample_on_first_match: {settings.sample_on_first_match}",
        *(f"  {json.dumps(each)}" for each in policies),
        *(f"  {line}" for line in _trace_text(difference.trace_id, requests)),
    ]
    return "\n".join(lines)


def _trace_text(trace_id: bytes, requests: Sequence[bytes]) -> Iterator[str]:
    trace = parsed(requests)[trace_id]
    yield f"{collector_bytes(trace)} bytes in the Collector"
    for one in trace.spans:
        part = ResourceSpans(resource=one.resource)
        part.scope_spans.add(scope=one.scope, spans=[one.span])
        yield f"{one.batch}: {text_format.MessageToString(part, as_one_line=True)}"


def cases_of(draw: random.Random, count: int) -> list[Case]:
    """So many configurations, half of them with one policy alone."""
    made = []
    for number in range(count):
        policies = generated.Policies(draw, limits=False).policies(1 if number % 2 else 6)
        first_match = not draw.randrange(4)
        made.append(Case(f"c{number}", TailSampling(policies, decision_wait=WAIT, sample_on_first_match=first_match)))
    return made


def run(binary: str, seed: int, configs: int, traces: int, judges: Sequence[str]) -> int:
    """Compare and print; the number of differences."""
    draw = random.Random(seed)
    cases = cases_of(draw, configs)
    trace_ids = [draw.randbytes(16) for _ in range(traces)]
    requests = [each.SerializeToString() for each in generated.traffic(draw, trace_ids, REQUESTS)]
    kept = collector_kept(binary, cases, requests, traces)
    total = sum(len(kept[case.name]) for case in cases)
    print(f"seed {seed}: {configs} configurations x {traces} traces; the Collector keeps {total} of {configs * traces}")
    found = {judge: JUDGES[judge](cases, requests, kept) for judge in judges}
    for judge, one in found.items():
        print_differences(one, requests)
        print(one.line(judge, (configs - len(one.refused)) * traces), flush=True)
    return sum(len(one.differences) for one in found.values())


def print_differences(found: Found, requests: Sequence[bytes]) -> None:
    """The first ones of each configuration, and the configurations that are refused."""
    shown: dict[str, int] = {}
    for each in found.differences:
        shown[each.case.name] = shown.get(each.case.name, 0) + 1
        if shown[each.case.name] <= SHOWN:
            print(show(each, requests))
    print(*(f"refused: {each}" for each in found.refused), sep="\n", end="\n" if found.refused else "")


def main(argv: Sequence[str] | None = None) -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description="our decisions against a running Collector's")
    parser.add_argument("--configs", type=int, default=40, help="random configurations")
    parser.add_argument("--traces", type=int, default=200, help="random traces")
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same configurations and traces")
    parser.add_argument("--judges", type=lambda text: text.split(","), default=list(JUDGES), help="naive, core or both")
    parser.add_argument("--tiny", action="store_true", help="show that it runs")
    asked = parser.parse_args(argv)
    binary = subjects.collector()
    if not binary:
        print(f"nothing to compare: no {subjects.COLLECTOR_NAME} on PATH and {subjects.COLLECTOR_VARIABLE} not set")
        return 0
    configs, traces = (4, 20) if asked.tiny else (asked.configs, asked.traces)
    return 1 if run(binary, asked.seed, configs, traces, asked.judges) else 0


if __name__ == "__main__":
    sys.exit(main())
