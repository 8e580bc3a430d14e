"""What does a span cost a sampler: sent to directly, and fed by a load balancer of its own kind, which coalesces?

    .venv/bin/python -m bench.sampler [--only sampler|"sampler, fed"] [--rounds 3] [--cases 128x64] [--floor] [--tiny]

A fed sampler gets one half of what its balancer is sent; a bare server is the other member of the ring. Ours is fed by our
balancer, the Collector's by the Collector's. The size of a request is that of what the balancer is sent, and latency is that of
the two together; CPU and memory are the sampler's alone.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.subjects import FED, SAMPLER
from bench.tiers import cases, command, stop_children_when_terminated

CASES = cases("32x64,128x64,512x8,512x8z,8192x8")
FED_CASES = cases("128x64,512x8,8192x8")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a process failed."""
    return command("sampler", "CPU, latency and memory of the sampler", {SAMPLER: CASES, FED: FED_CASES}, argv)


if __name__ == "__main__":
    stop_children_when_terminated()
    sys.exit(main())
