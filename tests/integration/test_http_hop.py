"""OTLP/HTTP all the way: an agent, a balancer, samplers found in Redis, and the backend, with real processes between."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.integration.processes import Tailgate
from tests.support.edge import Edge, edge, http_raw, post
from tests.support.ports import free_ports
from tests.support.redis_server import RedisServer
from tests.support.spans import request, span, spans_of

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

BALANCER = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
exporters:
  load_balancing:
    protocol: {{otlp_http: {{tls: {{insecure: true}}}}}}
    resolver: {{redis: {{url: "{redis}", cluster: test, poll: 200ms, drain_delay: 0s}}}}
extensions: {{health_check: {{endpoint: "127.0.0.1:{health}"}}}}
service:
  extensions: [health_check]
  telemetry: {{logs: {{encoding: json}}, metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [load_balancing]}}}}
"""

SAMPLER = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}{http}}}}}}}
processors: {{tail_sampling: {{decision_wait: 1s, policies: [{{name: all, type: always_sample}}]}}}}
exporters: {{otlphttp: {{endpoint: "http://127.0.0.1:{backend}", retry_on_failure: {{initial_interval: 200ms}}}}}}
extensions:
  health_check: {{endpoint: "127.0.0.1:{health}"}}
  redis_membership: {{url: "{redis}", cluster: test, advertise: "127.0.0.1:{grpc}", lease: 2s, poll: 200ms}}
service:
  extensions: [health_check, redis_membership]
  telemetry: {{logs: {{encoding: json}}, metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [tail_sampling], exporters: [otlphttp]}}}}
"""


def start(directory: Path, redis: str, backend: int) -> tuple[list[Tailgate], int]:
    """Two samplers, one of them without HTTP, and a balancer; and the balancer's port."""
    http, health = free_ports(2)
    made = []
    for number in range(2):
        grpc, own_http, own_health = free_ports(3)
        listen = "" if number else f', http: {{endpoint: "127.0.0.1:{own_http}"}}'
        words = SAMPLER.format(grpc=grpc, http=listen, backend=backend, health=own_health, redis=redis)
        made.append(Tailgate(directory, f"sampler{number}", "sampler", words, own_health).start())
    words = BALANCER.format(http=http, redis=redis, health=health)
    made.append(Tailgate(directory, "balancer", "loadbalancer", words, health).start())
    return made, http


async def send_until_all_arrive(port: int, backend: Edge, names: list[str]) -> None:
    """Send a trace of two spans under each name, half at a time, and wait for all of them at the backend."""
    for number in (1, 2):
        for name in names:
            answer = await http_raw(port, post(request(span(name, number))))
            assert (answer.status, answer.body) == (200, b""), answer
    async with asyncio.timeout(20):
        while len(arrived(backend)) < 2 * len(names):  # noqa: ASYNC110 -- processes tell nobody
            await asyncio.sleep(0.05)


def arrived(backend: Edge) -> list[tuple[bytes, bytes]]:
    return [(one.trace_id, one.span_id) for each in backend.script.received for one in spans_of(each.request)]


async def test_traces_go_through_over_http(tmp_path: Path) -> None:
    """Every span arrives once, over HTTP where a sampler has it and over gRPC where not, and the log says who has not."""
    with RedisServer() as redis:
        async with edge() as backend:
            processes, port = start(tmp_path, redis.url, backend.http_port)
            try:
                for process in processes:
                    await asyncio.to_thread(process.wait_ready)
                names = [f"trace {number}" for number in range(20)]
                await send_until_all_arrive(port, backend, names)
                assert len(set(arrived(backend))) == len(arrived(backend)) == 2 * len(names)
                assert backend.http._connections
                assert "members_without_http" in processes[-1].words()
                statuses = await asyncio.gather(*(asyncio.to_thread(process.end) for process in processes))
                assert statuses == [0, 0, 0]
            finally:
                for process in processes:
                    process.close()
