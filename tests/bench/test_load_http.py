"""The load over HTTP counts like the one over gRPC."""

from __future__ import annotations

import asyncio
import json
import subprocess

import pytest

from bench.processes import module
from gateway.core import Accepted, Overloaded
from tests.support.edge import edge


@pytest.mark.integration
@pytest.mark.parametrize("flags", [[], ["--gzip"]], ids=["plain", "gzip"])
async def test_what_a_load_says_was_acknowledged_has_arrived(flags: list[str]) -> None:
    """Every span that the load counts as acknowledged is one that the server took, and refusals are counted by status."""
    async with edge(Accepted(), Overloaded("busy"), Accepted()) as made:
        words = ["--target", f"127.0.0.1:{made.http_port}", "--spans", "8", "--in-flight", "3"]
        words += ["--warm-up", "0.2", "--seconds", "0.3", "--distinct-spans", "64", *flags]
        child = await asyncio.create_subprocess_exec(*module("load_http", *words), stdout=subprocess.PIPE)
        said, _ = await asyncio.wait_for(child.communicate(), 30)
        report = json.loads(said.splitlines()[-1])
        assert report["sent"] == 8 * len(made.script.received)
        assert report["errors"] == {"HTTP 503": 1}
        assert report["acked"] == report["sent"] - 8
        assert 0 < report["spans"] <= report["acked"]
