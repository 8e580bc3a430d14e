"""Extensions `health_check` and `redis_membership`.

Owns their keys.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from gateway import limits
from gateway.config import settings
from gateway.config.addresses import Listen, Peer, RedisUrl
from gateway.config.balancing import CLUSTER
from gateway.config.block import Block, Flaw
from gateway.config.durations import Duration, duration_text
from gateway.config.scalars import Choice, Text, Unbuilt, Whole
from gateway.config.settings import Endpoint


class HealthCheck(Block):
    """Answers 200 when the process is ready and 503 when it is not."""

    unbuilt: ClassVar[Unbuilt] = dict.fromkeys(
        (
            "auth",
            "check_collector_pipeline",
            "component_health",
            "compression_algorithms",
            "cors",
            "grpc",
            "http",
            "idle_timeout",
            "include_metadata",
            "max_request_body_size",
            "read_header_timeout",
            "read_timeout",
            "response_body",
            "response_headers",
            "tls",
            "use_v2",
            "write_timeout",
        ),
        "",
    )

    endpoint: Annotated[Endpoint, Listen()] = Field(Endpoint("localhost", 13133), description="Where to listen.")
    path: Annotated[str, Text("a path such as /health", r"/[!-~]*")] = Field("/", description="The path that is asked.")

    def settings(self) -> settings.HealthCheck:
        """The settings."""
        return settings.HealthCheck(self.endpoint, self.path)


class RedisMembership(Block):
    """Makes a sampler a member of a cluster: it holds a lease in Redis, by which load balancers find it."""

    unbuilt: ClassVar[Unbuilt] = {"handoff_timeout": "", "secret": "", "seeds": "", "view_file": ""}

    url: Annotated[str, RedisUrl()] = Field(description="Which Redis; a password in it is never shown.")
    cluster: Annotated[str, CLUSTER] = Field("default", description="The cluster's name; several can share a Redis.")
    advertise: Annotated[Endpoint, Peer()] = Field(
        description="Where load balancers reach this sampler's gRPC receiver. Worker *i* advertises the port plus *i*."
    )
    ring_name: Annotated[str, Text("a name without spaces", r"[!-~]{0,255}", empty=True)] = Field(
        "",
        description="Its name on the ring; the same name after a restart means the same traces. Empty: the advertised endpoint.",
    )
    weight: Annotated[int, Whole(1, limits.WEIGHT_MAX)] = Field(
        1, description="Its share of the traces, relative to others."
    )
    lease: Annotated[float, Duration(min=limits.LEASE_MIN, max=3600)] = Field(
        limits.LEASE, description="How long after its last sign of life a sampler is a member."
    )
    poll: Annotated[float, Duration(min=0.05, max=60)] = Field(
        limits.POLL, description="How often the view is read; at most a third of the lease."
    )
    drain_timeout: Annotated[float, Duration(above=limits.DRAIN_RESERVE, max=3600)] = Field(
        limits.DRAIN_TIMEOUT,
        description="How long the process may take to end; shorter than the platform's grace period.",
    )
    duplicate_window: Annotated[float, Duration(max=3600)] = Field(
        limits.DUPLICATE_WINDOW,
        description="How long spans of kept traces are recognised when they are sent again; `0` means not.",
    )
    ring: Annotated[str, Choice(("maglev", "consistent"))] = Field(
        "consistent", description="How the ring is built. All members must agree; the first to join decides."
    )

    def flaws(self) -> Iterator[Flaw]:
        """A lease is not missed between two polls."""
        if self.poll * 3 > self.lease:
            yield Flaw(
                ("poll",) if "poll" in self.model_fields_set else ("lease",),
                f"poll ({duration_text(self.poll)}) must be at most a third of lease ({duration_text(self.lease)})",
            )

    def settings(self) -> settings.RedisMembership:
        """The settings."""
        return settings.RedisMembership(
            redis=settings.RedisCluster(self.url, self.cluster, self.poll),
            advertise=self.advertise,
            ring_name=self.ring_name,
            weight=self.weight,
            lease=self.lease,
            drain_timeout=self.drain_timeout,
            duplicate_window=self.duplicate_window,
            ring=self.ring,
        )
