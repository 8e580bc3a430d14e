"""The soak runs on both fronts, and its verdict is what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

from bench import soak
from bench.processes import ROOT
from gateway.limits import MIB

TOLD = Counter({f"{kind}: {answer}": 10 for kind in soak.KINDS for answer in soak.ALLOWED.get(kind, ["OK"])})


def samples(before: float, after: float) -> list[tuple[float, float]]:
    """A quarter of an hour: these many MiB grown in the first third, and from there to the end."""
    rise = [(float(at), (50 + before * at / 300) * MIB) for at in range(300)]
    return rise + [(300.0 + at, (50 + before + after * at / 600) * MIB) for at in range(600)]


def test_what_grows_in_the_warm_up_is_forgiven() -> None:
    """A server that takes 100 MiB at first and no more after is flat."""
    assert soak.verdict(samples(100, 0), TOLD, 60.0)["failed"] == []


def test_steady_growth_is_a_failure() -> None:
    """A server that grows by 20 MiB in ten minutes after the warm-up has grown by 120 MiB an hour, and fails."""
    found = soak.verdict(samples(0, 20), TOLD, 60.0)
    assert found["mib_an_hour"] == pytest.approx(120, rel=0.01)
    assert len(found["failed"]) == 1 and "memory grew by 20.0 MiB" in found["failed"][0]
    assert soak.verdict(samples(0, 5), TOLD, 1.0)["failed"] == [], "less than noise"


def test_strange_answers_are_a_failure() -> None:
    """A client that is told what it should not be fails the soak, and so does one that is told nothing."""
    assert "valid: UNKNOWN" in soak.verdict(samples(0, 0), TOLD | Counter({"valid: UNKNOWN": 1}), 60.0)["failed"][0]
    silent = Counter({what: times for what, times in TOLD.items() if not what.startswith("gzip")})
    assert "gzip" in soak.verdict(samples(0, 0), silent, 60.0)["failed"][0]


@pytest.mark.integration
@pytest.mark.parametrize("front", ["grpcio", "native"])
def test_a_tiny_soak(front: str) -> None:
    """A soak of a few seconds runs all kinds of clients, each of which is told what it should be."""
    words = [sys.executable, "-m", "bench.soak", "--front", front, "--minutes", "0.05", "--growth-max", "1e9"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["front"] == front and found["last_mib"] > 0
    assert {what.split(":")[0] for what in found["told"]} == set(soak.KINDS)
