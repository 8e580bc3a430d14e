"""Exporter `load_balancing`: how a load balancer finds samplers and speaks to them.

Owns its keys and its resolvers'. Knows no ring.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from gateway import limits
from gateway.config import settings
from gateway.config.addresses import Peer, PortlessEndpoint, RedisUrl
from gateway.config.block import PRESENT, Block, Flaw
from gateway.config.durations import Duration
from gateway.config.otlp import COMPRESSION, QUEUE_UNBUILT, Client, HttpClient
from gateway.config.scalars import Choice, Only, Switch, Text, Unbuilt
from gateway.config.settings import Endpoint

_GRPC_PORT, _HTTP_PORT = 4317, 4318
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

    hostnames: list[Annotated[Endpoint, Peer(_GRPC_PORT)]] = Field(
        description="Their endpoints; without a port 4317, or 4318 with `protocol.otlp_http`."
    )
    drain_delay: Annotated[float, Duration(max=600)] = Field(
        limits.DRAIN_DELAY, description="How long a load balancer goes on serving after it was asked to end."
    )

    def flaws(self) -> Iterator[Flaw]:
        """There is a sampler, and there are not too many."""
        if not self.hostnames:
            yield Flaw(("hostnames",), "names no sampler")
        if len(self.hostnames) > limits.MEMBERS_MAX:
            yield Flaw(("hostnames",), f"names more than {limits.MEMBERS_MAX} samplers")

    def endpoints(self, port: int) -> list[Endpoint]:
        """The samplers; `port` is theirs where none was given."""
        return [Endpoint(at.host, port if isinstance(at, PortlessEndpoint) else at.port) for at in self.hostnames]

    def twice(self, port: int) -> Iterator[Flaw]:
        """Each that is named again."""
        endpoints = self.endpoints(port)
        for index, endpoint in enumerate(endpoints):
            first = endpoints.index(endpoint)
            if first != index:
                yield Flaw(("hostnames", index), f"{endpoint} is there already, as hostnames[{first}]")

    def settings(self, port: int) -> settings.StaticResolver:
        """The settings."""
        return settings.StaticResolver(tuple(self.endpoints(port)), self.drain_delay)


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


class ForwardHttpClient(HttpClient):
    """How a balancer speaks to samplers over HTTP; to one that has no HTTP address, it speaks gRPC with the same settings."""

    refused: ClassVar[Mapping[str, str]] = dict.fromkeys(
        ("endpoint", "traces_endpoint"), "refused: the resolver names the endpoint of each sampler"
    )

    compression: Annotated[str, COMPRESSION] = Field(
        "none", description="How requests are compressed; samplers are near, and CPU is dearer than their network."
    )
    timeout: Annotated[float, Duration(above=0)] = Field(
        limits.FORWARD_TIMEOUT, description="How long one attempt may take."
    )
    retry_on_failure: ForwardRetry = Field(
        ForwardRetry(), description="What happens when a sampler does not take a part."
    )
    sending_queue: ForwardQueue = Field(ForwardQueue(), description="Accepted, without effect.")

    def settings(self) -> settings.OtlpClient:
        """The settings."""
        return settings.OtlpClient(
            insecure=self.tls.insecure,
            gzip=self.compression == "gzip",
            headers=self.headers,
            timeout=self.timeout,
            http_path=settings.TRACES_PATH,
        )


class Protocol(Block):
    """How samplers are spoken to: over gRPC unless HTTP is named."""

    otlp: ForwardClient = Field(ForwardClient(), description="OTLP over gRPC, in requests of at most 4 MiB.")
    otlp_http: Annotated[ForwardHttpClient | None, PRESENT] = Field(
        None, description="OTLP over HTTP instead, in requests of at most 4 MiB."
    )

    def flaws(self) -> Iterator[Flaw]:
        """There is one."""
        if self.otlp_http is not None and "otlp" in self.model_fields_set:
            yield Flaw(("otlp_http",), "stands beside otlp; samplers are spoken to in one way")

    def settings(self) -> settings.OtlpClient:
        """The settings of the one that is named."""
        return self.otlp.settings() if self.otlp_http is None else self.otlp_http.settings()


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

    def flaws(self) -> Iterator[Flaw]:
        """Each sampler is named once; what it is when no port is given depends on the protocol."""
        if self.resolver.static is not None:
            for path, message in self.resolver.static.twice(self._port):
                yield Flaw(("resolver", "static", *path), message)

    @property
    def _port(self) -> int:
        return _GRPC_PORT if self.protocol.otlp_http is None else _HTTP_PORT

    def resolver_settings(self) -> settings.RedisResolver | settings.StaticResolver:
        """The settings of the resolver that is named."""
        if self.resolver.redis is not None:
            return self.resolver.redis.settings()
        assert self.resolver.static is not None, "flaws_in has seen one"
        return self.resolver.static.settings(self._port)
