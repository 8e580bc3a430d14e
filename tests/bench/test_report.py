"""Results say whose they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from bench import report


@dataclass
class Result:
    ns: float


def test_results_are_written_with_what_they_belong_to(tmp_path: Path) -> None:
    """A file of results names the bench, the commit and the date; without a path nothing is written."""
    told = report.header()
    assert told.startswith("commit ") and " cores · Python 3." in told
    report.write(None, "split", told, [Result(1.0)])
    report.write(tmp_path / "one.json", "split", told, [Result(1.0)])
    assert json.loads((tmp_path / "one.json").read_text()) == {
        "bench": "split",
        "header": told,
        "results": [{"ns": 1.0}],
    }


def test_a_table_is_markdown() -> None:
    """A head, a rule and the rows."""
    assert report.markdown(["a", "b"], [["1", "2"]]).splitlines() == ["| a | b |", "|---|---|", "| 1 | 2 |"]
