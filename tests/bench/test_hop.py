"""The bench of the hop runs, and what was sent has arrived."""

from __future__ import annotations

import json
import subprocess

import pytest

from bench.processes import ROOT, module


@pytest.mark.integration
def test_a_tiny_comparison() -> None:
    """Every size is measured over both protocols, and every byte sent was received."""
    words = module("hop", "--bytes", "5000", "--seconds", "0.1", "--rounds", "1")
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    cell, total = (json.loads(line) for line in done.stdout.splitlines())
    assert cell["bytes"] == 5000
    assert all(cell[f"{end}_{name}_us"] > 0 for end in ("sender", "receiver") for name in ("grpc", "http"))
    assert total["requests"] > 0
