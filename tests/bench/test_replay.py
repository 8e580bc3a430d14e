"""The bench of a replay runs, and reads lines as protobuf's own reader does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench import micro, replay


def test_a_tiny_run_prints_a_checksum_and_writes_its_results(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The bench ends with what it computed, so that it cannot be fast by doing nothing."""
    written = tmp_path / "results.json"
    assert replay.main(["--tiny", "--spans", "16", "--json", str(written)]) == 0
    assert "\nchecksum" in capsys.readouterr().out
    found = json.loads(written.read_text())
    assert found["bench"] == "replay"
    assert all(result["ns"] > 0 and result["checksum"] for result in found["results"])


def test_readers_that_differ_are_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader that is fast and wrong stops the bench."""
    line = b'{"resourceSpans":[{"schemaUrl":"x"}]}'
    replay.check(line)
    monkeypatch.setattr(replay, "to_protobuf", lambda line: b"")
    with pytest.raises(micro.DisagreementError):
        replay.check(line)
