"""What is measured: each tier, ours and the Collector's, and the bare servers that are the floor.

Knows command lines and configuration files, and nothing of load or of results.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.processes import ROOT, Child, free_port, module, running

NATIVE, GRPCIO, COLLECTOR = "native", "grpcio", "collector"
OURS = (NATIVE, GRPCIO)  # our tiers, by the gRPC front they have
BALANCER, SAMPLER, FED, FLOOR = "balancer", "sampler", "sampler, fed", "floor"
FLOORS = ("sync", "aio", "native")
COLLECTOR_VARIABLE = "TAILGATE_BENCH_COLLECTOR"
COLLECTOR_NAME = "otelcol-peer"
_CONFIG = {BALANCER: "lb.yaml", SAMPLER: "sampler.yaml", FED: "sampler.yaml"}
_COMMAND = {BALANCER: "loadbalancer", SAMPLER: "sampler", FED: "sampler"}


class Subject(NamedTuple):
    """Something that takes OTLP/gRPC. `name` is one of OURS or COLLECTOR, or one of FLOORS when the tier is FLOOR.

    FED is a sampler that gets what a balancer of the same name forwards: half of what that balancer is sent. Ours gets it by
    OTLP/HTTP, and its front is that of the balancer.
    """

    tier: str
    name: str


class Running(NamedTuple):
    """What is loaded at `target` (HOST:PORT); `child` is the root of the measured process tree."""

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
    """The subject, listening, before the two sinks (HOST:PORT). Raises ChildError if it does not start.

    A sampler exports to the first sink; of one that is FED the second is the other member of its ring.
    """
    if subject.tier == FLOOR:
        with running(module("sink", "--bare", "--form", subject.name), talks=True) as child:
            yield Running(f"127.0.0.1:{child.read()['port']}", child)
    elif subject.tier == FED:
        with (
            _tier(subject, sinks, decision_wait) as sampler,
            _tier(Subject(BALANCER, subject.name), (sampler.target, sinks[1]), decision_wait) as balancer,
        ):
            yield Running(balancer.target, sampler.child)
    else:
        with _tier(subject, sinks, decision_wait) as tier:
            yield tier


@contextmanager
def _tier(subject: Subject, sinks: tuple[str, str], decision_wait: float) -> Iterator[Running]:
    port, http_port = free_port(), free_port()
    environment = {
        "BENCH_LISTEN": f"127.0.0.1:{port}",
        "BENCH_HTTP": f"127.0.0.1:{http_port}",
        "BENCH_SINK_A": sinks[0],
        "BENCH_SINK_B": sinks[1],
        "BENCH_DECISION_WAIT": f"{round(decision_wait * 1000)}ms",
        "BENCH_FRONT": subject.name,
    }
    with running(_command(subject), environment) as child:
        child.await_port(port)
        fed_by_http = subject.tier == FED and subject.name in OURS
        yield Running(environment["BENCH_HTTP" if fed_by_http else "BENCH_LISTEN"], child)


def _command(subject: Subject) -> list[str]:
    if subject.name in OURS:
        files = [_CONFIG[subject.tier], *(["fed.yaml"] if subject.tier == FED else [])]
        configs = [word for name in files for word in ("--config", str(ROOT / "bench" / "ours" / name))]
        return [tailgate(), _COMMAND[subject.tier], *configs]
    binary = collector()
    assert binary, "the Collector is only asked for when there is one"
    return [binary, "--config", str(ROOT / "bench" / "peer" / _CONFIG[subject.tier])]


def there(names: Collection[str]) -> list[str]:
    """Those of these that can be started here; says so if the Collector cannot."""
    found = [name for name in names if name != COLLECTOR or collector()]
    if COLLECTOR in names and COLLECTOR not in found:
        print(f"the Collector is left out: no {COLLECTOR_NAME} on PATH and {COLLECTOR_VARIABLE} not set")
    return found
