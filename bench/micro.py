"""What benches of one part of the program share, which run it in their own process: forms measured by turns, and how they end.

Costs are CPU time of this process. An item's cost is the least of several rounds: whatever else the machine does can only add.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

from bench import report, workload
from gateway import kernel
from gateway.kernel import Kernel

ROUNDS = 7
SLICE = 0.03  # seconds of one form's turn
Key = TypeVar("Key", bound=Hashable)
Work = Callable[[], int]
"""Does a share of work; how many items it was."""


class DisagreementError(Exception):
    """Two forms of the same work came to different results."""


def arguments(
    question: str, argv: Sequence[str] | None, *extra: tuple[str, type, object, str], rounds: int = ROUNDS
) -> argparse.Namespace:
    """The command line every such bench has, and `extra` options as (name, type, default, help)."""
    parser = argparse.ArgumentParser(description=question)
    parser.add_argument("--rounds", type=int, default=0, help=f"in which every form has a turn; {rounds}")
    parser.add_argument("--json", type=Path, help="where to write every single result")
    parser.add_argument("--tiny", action="store_true", help="shows that it runs, not what it costs")
    for name, kind, default, text in extra:
        parser.add_argument(name, type=kind, default=default, help=text)
    asked = parser.parse_args(argv)
    asked.rounds = asked.rounds or (1 if asked.tiny else rounds)
    asked.slice = 0.0 if asked.tiny else SLICE
    return asked


@cache
def kernels() -> list[Kernel]:
    """The forms that there are here, the compiled one last; says if it is not."""
    forms = [kernel.load("pure")]
    try:
        forms.append(kernel.load("compiled"))
    except kernel.NotBuiltError as error:
        print(f"the compiled form is left out: {error}")
    return forms


def cost(works: Mapping[Key, Work], rounds: int, seconds: float) -> dict[Key, float]:
    """CPU nanoseconds an item of every work, each of whose turns takes about so many seconds."""
    gc.collect()
    gc.freeze()  # as the product does after its start
    times = {key: max(1, round(seconds * 1e9 / _turn(work, 1)[0])) for key, work in works.items()}
    turns = [{key: _turn(work, times[key]) for key, work in works.items()} for _ in range(rounds)]
    gc.unfreeze()
    return {key: min(spent / items for spent, items in (turn[key] for turn in turns)) for key in works}


def _turn(work: Work, times: int) -> tuple[int, int]:
    """Nanoseconds and items of so many times this work."""
    start = time.process_time_ns()
    items = sum(work() for _ in range(times))
    return time.process_time_ns() - start, items


def agreed(results: Mapping[str, int]) -> int:
    """The checksum that all of these forms of the same work came to. Raises DisagreementError."""
    if len(set(results.values())) != 1:
        raise DisagreementError(f"not the same result: {results}")
    return next(iter(results.values()))


class BySize(Protocol):
    """A result of one form at one size of request."""

    form: str
    spans: int
    ns: float


def by_size(title: str, results: Sequence[BySize]) -> str:
    """A row a size, a column a form, the others' costs as multiples of the last form's beside them."""
    forms = list(dict.fromkeys(r.form for r in results))
    rows = []
    for spans in dict.fromkeys(r.spans for r in results):
        costs = {r.form: r.ns for r in results if r.spans == spans}
        rows.append([f"{spans:,}", *(f"{ns:,.0f} (×{ns / costs[forms[-1]]:.1f})" for ns in costs.values())])
    return report.markdown([f"{title}; spans a request", *forms], rows)


def requests_of(spans: int, count: int) -> list[bytes]:
    """So many different requests of so many spans each."""
    source = workload.stream(workload.templates(spans, distinct_spans=spans * count))
    return [request for request, _ in islice(source, count)]


def over(requests: Sequence[bytes], once: Callable[[bytes], int]) -> Work:
    """The work of doing something to every one of these requests; `once` returns how many items there were in it."""
    return lambda: sum(map(once, requests))
