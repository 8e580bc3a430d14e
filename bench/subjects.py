"""What is measured: each tier, ours and the Collector's, and the bare servers that are the floor.

Knows command lines and configuration files, and nothing of load or of results.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.processes import ROOT, Child, free_port, module, running

OURS, COLLECTOR = "ours", "collector"
BALANCER, SAMPLER, FLOOR = "balancer", "sampler", "floor"
FLOORS = ("sync", "aio")
COLLECTOR_VARIABLE = "TAILGATE_BENCH_COLLECTOR"
COLLECTOR_NAME = "otelcol-peer"
_CONFIG = {BALANCER: "lb.yaml", SAMPLER: "sampler.yaml"}
_COMMAND = {BALANCER: "loadbalancer", SAMPLER: "sampler"}


class Subject(NamedTuple):
    """Something that takes OTLP/gRPC. `name` is OURS or COLLECTOR, or one of FLOORS when the tier is FLOOR."""

    tier: str
    name: str


class Running(NamedTuple):
    """A subject that listens on `target` (HOST:PORT); `child` is the root of its process tree."""

    target: str
    child: Child


def collector() -> str | None:
    """The Collector's binary: named by the environment, or on PATH under the name its manifest gives it."""
    return os.environ.get(COLLECTOR_VARIABLE) or shutil.which(COLLECTOR_NAME)


def tailgate() -> str:
    """Our command, from the environment this bench runs in."""
    return str(Path(sys.executable).with_name("tailgate"))


@contextmanager
def started(subject: Subject, sinks: tuple[str, str], decision_wait: float) -> Iterator[Running]:
    """The subject, listening, before the two sinks (HOST:PORT). Raises ChildError if it does not start."""
    if subject.tier == FLOOR:
        with running(module("sink", "--bare", "--form", subject.name), talks=True) as child:
            yield Running(f"127.0.0.1:{child.read()['port']}", child)
        return
    port = free_port()
    environment = {
        "BENCH_LISTEN": f"127.0.0.1:{port}",
        "BENCH_SINK_A": sinks[0],
        "BENCH_SINK_B": sinks[1],
        "BENCH_DECISION_WAIT": f"{round(decision_wait * 1000)}ms",
    }
    with running(_command(subject), environment) as child:
        child.await_port(port)
        yield Running(environment["BENCH_LISTEN"], child)


def _command(subject: Subject) -> list[str]:
    if subject.name == OURS:
        config = ROOT / "bench" / "ours" / _CONFIG[subject.tier]
        return [tailgate(), _COMMAND[subject.tier], "--config", str(config)]
    binary = collector()
    assert binary, "the Collector is only asked for when there is one"
    return [binary, "--config", str(ROOT / "bench" / "peer" / _CONFIG[subject.tier])]
