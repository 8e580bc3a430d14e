"""What every bench says of its results: whose they are, as a table, as a file. Knows nothing of what was measured."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.processes import ROOT


def header() -> str:
    """What the results belong to: commit, date, machine."""
    asked = {"commit": ["rev-parse", "--short", "HEAD"], "changed": ["status", "--porcelain", "--untracked-files=no"]}
    git = {}
    for key, words in asked.items():
        done = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
        git[key] = done.stdout.strip()
    return (
        f"commit {git['commit'] or 'unknown'}{' with changes' if git['changed'] else ''} · {time.strftime('%Y-%m-%d %H:%M')}"
        f" · {os.cpu_count()} cores · Python {platform.python_version()} · load average {os.getloadavg()[0]:.1f} at the start"
    )


def markdown(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table."""
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def write(path: Path | None, bench: str, told: str, results: Iterable[Any]) -> None:
    """Every single result (a dataclass each) as JSON, if a path is asked for; bench.plot reads it."""
    if path is not None:
        whole = {"bench": bench, "header": told, "results": [asdict(result) for result in results]}
        path.write_text(json.dumps(whole, indent=1))
