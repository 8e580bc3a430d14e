"""What a tier is to the command, and how the command finds it: by entry point, so that this package imports no tier.

Owns the interface between `tailgate` (gateway.cli, gateway.net.workers) and the two tiers. Knows nothing of what a tier does.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from gateway.config.settings import LoadBalancerConfig, SamplerConfig
from gateway.errors import Mistake, StartupError

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

    def remarks(self, document: Document) -> list[Mistake]:
        """Judge the document as `parse` does; what is no mistake and probably not meant, or decided otherwise elsewhere.

        A message begins with `warning: ` or `note: `.
        """
        ...

    def run(self, config: Config, worker: Worker) -> int:
        """Serve until SIGTERM or SIGINT and drained; return the exit status. Raises StartupError."""
        ...


class Came(Protocol):
    """What came of a step of a replay."""

    @property
    def lines(self) -> Sequence[bytes]:
        """What to print, each with its newline."""
        ...

    @property
    def kept(self) -> Sequence[bytes]:
        """The requests that would have been exported, as protobuf."""
        ...

    @property
    def problem(self) -> str:
        """What was wrong with the request at hand; "" if nothing."""
        ...


class Replaying(Protocol):
    """A recording on its way through policies in virtual time. What is iterated over is to be read to its end."""

    def take(self, request: bytes, at: float) -> Iterator[Came]:
        """A request (protobuf) arrives at `at` virtual seconds, not before the last one."""
        ...

    def finish(self) -> Iterator[Came]:
        """No more comes: decide everything."""
        ...

    def summary(self) -> str:
        """What all came to, for people."""
        ...


class Replays(Protocol):
    """What the sampler's tier offers beside Tier."""

    def replay(self, config: SamplerConfig, budget: int, other: tuple[SamplerConfig, int] | None = None) -> Replaying:
        """A replay under this configuration with so many bytes for the buffer; with `other`, a comparison of the two."""
        ...


def find(name: str) -> Tier[Any]:
    """The tier of that name. Raises StartupError when the installation does not have it."""
    found: tuple[EntryPoint, ...] = tuple(entry_points(group=GROUP, name=name))
    if not found:
        raise StartupError(f"this installation of tailgate has no tier named {name!r}")
    tier: Tier[Any] = found[0].load()
    return tier
