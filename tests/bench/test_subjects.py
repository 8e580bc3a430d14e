"""Both sides of a comparison are given the same work."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from bench import subjects
from bench.processes import ROOT


def config(side: str, name: str) -> dict[str, dict[str, object]]:
    loaded: dict[str, dict[str, object]] = yaml.safe_load((ROOT / "bench" / side / name).read_text())
    return loaded


def receiver(loaded: dict[str, Any]) -> dict[str, object]:
    server: dict[str, object] = loaded["receivers"]["otlp"]["protocols"]["grpc"]
    return server


def test_both_samplers_have_the_same_receiver_and_policies() -> None:
    """tail_sampling and the receiver say the same to Tailgate and to the Collector, key for key."""
    ours, peer = config("ours", "sampler.yaml"), config("peer", "sampler.yaml")
    assert ours["processors"]["tail_sampling"] == peer["processors"]["tail_sampling"]
    assert receiver(ours) == receiver(peer) | {"front": "${env:BENCH_FRONT:-grpcio}"}


def test_both_balancers_route_by_trace_id_to_the_same_two_samplers() -> None:
    """The balancers differ in nothing but what the Collector needs said to acknowledge late, and our choice of a front."""
    assert receiver(config("ours", "lb.yaml")) == receiver(config("peer", "lb.yaml")) | {
        "front": "${env:BENCH_FRONT:-grpcio}"
    }
    (ours,) = config("ours", "lb.yaml")["exporters"].values()
    (peer,) = config("peer", "lb.yaml")["exporters"].values()
    assert isinstance(ours, dict) and isinstance(peer, dict)
    assert (ours["routing_key"], ours["resolver"]) == (peer["routing_key"], peer["resolver"])


def test_the_collector_is_found_by_its_variable_or_on_the_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment names the binary; without it PATH is searched; without either there is none."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv(subjects.COLLECTOR_VARIABLE, "/opt/a-collector")
    assert subjects.collector() == "/opt/a-collector"
    monkeypatch.delenv(subjects.COLLECTOR_VARIABLE)
    assert subjects.collector() is None
