"""Both tiers run under the bench, ours and the Collector's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import end_to_end, subjects


@pytest.mark.integration
def test_our_tiers_run_under_the_bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both tiers take the load, everything the balancer acknowledges arrives at the samplers, and all is written down."""
    written = tmp_path / "results.json"
    words = ["--tiny", "--subjects", "grpcio", "--cases", "32x4", "--json", str(written)]
    assert end_to_end.main(words) == 0
    assert "lost 0" in capsys.readouterr().out
    assert [r["tier"] for r in json.loads(written.read_text())["results"]] == ["balancer", "sampler"]


@pytest.mark.integration
@pytest.mark.skipif(
    subjects.collector() is None, reason=f"no Collector: {subjects.COLLECTOR_VARIABLE} names none, nor is it on PATH"
)
def test_the_collector_runs_under_the_bench(capsys: pytest.CaptureFixture[str]) -> None:
    """Both of the Collector's tiers take the same load."""
    assert end_to_end.main(["--tiny", "--subjects", "collector", "--cases", "32x4"]) == 0
    assert "lost 0" in capsys.readouterr().out


def test_without_a_collector_the_run_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A missing binary leaves its side out, and the reader is told which variable names it."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(subjects.COLLECTOR_VARIABLE, raising=False)
    assert subjects.there(["native", "collector"]) == ["native"]
    assert subjects.COLLECTOR_VARIABLE in capsys.readouterr().out
