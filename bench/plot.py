"""Draws what the benches wrote with --json: cost against the size of a request and against the number of buffered traces.

    .venv/bin/python -m bench.plot RESULTS.json ... [--into bench/plots]

One SVG a question, for the results of bench.targets, end_to_end, balancer, sampler, growth, split and facts; of files that
answer the same one the last counts. Text and axes take the reader's colour scheme, light or dark; the lines' colours are legible
on both.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

WIDTH, HEIGHT = 720, 400
LEFT, RIGHT, TOP, BOTTOM = 72, 150, 40, 52
COLOURS = ("#0b8a6f", "#3b82f6", "#e0692f", "#a855c7", "#8a8f98")
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600; font-size: 15px }
.grid { stroke: #24292f; stroke-opacity: .15 }
.axis { stroke: #24292f; stroke-opacity: .6 }
@media (prefers-color-scheme: dark) { text { fill: #e6edf3 } .grid, .axis { stroke: #e6edf3 } }
"""

Point = tuple[float, float]


class Plot(NamedTuple):
    """Lines by name. The horizontal axis is logarithmic; the vertical one too when `log`, else it begins at 0."""

    title: str
    across: str
    up: str
    lines: dict[str, list[Point]]
    log: bool = False


# ---------------------------------------------------------------- from results to lines


def lines_of(rows: Iterable[tuple[str, float, float]]) -> dict[str, list[Point]]:
    """(line, x, y) as lines: the median where there are several."""
    found: dict[str, dict[float, list[float]]] = {}
    for line, x, y in rows:
        found.setdefault(line, {}).setdefault(x, []).append(y)
    return {line: sorted((x, statistics.median(ys)) for x, ys in points.items()) for line, points in found.items()}


def plots(document: dict[str, Any]) -> dict[str, Plot]:
    """The plots of one bench's results, by file name; none for benches that have nothing to draw."""
    results = document["results"]
    match document["bench"]:
        case "targets" | "end_to_end" | "balancer" | "sampler":
            plain = [r for r in results if r["tier"] != "floor" and "gzip" not in r["case"] and "/s" not in r["case"]]
            return {
                f"{tier.replace(', ', '_')}.svg": Plot(
                    f"A span's cost in the {'load ' if tier == 'balancer' else ''}{tier}",
                    "spans a request",
                    "CPU ns/span",
                    lines_of((r["name"], r["spans"], r["cpu_ns"]) for r in plain if r["tier"] == tier),
                )
                for tier in dict.fromkeys(r["tier"] for r in plain)
            }
        case "growth":
            most = max(r["policies"] for r in results)
            lines = lines_of((r["form"], r["buffered"], r["ns"]) for r in results if r["policies"] == 3)
            by_policies = lines_of(
                (r["form"], r["policies"], r["ns"]) for r in results if _same_buffer(r, results, most)
            )
            return {
                "buffered.svg": Plot("A span's cost in the sampler's core", "buffered traces", "CPU ns/span", lines),
                "policies.svg": Plot("A span's cost in the sampler's core", "policies", "CPU ns/span", by_policies),
            }
        case "split" | "facts" as bench:
            title = "Dividing a request" if bench == "split" else "Reading the facts"
            lines = lines_of((r["form"], r["spans"], r["ns"]) for r in results)
            return {f"{bench}.svg": Plot(title, "spans a request", "CPU ns/span", lines, log=True)}
        case _:
            return {}


def _same_buffer(result: dict[str, Any], results: list[dict[str, Any]], most: int) -> bool:
    """Whether this one belongs to the series over policies: its buffer is that of the one with most of them."""
    return bool(result["buffered"] == next(r["buffered"] for r in results if r["policies"] == most))


# ---------------------------------------------------------------- from lines to SVG


class Scale:
    """From values to pixels, logarithmic or from 0, and where the ticks are."""

    def __init__(self, values: Sequence[float], start: float, stop: float, *, log: bool) -> None:
        self._log, self._start, self._stop = log, start, stop
        low, high = min(values), max(values)
        if log:
            self.ticks = [10.0**n for n in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)]
            self._low, self._high = (low, high) if low < high else (low / 2, high * 2)
        else:
            step = 10 ** math.floor(math.log10(high))
            step = step if high / step >= 4 else step / 2 if high / step >= 2 else step / 5
            self._low, self._high = 0.0, step * math.ceil(high / step)
            self.ticks = [step * n for n in range(round(self._high / step) + 1)]

    def widened(self) -> Scale:
        """To the ticks outside, so that none is missing."""
        self._low, self._high = min(self._low, self.ticks[0]), max(self._high, self.ticks[-1])
        return self

    def __call__(self, value: float) -> float:
        """The pixel of a value."""
        low, high, value = (
            map(math.log10, (self._low, self._high, value)) if self._log else (self._low, self._high, value)
        )
        return self._start + (value - low) / (high - low) * (self._stop - self._start)


def svg(plot: Plot) -> str:
    """The plot as an SVG document."""
    points = [point for line in plot.lines.values() for point in line]
    xs = sorted({x for x, _ in points})
    x_at = Scale(xs, LEFT, WIDTH - RIGHT, log=True)
    y_at = Scale([y for _, y in points], HEIGHT - BOTTOM, TOP, log=plot.log).widened()
    parts = [
        _text(LEFT, 22, plot.title, "title"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, plot.across, anchor="middle"),
    ]
    parts.append(_text(LEFT, TOP - 4, plot.up + (" (logarithmic)" if plot.log else "")))
    for y in y_at.ticks:
        parts.append(f'<path class="grid" d="M{LEFT} {y_at(y):.1f}H{WIDTH - RIGHT}"/>')
        parts.append(_text(LEFT - 8, y_at(y) + 4, f"{y:,.0f}", anchor="end"))
    for x in xs:
        parts.append(f'<path class="axis" d="M{x_at(x):.1f} {HEIGHT - BOTTOM}v5"/>')
        parts.append(_text(x_at(x), HEIGHT - BOTTOM + 20, f"{x:,.0f}", anchor="middle"))
    parts.append(f'<path class="axis" fill="none" d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}"/>')
    for (name, line), colour, at in zip(plot.lines.items(), COLOURS, _label_places(plot, y_at), strict=False):
        parts += _line(name, [(x_at(x), y_at(y)) for x, y in line], colour, at)
    box = f'viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(plot.title)}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {box}>\n<style>{STYLE}</style>\n' + "\n".join(parts) + "\n</svg>\n"


def _label_places(plot: Plot, y_at: Scale) -> list[float]:
    """How high the name of each line stands: at the line's end, but never two on one another."""
    ends = sorted((y_at(line[-1][1]), name) for name, line in plot.lines.items())
    places: dict[str, float] = {}
    for at, name in ends:
        places[name] = max(at, max(places.values(), default=-math.inf) + 16)
    return [places[name] for name in plot.lines]


def _line(name: str, points: Sequence[Point], colour: str, label_at: float) -> list[str]:
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>' for x, y in points]
    label = f'<text x="{points[-1][0] + 12:.1f}" y="{label_at + 4:.1f}" style="fill: {colour}">{escape(name)}</text>'
    return [f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots, label]


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def main(argv: Sequence[str] | None = None) -> int:
    """Draw every file's plots."""
    parser = argparse.ArgumentParser(description="plots of bench results")
    parser.add_argument("results", type=Path, nargs="+", help="files that --json wrote")
    parser.add_argument("--into", type=Path, default=Path(__file__).parent / "plots", help="a directory")
    asked = parser.parse_args(argv)
    asked.into.mkdir(parents=True, exist_ok=True)
    for path in asked.results:
        document = json.loads(path.read_text())
        for name, plot in plots(document).items():
            (asked.into / name).write_text(svg(plot))
            print(f"{asked.into / name}: {plot.title}, {document['header']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
