"""What does a span cost a load balancer, from small requests to large, and what of that is the server's?

    .venv/bin/python -m bench.balancer [--rounds 3] [--cases 32x64,512x8z] [--rate 40000] [--floor] [--tiny]

Routes by trace id to two servers that take the request and answer, and acknowledges when they have. With --floor, servers of the
same kinds that do nothing else, under the same load.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.subjects import BALANCER
from bench.tiers import cases, command, stop_children_when_terminated

CASES = cases("32x64,128x64,512x8,512x8z,8192x8")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a process failed or an acknowledged span was lost."""
    return command("balancer", "CPU, latency and memory of the load balancer", {BALANCER: CASES}, argv)


if __name__ == "__main__":
    stop_children_when_terminated()
    sys.exit(main())
