"""Policies over a cluster of real processes: what is kept, what is recorded on it, what is told of it, and how it is counted."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from tests.integration.cluster import Cluster
from tests.integration.processes import http_get
from tests.integration.traffic import SCOPE, SERVICES, probabilistic_keeps, span_bytes

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

BURST = 8  # spans that the limiter of each sampler ever keeps: it is not refilled
SHARE = 50  # spans a second of each of the composite's two policies
TAIL_SAMPLING = f"""    recordpolicy: true
    policies:
      - {{name: tenants, type: string_attribute, string_attribute: {{key: tenant, values: [gold]}}}}
      - name: failures
        type: ottl_condition
        ottl_condition:
          error_mode: ignore
          span: ['attributes["http.status_code"] >= 500 and resource.attributes["service.name"] == "pay"']
          spanevent: ['name == "exception"']
      - name: limited
        type: and
        and:
          and_sub_policy:
            - {{name: lane, type: string_attribute, string_attribute: {{key: lane, values: [limited]}}}}
            - {{name: at-most, type: rate_limiting, rate_limiting: {{spans_per_second: 0, burst_capacity: {BURST}}}}}
      - name: probes
        type: drop
        drop: {{drop_sub_policy: [{{name: path, type: string_attribute, string_attribute: {{key: path, values: [/health]}}}}]}}
      - name: budget
        type: composite
        composite:
          max_total_spans_per_second: {2 * SHARE}
          policy_order: [first, second]
          composite_sub_policy:
            - {{name: first, type: string_attribute, string_attribute: {{key: lane, values: [first]}}}}
            - {{name: second, type: string_attribute, string_attribute: {{key: lane, values: [second]}}}}
          rate_allocation: [{{policy: first, percent: 50}}, {{policy: second, percent: 50}}]
      - {{name: a-few, type: probabilistic, probabilistic: {{sampling_percentage: 5}}}}
"""
POLICIES = ("tenants", "failures", "limited", "probes", "budget", "a-few")
SHOP, PAY = SERVICES[0], SERVICES[2]
EXCEPTION = Event("exception", {"exception.type": "IOError"})

# What the spans of a trace are; every lane but the limited one says who keeps its traces before chance does.
LANES: Mapping[str, tuple[list[dict[str, object]], str]] = {
    "gold": ([{}, {"attributes": {"tenant": "gold"}}], "tenants"),
    "silver": ([{}, {"attributes": {"tenant": "silver"}}], ""),
    "failing": ([{}, {"attributes": {"http.status_code": 503}, "resource": PAY}, {}], "failures"),
    "failing elsewhere": ([{"attributes": {"http.status_code": 503}, "resource": SHOP}], ""),
    "raising": ([{"events": [Event("log"), EXCEPTION]}, {}], "failures"),
    "gold and failing": ([{"events": [EXCEPTION]}, {"attributes": {"tenant": "gold"}}], "tenants"),
    "probes": (
        [{"attributes": {"path": "/health", "tenant": "gold"}, "status": Status(StatusCode.ERROR)}, {}],
        "probes",
    ),
    "first": ([{"attributes": {"lane": "first"}}], "budget"),
    "second": ([{"attributes": {"lane": "second"}}], "budget"),
    "over its share": ([{"attributes": {"lane": "first"}}] * (SHARE + 1), ""),
    "plain": ([{}], ""),
}
TRACES_PER_LANE = {"plain": 200}  # enough for chance to keep some
OTHERWISE = 4
LIMITED = 30  # traces of two spans

Fates = dict[bytes, str]  # trace id: the policy that decides, "" for none


def make_span(dice: random.Random, trace_id: bytes, said: Mapping[str, object]) -> ReadableSpan:
    context = SpanContext(int.from_bytes(trace_id), dice.getrandbits(63) + 1, False, TraceFlags(1))
    usual = {"resource": SHOP, "kind": SpanKind.SERVER, "instrumentation_scope": SCOPE}
    return ReadableSpan(name="GET /item", context=context, start_time=10**18, end_time=10**18 + 1, **usual | dict(said))


class Traffic:
    """Traces of every lane: `spans` by trace, `lanes` by trace, and the limited ones in the order in which they are sent."""

    def __init__(self, seed: int) -> None:
        dice = random.Random(seed)
        self.spans: dict[bytes, list[ReadableSpan]] = {}
        self.lanes: dict[bytes, str] = {}
        for lane, (spans, _) in LANES.items():
            for _ in range(TRACES_PER_LANE.get(lane, OTHERWISE)):
                self._add(dice, lane, spans)
        self.usual = list(self.spans)
        dice.shuffle(self.usual)
        self.limited = [self._add(dice, "limited", [{"attributes": {"lane": "limited"}}, {}]) for _ in range(LIMITED)]

    def _add(self, dice: random.Random, lane: str, spans: Iterable[Mapping[str, object]]) -> bytes:
        trace_id = dice.randbytes(16)
        self.lanes[trace_id] = lane
        self.spans[trace_id] = [make_span(dice, trace_id, said) for said in spans]
        return trace_id

    def send(self, cluster: Cluster) -> None:
        """All of it through both balancers, by gRPC and HTTP: the limited traces one after the other, the others many at once."""
        agents = cluster.agents(2)
        try:
            for number, trace_id in enumerate(self.limited):
                agents[number % 2].send(self.spans[trace_id], number // 2 % 2)
            for number in range(4):
                together = [span for trace_id in self.usual[number::4] for span in self.spans[trace_id]]
                agents[number % 2].send(together, number // 2)
        finally:
            for agent in agents:
                agent.close()

    def fates(self, owners: Mapping[bytes, object]) -> Fates:
        """What must become of each trace; the limiters are their owners', and count in the order of arrival."""
        kept_by: Fates = {trace_id: LANES[self.lanes[trace_id]][1] for trace_id in self.usual}
        used: Counter[object] = Counter()
        for trace_id in self.limited:
            size, owner = len(self.spans[trace_id]), owners[trace_id]
            fits = used[owner] + size <= BURST
            used[owner] += size if fits else 0
            kept_by[trace_id] = "limited" if fits else ""
        return {
            trace_id: policy or ("a-few" if probabilistic_keeps(trace_id) else "")
            for trace_id, policy in kept_by.items()
        }


def told(cluster: Cluster, trace_id: bytes) -> dict[str, object]:
    """What the first balancer says of this trace."""
    status, text = http_get(f"http://127.0.0.1:{cluster.metrics['balancer0']}/debug/trace/{trace_id.hex()}")
    assert status == 200, text
    answer: dict[str, object] = json.loads(text)
    return answer


def check_exported(cluster: Cluster, traffic: Traffic, fates: Fates) -> None:
    """Just the traces to be kept have come, whole and unaltered, with the policy on each of their spans."""
    keep = {trace_id for trace_id, policy in fates.items() if policy not in ("", "probes")}
    assert set(cluster.backend.spans) == keep
    for trace_id in keep:
        assert sorted(cluster.backend.spans[trace_id]) == sorted(map(span_bytes, traffic.spans[trace_id]))
        stamped = {"tailsampling.policy": fates[trace_id]}
        if fates[trace_id] == "budget":
            stamped["tailsampling.composite_policy"] = traffic.lanes[trace_id]
        for attributes in cluster.backend.scopes[trace_id]:
            assert {each.key: each.value.string_value for each in attributes} == stamped


def check_told(answers: Mapping[bytes, Mapping[str, object]], traffic: Traffic, fates: Fates) -> None:
    """The balancer tells of every trace what became of it, by which policy, and how many spans it had."""
    for trace_id, policy in fates.items():
        answer = answers[trace_id]
        decision = "keep" if policy not in ("", "probes") else "drop"
        assert (answer["decision"], answer["policy"]) == (decision, policy or None)
        assert (answer["cause"], answer["spans"]) == ("due", len(traffic.spans[trace_id]))
        votes = answer["votes"]
        assert isinstance(votes, dict) and tuple(votes) == POLICIES
        if policy == "probes":
            assert votes == dict.fromkeys(POLICIES, "skipped") | {"probes": "drop"}


def check_command(directory: Path, traffic: Traffic, fates: Fates) -> None:
    """`tailgate explain`, pointed at the balancer's file, says it in words for a kept and a dropped trace."""
    for lane, says in (("second", "was kept by policy budget (second)"), ("probes", "was dropped by policy probes")):
        trace_id = next(each for each in fates if traffic.lanes[each] == lane).hex()
        command = [
            sys.executable,
            "-m",
            "gateway.cli",
            "explain",
            trace_id,
            "--config",
            str(directory / "balancer0.yaml"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stdout.splitlines()[0]) == (0, f"trace {trace_id} {says}")


def check_metrics(cluster: Cluster, answers: Mapping[bytes, Mapping[str, object]], traffic: Traffic) -> None:
    """A Collector's dashboards read the same truth: its metrics count what was told, and no page has anything twice."""
    for port in cluster.metrics.values():
        page = http_get(f"http://127.0.0.1:{port}/metrics")[1].splitlines()
        typed = Counter(line.split()[2] for line in page if line.startswith("# TYPE "))
        series = Counter(line.rpartition(" ")[0] for line in page if not line.startswith("#"))
        assert typed and set(typed.values()) == set(series.values()) == {1}
    tail, total = "otelcol_processor_tail_sampling_", cluster.total
    fate = Counter((answer["decision"], answer["policy"]) for answer in answers.values())
    kept = sum(count for (decision, _), count in fate.items() if decision == "keep")
    assert total(f"{tail}new_trace_id_received_total") == len(answers)
    assert total(f"{tail}global_count_traces_sampled_total", decision="sampled", sampled="true") == kept
    assert total(f"{tail}global_count_traces_sampled_total", decision="dropped") == OTHERWISE
    assert total(f"{tail}global_count_traces_sampled_total", sampled="false") == len(answers) - kept
    votes: dict[str, Counter[str]] = defaultdict(Counter)
    for answer in answers.values():
        for policy, vote in dict(answer["votes"]).items():  # type: ignore[call-overload]
            votes[policy][vote] += 1
    for policy, said in votes.items():
        assert total(f"{tail}count_traces_sampled", policy=policy, sampled="true") == said["keep"]
        assert total(f"{tail}count_traces_sampled", policy=policy, sampled="false") == said["no"] + said["drop"]
    spans = sum(map(len, traffic.spans.values()))
    assert total("otelcol_receiver_accepted_spans") == 2 * spans  # by balancers, then by samplers
    assert total("otelcol_exporter_sent_spans_total", exporter="load_balancing") == spans
    assert total("otelcol_exporter_sent_spans_total", exporter="otlp") == cluster.backend.count()
    assert total("otelcol_loadbalancer_num_backends") == 2 * 2


def test_policies_across_both_tiers(tmp_path: Path) -> None:
    """Through both tiers each trace meets the fate its policies give it, and is stamped, told of and counted alike."""
    cluster = Cluster(tmp_path, balancers=2, samplers=2, tail_sampling=TAIL_SAMPLING, wait=1.0)
    try:
        cluster.start()
        traffic = Traffic(seed=5)
        traffic.send(cluster)
        cluster.settle()
        answers = {trace_id: told(cluster, trace_id) for trace_id in traffic.lanes}
        owners = {trace_id: answer["owner"] for trace_id, answer in answers.items()}
        assert set(owners.values()) == set(cluster.endpoints.values())
        fates = traffic.fates(owners)
        assert set(fates.values()) == {*POLICIES, ""}
        check_exported(cluster, traffic, fates)
        check_told(answers, traffic, fates)
        check_metrics(cluster, answers, traffic)
        check_command(tmp_path, traffic, fates)
    finally:
        cluster.close()
