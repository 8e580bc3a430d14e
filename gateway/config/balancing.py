"""Exporter `load_balancing`: how a load balancer finds samplers and speaks to them.

Owns its keys and its resolvers'. Knows no ring.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from gateway import limits
from gateway.config import settings
from gateway.config.addresses import Peer, RedisUrl
from gateway.config.block import PRESENT, Block, Flaw
from gateway.config.durations import Duration
from gateway.config.otlp import QUEUE_UNBUILT, Client
from gateway.config.scalars import Choice, Only, Switch, Text, Unbuilt
from gateway.config.settings import Endpoint

CLUSTER = Text("the name of a cluster (letters, digits, - _ and .)", r"[A-Za-z0-9_.\-]{1,64}")


class RedisResolver(Block):
    """Finds samplers by their leases in Redis (theirs: extension redis_membership)."""

    unbuilt: ClassVar[Unbuilt] = {"seeds": "", "view_file": ""}

    url: Annotated[str, RedisUrl()] = Field(description="Which Redis; a password in it is never shown.")
    cluster: Annotated[str, CLUSTER] = Field("default", description="The cluster's name; several can share a Redis.")
    poll: Annotated[float, Duration(min=0.05, max=60)] = Field(limits.POLL, description="How often the view is read.")
    drain_delay: Annotated[float, Duration(max=600)] = Field(
        limits.DRAIN_DELAY, description="How long a load balancer goes on serving after it was asked to end."
    )

    def settings(self) -> settings.RedisResolver:
        """The settings."""
        return settings.RedisResolver(settings.RedisCluster(self.url, self.cluster, self.poll), self.drain_delay)


class StaticResolver(Block):
    """The samplers by hand."""

    hostnames: list[Annotated[Endpoint, Peer(4317)]] = Field(description="Their endpoints; without a port, 4317.")
    drain_delay: Annotated[float, Duration(max=600)] = Field(
        limits.DRAIN_DELAY, description="How long a load balancer goes on serving after it was asked to end."
    )

    def flaws(self) -> Iterator[Flaw]:
        """There is a sampler, and each is named once."""
        if not self.hostnames:
            yield Flaw(("hostnames",), "names no sampler")
        if len(self.hostnames) > limits.MEMBERS_MAX:
            yield Flaw(("hostnames",), f"names more than {limits.MEMBERS_MAX} samplers")
        for index, endpoint in enumerate(self.hostnames):
            first = self.hostnames.index(endpoint)
            if first != index:
                yield Flaw(("hostnames", index), f"{endpoint} is there already, as hostnames[{first}]")

    def settings(self) -> settings.StaticResolver:
        """The settings."""
        return settings.StaticResolver(tuple(self.hostnames), self.drain_delay)


class Resolver(Block):
    """Exactly one of them."""

    unbuilt: ClassVar[Unbuilt] = {"dns": "", "k8s": "", "aws_cloud_map": ""}

    redis: Annotated[RedisResolver | None, PRESENT] = Field(
        None, description="Samplers found by their leases in Redis."
    )
    static: Annotated[StaticResolver | None, PRESENT] = Field(None, description="Samplers listed by hand.")

    @classmethod
    def flaws_in(cls, given: Mapping[str, object]) -> Iterator[Flaw]:
        """There is one, and there is only one."""
        named = [key for key in ("redis", "static", *cls.unbuilt) if key in given]
        if not named:
            yield Flaw((), "names no resolver: redis or static")
        for key in named[1:]:
            yield Flaw((key,), f"stands beside {named[0]}; there can be only one resolver")


_OWN_PACE = "a balancer tries again at its own pace, as long as the agent waits"
_NO_QUEUE = "a balancer queues nothing beyond what agents wait for; memory_limiter bounds it in bytes"


class ForwardRetry(Block):
    """How a balancer treats a part of a request that a sampler did not take."""

    refused: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("initial_interval", "randomization_factor", "multiplier", "max_interval", "max_elapsed_time"),
        f"refused: {_OWN_PACE}",
    )

    enabled: Annotated[bool, Only(True, f"{_OWN_PACE}; without it one restarting sampler would fail every agent")] = (
        Field(True, description=f"Always `true`: {_OWN_PACE} (80 % of its deadline), by the newest view.")
    )


class ForwardQueue(Block):
    """Here for the sake of the Collector's files."""

    unbuilt: ClassVar[Unbuilt] = QUEUE_UNBUILT
    refused: ClassVar[Mapping[str, str]] = dict.fromkeys(("num_consumers", "queue_size"), f"refused: {_NO_QUEUE}")

    enabled: Annotated[bool, Switch()] = Field(True, description=f"Has no effect, by design: {_NO_QUEUE}.")


class ForwardClient(Client):
    """How a balancer speaks to samplers: as the exporter otlp does, to the endpoints that the resolver finds."""

    refused: ClassVar[Mapping[str, str]] = {"endpoint": "refused: the resolver names the endpoint of each sampler"}

    retry_on_failure: ForwardRetry = Field(
        ForwardRetry(), description="What happens when a sampler does not take a part."
    )
    sending_queue: ForwardQueue = Field(ForwardQueue(), description="Accepted, without effect.")

    def settings(self) -> settings.OtlpClient:
        """The settings."""
        return settings.OtlpClient(
            insecure=self.tls.insecure, gzip=self.compression == "gzip", headers=self.headers, timeout=self.timeout
        )


class Protocol(Block):
    """How samplers are spoken to."""

    unbuilt: ClassVar[Unbuilt] = {"otlp_http": ""}

    otlp: ForwardClient = Field(ForwardClient(), description="OTLP over gRPC, in requests of at most 4 MiB.")


class LoadBalancing(Block):
    """Sends each trace to the sampler that owns it. Requests to one sampler are coalesced while others are on their way."""

    unbuilt: ClassVar[Unbuilt] = {
        "retry_on_failure": "a part that a sampler did not take is sent again as long as the agent waits",
        "routing_attributes": "",
        "sending_queue": "a balancer queues nothing beyond what agents wait for",
        "timeout": "protocol.otlp.timeout bounds an attempt",
    }

    routing_key: Annotated[
        str,
        Choice(
            ("traceID",),
            tuple(
                (key, "only traceID keeps traces whole")
                for key in ("service", "attributes", "resource", "metric", "streamID")
            ),
        ),
    ] = Field("traceID", description="What decides where a span goes.")
    protocol: Protocol = Field(Protocol(), description="How samplers are spoken to.")
    resolver: Resolver = Field(description="How samplers are found.")

    @classmethod
    def flaws_in(cls, given: Mapping[str, object]) -> Iterator[Flaw]:
        """What is wrong with the resolver's choice."""
        resolver = given.get("resolver", {"redis": None})
        if isinstance(resolver, dict) or resolver is None:
            yield from (Flaw(("resolver", *path), message) for path, message in Resolver.flaws_in(resolver or {}))

    def resolver_settings(self) -> settings.RedisResolver | settings.StaticResolver:
        """The settings of the resolver that is named."""
        resolver = self.resolver.redis or self.resolver.static
        assert resolver is not None, "flaws_in has seen one"
        return resolver.settings()
