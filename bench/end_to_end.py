"""What does a span cost in each tier, ours and the Collector's? Answered in the same run, alternating, on the same load.

    .venv/bin/python -m bench.end_to_end [--only balancer|sampler] [--rounds 3] [--rate 40000] [--floor] [--tiny]

bench.balancer and bench.sampler ask more of one tier; bench.targets holds all of it against the goals.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.report import header as header
from bench.subjects import BALANCER, SAMPLER
from bench.tiers import Case, command, stop_children_when_terminated

CASES = (Case(32, 64), Case(512, 8), Case(8192, 8))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a process failed or an acknowledged span was lost."""
    return command("end_to_end", "CPU, latency and memory of each tier", {BALANCER: CASES, SAMPLER: CASES}, argv)


if __name__ == "__main__":
    stop_children_when_terminated()
    sys.exit(main())
