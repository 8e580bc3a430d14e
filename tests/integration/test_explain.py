"""`tailgate explain` over a cluster of real processes: two samplers and a balancer."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.processes import Tailgate, http_get, wait_for
from tests.support.edge import Edge, edge, http_raw, post
from tests.support.ports import free_ports
from tests.support.redis_server import RedisServer
from tests.support.spans import ERROR, request, span, trace_id

pytestmark = [pytest.mark.integration, pytest.mark.timeout(90)]

BALANCER = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
exporters:
  load_balancing:
    protocol: {{otlp: {{tls: {{insecure: true}}}}}}
    resolver: {{redis: {{url: "{redis}", cluster: test, poll: 200ms, drain_delay: 0s}}}}
extensions: {{health_check: {{endpoint: "127.0.0.1:{health}"}}}}
service:
  extensions: [health_check]
  telemetry: {{logs: {{encoding: json}}, metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], exporters: [load_balancing]}}}}
"""

SAMPLER = """
receivers: {{otlp: {{protocols: {{grpc: {{endpoint: "127.0.0.1:{grpc}"}}}}}}}}
processors:
  tail_sampling:
    decision_wait: 500ms
    policies: [{{name: errors, type: status_code, status_code: {{status_codes: [ERROR]}}}}]
exporters: {{otlphttp: {{endpoint: "http://127.0.0.1:{backend}"}}}}
extensions:
  health_check: {{endpoint: "localhost:{health}"}}
  redis_membership: {{url: "{redis}", cluster: test, advertise: "127.0.0.1:{grpc}", lease: 2s, poll: 200ms}}
service:
  extensions: [health_check, redis_membership]
  telemetry: {{logs: {{encoding: json}}, metrics: {{level: none}}}}
  pipelines: {{traces: {{receivers: [otlp], processors: [tail_sampling], exporters: [otlphttp]}}}}
"""
KEPT = [f"kept {number}" for number in range(4)]
DROPPED = [f"dropped {number}" for number in range(4)]


class Cluster:
    """The processes, their health ports, and the port that takes spans."""

    def __init__(self, directory: Path, redis: str, backend: int) -> None:
        self.directory = directory
        self.http, *self.health = free_ports(4)
        self.grpc = free_ports(2)
        self.processes = [
            Tailgate(
                directory,
                f"sampler{number}",
                "sampler",
                SAMPLER.format(grpc=self.grpc[number], backend=backend, health=self.health[number], redis=redis),
                self.health[number],
            )
            for number in range(2)
        ]
        words = BALANCER.format(http=self.http, redis=redis, health=self.health[2])
        self.processes.append(Tailgate(directory, "balancer", "loadbalancer", words, self.health[2]))

    def start(self) -> None:
        for process in self.processes:
            process.start()
        for process in self.processes:
            process.wait_ready()
        wait_for("the balancer sees both", lambda: 'view_members{state="active"} 2' in self.page(2, "/metrics")[1])

    def page(self, number: int, path: str) -> tuple[int, str]:
        return http_get(f"http://127.0.0.1:{self.health[number]}{path}")

    def told(self, number: int, name: str) -> dict[str, object]:
        """What process `number` says of this trace."""
        status, text = self.page(number, f"/debug/trace/{trace_id(name).hex()}")
        answer: dict[str, object] = {"status": status} | json.loads(text)
        return answer

    def explain(self, name: str, *words: str) -> tuple[int, str]:
        """The command's status and words, asking the balancer by its file."""
        file = str(self.directory / "balancer.yaml")
        command = [sys.executable, "-m", "gateway.cli", "explain", trace_id(name).hex(), "--config", file, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stdout

    def close(self) -> None:
        for process in self.processes:
            process.close()


async def send(cluster: Cluster) -> None:
    for name in (*KEPT, *DROPPED):
        status = ERROR if name in KEPT else 0
        answer = await http_raw(cluster.http, post(request(span(name, 1, status=status), span(name, 2))))
        assert answer.status == 200, answer


def check_answers(cluster: Cluster) -> None:
    """Every node tells the same of every trace, and both samplers own some."""
    wait_for("all is decided", lambda: all(cluster.told(2, n)["state"] == "decided" for n in (*KEPT, *DROPPED)))
    owners = set()
    for name in (*KEPT, *DROPPED):
        answers = [cluster.told(number, name) for number in range(3)]
        assert answers[0] == answers[1] == answers[2]
        told = answers[0]
        owners.add(told["owner"])
        assert (told["status"], told["owner"]) == (200, told["answered_by"])
        assert (told["decision"], told["policy"]) == (("keep", "errors") if name in KEPT else ("drop", None))
        assert (told["spans"], told["cause"]) == (2, "due")
        assert told["votes"] == {"errors": "keep" if name in KEPT else "no"}
    assert owners == {f"127.0.0.1:{port}" for port in cluster.grpc}


def check_command(cluster: Cluster) -> None:
    """The command asks the node of its file, prints a line or JSON, and has status 1 for what nobody knows."""
    status, words = cluster.explain(KEPT[0])
    assert (status, words.splitlines()[0]) == (0, f"trace {trace_id(KEPT[0]).hex()} was kept by policy errors")
    status, words = cluster.explain(DROPPED[0], "--json")
    assert (status, json.loads(words)["decision"]) == (0, "drop")
    status, words = cluster.explain("never sent")
    assert (status, words.splitlines()[0]) == (1, f"trace {trace_id('never sent').hex()} is not known")


def check_a_dead_owner(cluster: Cluster) -> None:
    """As long as the view names a sampler that is dead, its traces are answered with who owned them and why it is silent."""
    told = cluster.told(2, KEPT[0])
    dead = cluster.grpc.index(int(str(told["owner"]).split(":")[1]))
    cluster.processes[dead].kill()
    told = cluster.told(2, KEPT[0])
    if told["owner"] == f"127.0.0.1:{cluster.grpc[dead]}":  # its lease has not lapsed yet
        assert told["status"] == 502 and "could not be asked" in str(told["error"])
    wait_for("the view is without it", lambda: cluster.told(2, KEPT[0])["status"] == 200)
    assert cluster.told(2, KEPT[0])["state"] == "unknown"


async def test_any_node_explains(tmp_path: Path) -> None:
    """Balancer and samplers tell of every trace what its owner knows, on their pages and through the command."""
    with RedisServer() as redis:
        backend: Edge
        async with edge() as backend:
            cluster = Cluster(tmp_path, redis.url, backend.http_port)
            try:
                await asyncio.to_thread(cluster.start)
                await send(cluster)
                for check in (check_answers, check_command, check_a_dead_owner):
                    await asyncio.to_thread(check, cluster)
            finally:
                cluster.close()
