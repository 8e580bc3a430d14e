"""What a tier is to the command, and how the command finds it: by entry point, so that this package imports no tier.

Owns the interface between `tailgate` (gateway.cli, gateway.net.workers) and the two tiers. Knows nothing of what a tier does.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gateway.config.settings import LoadBalancerConfig, SamplerConfig
from gateway.errors import StartupError

if TYPE_CHECKING:
    from gateway.config import Document

GROUP = "tailgate.tiers"

Config = TypeVar("Config", LoadBalancerConfig, SamplerConfig)


@dataclass(frozen=True, slots=True)
class Worker:
    """Which process of a tier this is.

    index: worker i of a sampler listens and advertises on port + i; the workers of a load balancer all take the port itself.
    workers: with more than 1 the listeners of a load balancer share their port (SO_REUSEPORT), otherwise that is off.
    admin_socket: "" to serve health and metrics on the configured addresses; otherwise they are served on this unix socket
        only, and the parent process answers on the configured addresses for all workers.
    """

    index: int = 0
    workers: int = 1
    admin_socket: str = ""


class Tier(Protocol[Config]):
    """One tier, as its package offers it under the entry point group `tailgate.tiers`."""

    @property
    def name(self) -> str:
        """The command's word for it: "loadbalancer" or "sampler"."""
        ...

    def parse(self, document: Document) -> Config:
        """Judge the document and return the settings; raises ConfigError with every mistake in it."""
        ...

    def run(self, config: Config, worker: Worker) -> int:
        """Serve until SIGTERM or SIGINT and drained; return the exit status. Raises StartupError."""
        ...


def find(name: str) -> Tier[Any]:
    """The tier of that name. Raises StartupError when the installation does not have it."""
    found: tuple[EntryPoint, ...] = tuple(entry_points(group=GROUP, name=name))
    if not found:
        raise StartupError(f"this installation of tailgate has no tier named {name!r}")
    tier: Tier[Any] = found[0].load()
    return tier
