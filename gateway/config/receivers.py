"""Receiver `otlp`: how OTLP is taken in.

Owns its keys. Knows nothing of the wire.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from gateway import limits
from gateway.config import settings
from gateway.config.addresses import Listen
from gateway.config.block import PRESENT, Block, Flaw
from gateway.config.scalars import Choice, Size, Text, Unbuilt, Whole
from gateway.config.settings import Endpoint

_MIB = limits.MIB
_LARGEST = (
    f"a larger request would not fit a member's share of an idle balancer ({limits.REQUEST_BYTES_MAX // _MIB} MiB)"
)

_FRONT = (
    "What carries gRPC; ours, the Collector has no such key. `native` takes a request for a fraction of the CPU and needs "
    "`pip install 'tailgate[native]'`. It is not the default because its release 0.5.0 has no bound on a message before it is "
    "inflated (`max_recv_msg_size_mib` is checked afterwards), no TLS and no limit or ageing of connections: choose it where "
    "those who can connect are trusted. Its close() would fail the calls in flight: they are waited for first, as with `grpcio`."
)


class GrpcServer(Block):
    """OTLP over gRPC, without TLS."""

    unbuilt: ClassVar[Unbuilt] = {
        "auth": "",
        "include_metadata": "",
        "keepalive": "",
        "max_concurrent_streams": "",
        "middlewares": "",
        "read_buffer_size": "",
        "tls": "",
        "transport": "only tcp is there",
        "write_buffer_size": "",
    }

    endpoint: Annotated[Endpoint, Listen()] = Field(
        Endpoint("localhost", 4317), description="Where to listen. `0.0.0.0:4317` or `:4317` listens everywhere."
    )
    max_recv_msg_size_mib: Annotated[int, Whole(1, limits.REQUEST_BYTES_MAX // _MIB, _LARGEST)] = Field(
        limits.REQUEST_BYTES_MAX // _MIB, description="The largest request taken, in MiB, counted after decompression."
    )
    front: Annotated[str, Choice(("grpcio", "native"))] = Field("grpcio", description=_FRONT)

    def settings(self) -> settings.GrpcListener:
        """The settings."""
        return settings.GrpcListener(self.endpoint, self.max_recv_msg_size_mib * _MIB, self.front)


class HttpServer(Block):
    """OTLP over HTTP with protobuf bodies, without TLS."""

    unbuilt: ClassVar[Unbuilt] = {
        "auth": "",
        "compression_algorithms": "",
        "cors": "",
        "idle_timeout": "",
        "include_metadata": "",
        "keep_alives_enabled": "",
        "keepalive": "",
        "logs_url_path": "only traces are received",
        "metrics_url_path": "only traces are received",
        "middlewares": "",
        "profiles_url_path": "only traces are received",
        "read_header_timeout": "",
        "read_timeout": "",
        "response_headers": "",
        "tls": "",
        "transport": "only tcp is there",
        "write_timeout": "",
    }

    endpoint: Annotated[Endpoint, Listen()] = Field(Endpoint("localhost", 4318), description="Where to listen.")
    max_request_body_size: Annotated[int, Size(1, limits.REQUEST_BYTES_MAX, _LARGEST)] = Field(
        limits.REQUEST_BYTES_MAX,
        description="The largest body taken, in bytes or as `20MiB`, counted after decompression.",
    )
    traces_url_path: Annotated[str, Text("a path such as /v1/traces", r"/?[!-~]*")] = Field(
        "/v1/traces", description="The path that requests are sent to; a missing leading slash is added."
    )

    def settings(self) -> settings.HttpListener:
        """The settings."""
        path = "/" + self.traces_url_path.removeprefix("/")
        return settings.HttpListener(self.endpoint, self.max_request_body_size, path)


class Protocols(Block):
    """At least one of the two. A protocol with nothing under its name has its defaults."""

    unbuilt: ClassVar[Unbuilt] = {"arrow": ""}

    grpc: Annotated[GrpcServer | None, PRESENT] = Field(None, description="OTLP over gRPC.")
    http: Annotated[HttpServer | None, PRESENT] = Field(None, description="OTLP over HTTP.")

    def flaws(self) -> Iterator[Flaw]:
        """A receiver listens somewhere."""
        if self.grpc is None and self.http is None:
            yield Flaw((), "a receiver needs at least one protocol: grpc or http")


class OtlpReceiver(Block):
    """Takes traces by OTLP."""

    protocols: Protocols = Field(description="What to listen for.")

    def settings(self, name: str) -> settings.Receiver:
        """The settings of this receiver under its id."""
        grpc, http = self.protocols.grpc, self.protocols.http
        return settings.Receiver(name, grpc.settings() if grpc else None, http.settings() if http else None)
