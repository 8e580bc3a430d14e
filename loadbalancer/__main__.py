"""`python -m loadbalancer` is `tailgate loadbalancer`; and the tier as the command finds it."""

from __future__ import annotations

import sys

from gateway.config import Document
from gateway.config.settings import LoadBalancerConfig
from gateway.errors import Mistake
from gateway.net import log, process
from gateway.net.tier import Worker
from loadbalancer.config import parse
from loadbalancer.service import serve


class LoadBalancerTier:
    """The load balancer tier; see gateway.net.tier.Tier."""

    name = "loadbalancer"

    def parse(self, document: Document) -> LoadBalancerConfig:
        """Judge the document; raises ConfigError."""
        return parse(document)

    def remarks(self, document: Document) -> list[Mistake]:
        """None: what is right for a load balancer is also meant. Raises ConfigError."""
        parse(document)
        return []

    def run(self, config: LoadBalancerConfig, worker: Worker) -> int:
        """Serve until asked to end; the exit status. Raises StartupError."""
        log.configure(config.telemetry, self.name)
        return process.run(lambda stop: serve(config, worker, stop))


TIER = LoadBalancerTier()

if __name__ == "__main__":
    from gateway.cli import main

    sys.exit(main(["loadbalancer", *sys.argv[1:]]))
