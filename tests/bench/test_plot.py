"""Results become plots that a browser can read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from bench import plot
from bench.plot import Plot, Scale, plots, svg

GROWTH = {
    "bench": "growth",
    "header": "commit 1234567",
    "results": [
        {"form": "compiled", "buffered": 100_000, "policies": 1, "ns": 500.0},
        {"form": "compiled", "buffered": 100_000, "policies": 50, "ns": 560.0},
        {"form": "compiled", "buffered": 10_000, "policies": 3, "ns": 480.0},
        {"form": "compiled", "buffered": 2_000_000, "policies": 3, "ns": 520.0},
    ],
}


def tiers(**other: Any) -> dict[str, Any]:
    return {"tier": "balancer", "name": "native", "case": "512 (8)", "spans": 512, "cpu_ns": 900.0} | other


def test_growth_is_drawn_against_buffered_traces_and_against_policies() -> None:
    """Both questions of the bench have a plot."""
    drawn = plots(GROWTH)
    assert drawn["buffered.svg"].lines == {"compiled": [(10_000, 480.0), (2_000_000, 520.0)]}
    assert drawn["policies.svg"].lines == {"compiled": [(1, 500.0), (50, 560.0)]}


def test_a_point_is_the_median_of_the_rounds() -> None:
    """Compressed loads, timetables and bare servers are no points of the line over request sizes."""
    results = [tiers(), tiers(cpu_ns=1100.0), tiers(cpu_ns=9000.0), tiers(spans=32, cpu_ns=3000.0)]
    others = [tiers(case="512 gzip (8)"), tiers(case="512 (8) at 40,000/s"), tiers(tier="floor")]
    drawn = plots({"bench": "targets", "header": "", "results": results + others})
    assert drawn["balancer.svg"].lines == {"native": [(32, 3000.0), (512, 1100.0)]}
    assert list(drawn) == ["balancer.svg"]


@pytest.mark.parametrize("log", [False, True])
def test_every_line_is_drawn_and_named(log: bool) -> None:
    """The plot is XML with a path, its points and a name for each line, in colours that both schemes bear."""
    lines = {"ours": [(1.0, 70.0), (512.0, 90.0)], "theirs <1>": [(1.0, 4000.0), (512.0, 5000.0)]}
    root = ElementTree.fromstring(svg(Plot("A title", "spans", "ns", lines, log)))
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"A title", "ours", "theirs <1>"} <= set(texts)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 4
    assert "prefers-color-scheme: dark" in (root.findtext("{http://www.w3.org/2000/svg}style") or "")


def test_an_axis_begins_at_zero_unless_it_is_logarithmic() -> None:
    """A cost twice as high stands twice as high."""
    scale = Scale([50.0, 100.0], 0.0, 200.0, log=False).widened()
    assert (scale(0.0), scale(50.0), scale(100.0)) == (0.0, 100.0, 200.0)
    logarithmic = Scale([10.0, 1000.0], 0.0, 200.0, log=True).widened()
    assert (logarithmic(10.0), logarithmic(100.0), logarithmic(1000.0)) == (0.0, 100.0, 200.0)


def test_files_become_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each plot is named with the commit its results were taken at."""
    (tmp_path / "growth.json").write_text(json.dumps(GROWTH))
    assert plot.main([str(tmp_path / "growth.json"), "--into", str(tmp_path / "plots")]) == 0
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["buffered.svg", "policies.svg"]
    assert "commit 1234567" in capsys.readouterr().out
