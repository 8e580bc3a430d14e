"""`--workers 2` of both tiers as real processes: everybody takes part, the sums are exact, and one death costs one worker."""

from __future__ import annotations

import os
import re
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path

import grpc
import psutil
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from prometheus_client.parser import text_string_to_metric_families

from tests.integration.backend import Backend
from tests.integration.processes import Tailgate, http_get, wait_for
from tests.support.ports import free_ports

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
CONNECTIONS = 64
REQUESTS = 5  # on each connection
SPANS = 20  # in each request
PATIENCE = 30.0

BALANCER = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
exporters:
  load_balancing:
    protocol: {{otlp: {{tls: {{insecure: true}}, compression: none}}}}
    resolver: {{static: {{hostnames: ["127.0.0.1:{backend}"], drain_delay: 0s}}}}
extensions: {{health_check: {{endpoint: "127.0.0.1:{health}"}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{address: "127.0.0.1:{metrics}"}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [load_balancing]}}}}
"""

SAMPLER = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{port}"}}}}}}}}
processors:
  tail_sampling:
    decision_wait: 200ms
    policies: [{{name: half, type: probabilistic, probabilistic: {{sampling_percentage: 50}}}}]
exporters: {{otlp: {{endpoint: "127.0.0.1:{backend}", tls: {{insecure: true}}}}}}
extensions: {{health_check: {{endpoint: "127.0.0.1:{health}"}}}}
service:
  extensions: [health_check]
  telemetry: {{metrics: {{address: "127.0.0.1:{metrics}"}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [tail_sampling], exporters: [otlp]}}}}
"""

Series = tuple[str, str]  # name and worker
Page = dict[Series, float]


class Family:
    """A parent with two workers before a backend."""

    def __init__(self, directory: Path, tier: str, config: str, backend: Backend) -> None:
        self.port, self._metrics, health = two_in_a_row(), *free_ports(2)
        text = config.format(port=self.port, backend=backend.port, health=health, metrics=self._metrics)
        self.parent = Tailgate(directory, tier, tier, text, health, "--workers", "2")

    def page(self) -> Page:
        """Every series summed over its other labels, by name and worker."""
        status, text = http_get(f"http://127.0.0.1:{self._metrics}/metrics")
        assert status == 200, self.parent.words()
        sums: Page = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                series = sample.name, sample.labels["worker"]
                sums[series] = sums.get(series, 0) + sample.value
        return sums

    def of(self, name: str) -> list[float]:
        """What the two workers say of this metric."""
        page = self.page()
        return [page.get((f"tailgate_{name}", worker), 0) for worker in ("0", "1")]

    def pid(self, worker: int) -> int | None:
        """The process of that worker; None while there is none."""
        for child in psutil.Process(self.parent.process.pid).children():
            if re.search(rf"--worker {worker}\b", " ".join(child.cmdline())):
                return child.pid
        return None


def two_in_a_row() -> int:
    """The first of two neighbouring free ports."""
    while True:
        first, second = free_ports(2)
        if second == first + 1:
            return first


@pytest.fixture
def backend() -> Iterator[Backend]:
    made = Backend()
    yield made
    made.close()


@pytest.fixture
def family(tmp_path: Path, backend: Backend) -> Iterator[Callable[[str, str], Family]]:
    """Start a family of two workers and wait until they are ready."""
    with ExitStack() as stack:

        def start(tier: str, config: str) -> Family:
            made = Family(tmp_path, tier, config, backend)
            stack.callback(made.parent.close)
            made.parent.start().wait_ready()
            return made

        yield start


def request() -> bytes:
    """A request of SPANS spans, each of a trace of its own."""
    spans = [Span(trace_id=os.urandom(16), span_id=os.urandom(8), name="work") for _ in range(SPANS)]
    scopes = [ScopeSpans(spans=spans)]
    return ExportTraceServiceRequest(resource_spans=[ResourceSpans(scope_spans=scopes)]).SerializeToString()


class Connections:
    """CONNECTIONS agents, each with a connection of its own to one of the ports in turn."""

    def __init__(self, *ports: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_reconnect_backoff_ms", 200)]
        self._channels = [
            grpc.insecure_channel(f"127.0.0.1:{ports[number % len(ports)]}", options) for number in range(CONNECTIONS)
        ]
        self._calls = [channel.unary_unary(EXPORT) for channel in self._channels]
        self._pool = ThreadPoolExecutor(CONNECTIONS)
        self._stop = threading.Event()
        self.acked = 0

    def __enter__(self) -> Connections:
        for channel in self._channels:
            grpc.channel_ready_future(channel).result(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._pool.shutdown()
        for channel in self._channels:
            channel.close()

    def send(self, requests: int) -> int:
        """Each sends so many requests, none of which may fail; the spans sent."""

        def some(call: Callable[..., bytes]) -> int:
            return SPANS * sum(call(request(), timeout=PATIENCE) == b"" for _ in range(requests))

        return sum(self._pool.map(some, self._calls))

    def keep_sending(self) -> None:
        """Each sends until the end, again what was refused as unavailable, as agents do."""

        def on_and_on(call: Callable[..., bytes]) -> None:
            while not self._stop.is_set():
                try:
                    call(request(), timeout=PATIENCE, wait_for_ready=True)
                except grpc.RpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE, error  # type: ignore[attr-defined]
                self._stop.wait(0.05)

        self._running = [self._pool.submit(on_and_on, call) for call in self._calls]

    def finish(self) -> None:
        """Stop sending; whatever else than UNAVAILABLE was answered is raised here."""
        self._stop.set()
        for one in self._running:
            one.result(PATIENCE)


def test_balancer_workers_share_the_connections(family: Callable[[str, str], Family], backend: Backend) -> None:
    """64 connections to one port reach both workers of a load balancer, and what they count adds up to what was sent."""
    balancers = family("loadbalancer", BALANCER)
    with Connections(balancers.port) as agents:
        sent = agents.send(REQUESTS)
    assert sent == CONNECTIONS * REQUESTS * SPANS
    for name in ("spans_received_total", "spans_accepted_total", "spans_forwarded_total"):
        assert sum(balancers.of(name)) == sent
        assert all(balancers.of(name)), "both took part"
    assert sum(balancers.of("requests_received_total")) == CONNECTIONS * REQUESTS
    assert balancers.of("worker_up") == [1, 1]
    assert backend.count() == sent
    assert balancers.parent.end() == 0


def test_sampler_workers_take_what_is_sent_to_each(family: Callable[[str, str], Family], backend: Backend) -> None:
    """A sampler's workers listen on port and port + 1; what they count adds up to what was sent, kept and dropped."""
    samplers = family("sampler", SAMPLER)
    with Connections(samplers.port, samplers.port + 1) as agents:
        sent = agents.send(REQUESTS)
    assert samplers.of("spans_received_total") == samplers.of("spans_accepted_total") == [sent / 2, sent / 2]
    wait_for("everything is decided", lambda: sum(samplers.of("traces_decided_total")) == sent)
    wait_for("everything is exported", lambda: not any(samplers.of("outbox_spans")))
    exported, dropped = samplers.of("spans_exported_total"), samplers.of("spans_dropped_total")
    assert [kept + not_kept for kept, not_kept in zip(exported, dropped, strict=True)] == [sent / 2, sent / 2]
    assert backend.count() == sum(exported) > 0
    assert samplers.parent.end() == 0


def went_back(before: Page, after: Page) -> list[Series]:
    """The counters that are lower than they were, where nothing on the later page says that their worker is a new one."""
    restarts = "tailgate_worker_restarts_total"
    return [
        (name, worker)
        for (name, worker), value in after.items()
        if name.endswith("_total") and value < before.get((name, worker), 0)
        if after[restarts, worker] == before[restarts, worker]
    ]


def test_one_death_costs_one_worker(family: Callable[[str, str], Family], backend: Backend) -> None:
    """kill -9 of a worker under load: the other goes on, the dead one is back, and no counter goes back without saying why."""
    balancers = family("loadbalancer", BALANCER)
    pages: list[Page] = []

    def reaches(what: str, condition: Callable[[], bool]) -> None:
        def looked() -> bool:
            pages.append(balancers.page())
            return condition()

        wait_for(what, looked, PATIENCE)

    def received(worker: str) -> float:
        return pages[-1].get(("tailgate_spans_received_total", worker), 0)

    with Connections(balancers.port) as agents:
        agents.keep_sending()
        reaches("both work", lambda: bool(received("0") and received("1")))
        victim = balancers.pid(0)
        assert victim is not None
        survived, at_death = received("1"), len(pages) - 1
        os.kill(victim, signal.SIGKILL)
        reaches("the dead one is missed", lambda: pages[-1]["tailgate_worker_restarts_total", "0"] == 1)
        assert balancers.parent.ready(), "one worker is enough"
        reaches("the other goes on", lambda: received("1") > survived)
        reaches("the dead one is back", lambda: pages[-1]["tailgate_worker_up", "0"] == 1)
        agents.finish()
    assert balancers.pid(0) not in (None, victim)
    pages.append(balancers.page())
    assert not [series for before, after in pairwise(pages) for series in went_back(before, after)]
    assert went_back(pages[at_death], pages[-1]) == []
    assert pages[-1]["tailgate_worker_restarts_total", "1"] == 0
    before = balancers.of("spans_received_total")
    with Connections(balancers.port) as agents:
        sent = agents.send(1)
    gained = [now - then for now, then in zip(balancers.of("spans_received_total"), before, strict=True)]
    assert sum(gained) == sent and all(gained), "new connections reach both again"
    assert balancers.parent.end() == 0
