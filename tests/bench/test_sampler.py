"""The sampler's bench runs, also with a balancer before the sampler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import sampler


@pytest.mark.integration
def test_a_fed_sampler_is_charged_for_what_it_gets(tmp_path: Path) -> None:
    """Of what a balancer is sent about half goes to the sampler, and its cost is divided by that half."""
    written = tmp_path / "results.json"
    words = ["--tiny", "--subjects", "native", "--only", "sampler, fed", "--json", str(written)]
    assert sampler.main(words) == 0
    (fed,) = json.loads(written.read_text())["results"]
    assert fed["acked"] > 0 and 0.3 < fed["arrived"] / fed["acked"] < 0.8, "the other half, and what was kept"
