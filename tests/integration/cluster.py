"""A whole cluster of real processes: Redis, balancers, samplers, and a backend to export to."""

from __future__ import annotations

import time
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.integration.backend import Backend
from tests.integration.processes import Tailgate, http_get, wait_for
from tests.integration.traffic import Agent, Trace
from tests.support.ports import free_ports
from tests.support.redis_server import RedisServer

DECISION_WAIT = 6.0  # more than the spread of a trace and an agent's failover together

BALANCER = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}, http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
exporters:
  load_balancing:
    protocol: {{otlp: {{tls: {{insecure: true}}, compression: none}}}}
    resolver: {{redis: {{url: "{redis}", cluster: test, poll: 500ms, drain_delay: 0s}}}}
extensions: {{health_check: {{endpoint: "127.0.0.1:{health}"}}}}
service:
  extensions: [health_check]
  telemetry: {{logs: {{encoding: json}}, metrics: {{address: "127.0.0.1:{metrics}"}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [load_balancing]}}}}
"""

SAMPLER = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}}}}}}}
processors:
  tail_sampling:
    decision_wait: {wait}s
{tail_sampling}
exporters: {{otlp: {{endpoint: "127.0.0.1:{backend}", tls: {{insecure: true}}, retry_on_failure: {{initial_interval: 200ms}}}}}}
extensions:
  health_check: {{endpoint: "127.0.0.1:{health}"}}
  redis_membership: {{url: "{redis}", cluster: test, advertise: "127.0.0.1:{grpc}", lease: 2s, poll: 500ms}}
service:
  extensions: [health_check, redis_membership]
  telemetry: {{logs: {{encoding: json}}, metrics: {{address: "127.0.0.1:{metrics}"}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [tail_sampling], exporters: [otlp]}}}}
"""

TAIL_SAMPLING = """    policies:
      - {name: keep-errors, type: status_code, status_code: {status_codes: [ERROR]}}
      - {name: keep-slow, type: latency, latency: {threshold_ms: 1000}}
      - {name: sample-normal-traffic, type: probabilistic, probabilistic: {sampling_percentage: 5}}
"""


class Cluster:
    """Two balancers and three samplers unless told otherwise; everything ends with `close`.

    `tail_sampling` is what stands in that block beside decision_wait, indented as there; `wait` is decision_wait in seconds.
    """

    def __init__(
        self,
        directory: Path,
        balancers: int = 2,
        samplers: int = 3,
        *,
        tail_sampling: str = TAIL_SAMPLING,
        wait: float = DECISION_WAIT,
    ) -> None:
        self._directory = directory
        self._tail_sampling = tail_sampling
        self._wait = wait
        self.redis = RedisServer()
        self.redis.start()
        self.backend = Backend()
        self.grpc_ports = free_ports(balancers)
        self.http_ports = free_ports(balancers)
        self.metrics: dict[str, int] = {}
        self.endpoints: dict[str, str] = {}
        self.balancers = [self._balancer(n) for n in range(balancers)]
        self.samplers = [self._sampler(n) for n in range(samplers)]

    def _balancer(self, number: int) -> Tailgate:
        health, metrics = free_ports(2)
        config = BALANCER.format(
            grpc=self.grpc_ports[number],
            http=self.http_ports[number],
            redis=self.redis.url,
            health=health,
            metrics=metrics,
        )
        name = f"balancer{number}"
        self.metrics[name] = metrics
        return Tailgate(self._directory, name, "loadbalancer", config, health)

    def _sampler(self, number: int) -> Tailgate:
        grpc, health, metrics = free_ports(3)
        config = SAMPLER.format(
            grpc=grpc,
            redis=self.redis.url,
            health=health,
            metrics=metrics,
            backend=self.backend.port,
            wait=self._wait,
            tail_sampling=self._tail_sampling,
        )
        name = f"sampler{number}"
        self.metrics[name] = metrics
        self.endpoints[name] = f"127.0.0.1:{grpc}"
        return Tailgate(self._directory, name, "sampler", config, health)

    def start(self) -> None:
        """Start everything and wait until every balancer sees every sampler."""
        for process in (*self.samplers, *self.balancers):
            process.start()
        for process in (*self.samplers, *self.balancers):
            process.wait_ready()
        for balancer in self.balancers:
            wait_for(
                f"{balancer.name} sees all samplers",
                lambda name=balancer.name: (
                    self.metric(name, "tailgate_view_members", state="active") == len(self.samplers)
                ),
            )

    def metric(self, process: str, name: str, **labels: str) -> float:
        """The sum of a process's samples of this name with these labels."""
        status, text = http_get(f"http://127.0.0.1:{self.metrics[process]}/metrics")
        assert status == 200, f"{process} does not show its metrics"
        return sum(
            sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def agents(self, count: int = 4) -> list[Agent]:
        """Agents with failover, every other one over HTTP."""
        return [Agent(self.grpc_ports, self.http_ports, http=bool(number % 2)) for number in range(count)]

    def settle(self) -> None:
        """Wait until everything that was acknowledged is decided and exported."""
        time.sleep(self._wait)  # the wait itself; then what it leads to
        alive = [sampler.name for sampler in self.samplers if sampler.process.poll() is None]
        gauges = ("tailgate_buffer_traces", "tailgate_outbox_spans")
        wait_for("buffers and outboxes empty", lambda: not any(self.metric(n, g) for n in alive for g in gauges))

    def total(self, metric: str, **labels: str) -> float:
        """The sum over the processes that are alive."""
        alive = [p.name for p in (*self.samplers, *self.balancers) if p.process.poll() is None]
        return sum(self.metric(name, metric, **labels) for name in alive)

    def close(self) -> None:
        """End everything."""
        for process in (*self.balancers, *self.samplers):
            process.close()
        self.backend.close()
        self.redis.__exit__(None, None, None)


def verdict(traces: list[Trace], arrived: dict[bytes, list[bytes]]) -> dict[str, int]:
    """How the backend's spans differ from what must have come: all numbers are 0 when every trace met its fate."""
    wrong = {"missing": 0, "split": 0, "doubled": 0, "altered": 0, "not to be kept": 0}
    expected = {trace.trace_id: trace for trace in traces}
    for trace_id, trace in expected.items():
        got = sorted(arrived.get(trace_id, []))
        want = trace.expected() if trace.keep else []
        if got == want:
            continue
        if not trace.keep:
            wrong["not to be kept"] += 1
        elif not got:
            wrong["missing"] += 1
        elif len(got) > len(set(got)):
            wrong["doubled"] += 1
        elif set(got) < set(want):
            wrong["split"] += 1
        else:
            wrong["altered"] += 1
    wrong["unknown"] = sum(trace_id not in expected for trace_id in arrived)
    return wrong
