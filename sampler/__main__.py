"""`python -m sampler` is `tailgate sampler`; and the tier as the command finds it."""

from __future__ import annotations

import sys

from gateway.config import Document
from gateway.config.settings import SamplerConfig
from gateway.errors import Mistake
from gateway.net import log, process
from gateway.net.tier import Replaying, Worker
from sampler.config import parse, remarks
from sampler.replay import Comparison, Replay
from sampler.service import serve


class SamplerTier:
    """The sampler tier; see gateway.net.tier.Tier."""

    name = "sampler"

    def parse(self, document: Document) -> SamplerConfig:
        """Judge the document; raises ConfigError."""
        return parse(document)

    def remarks(self, document: Document) -> list[Mistake]:
        """What in the document is allowed and probably not meant; raises ConfigError."""
        return remarks(document)

    def run(self, config: SamplerConfig, worker: Worker) -> int:
        """Serve until asked to end; the exit status. Raises StartupError."""
        log.configure(config.telemetry, self.name)
        return process.run(lambda stop: serve(config, worker, stop))

    def replay(self, config: SamplerConfig, budget: int, other: tuple[SamplerConfig, int] | None = None) -> Replaying:
        """Recorded requests under this configuration; see gateway.net.tier.Replays."""
        return Replay(config, budget) if other is None else Comparison((config, budget), other)


TIER = SamplerTier()

if __name__ == "__main__":
    from gateway.cli import main

    sys.exit(main(["sampler", *sys.argv[1:]]))
