"""Exporters `otlp_grpc` and `otlp_http`, and what every way of sending OTLP shares: TLS, compression, headers, time limit.

Owns their keys. Knows nothing of the wire.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from gateway import limits
from gateway.config import settings
from gateway.config.addresses import Target, TargetEndpoint, TargetUrl, Url
from gateway.config.block import Block, Flaw
from gateway.config.durations import Duration
from gateway.config.headers import Headers
from gateway.config.scalars import Choice, Number, Only, Switch, Unbuilt, Whole

_SERVER_CERTIFICATES = "the system's certificate authorities are used"


class Tls(Block):
    """How the connection is secured: by TLS with the system's certificate authorities, or not at all."""

    unbuilt: ClassVar[Unbuilt] = {
        "ca_file": _SERVER_CERTIFICATES,
        "ca_pem": _SERVER_CERTIFICATES,
        "cert_file": "",
        "cert_pem": "",
        "cipher_suites": "",
        "curve_preferences": "",
        "include_insecure_cipher_suites": "",
        "include_system_ca_certs_pool": _SERVER_CERTIFICATES,
        "insecure_skip_verify": "",
        "key_file": "",
        "key_pem": "",
        "max_version": "",
        "min_version": "",
        "reload_interval": "",
        "server_name_override": "",
        "tpm": "",
    }

    insecure: Annotated[bool, Switch()] = Field(False, description="`true` connects without TLS.")


class RetryOnFailure(Block):
    """What happens to a request that the destination did not take but may take later."""

    enabled: Annotated[bool, Switch()] = Field(True, description="`false` gives a request up after its first failure.")
    initial_interval: Annotated[float, Duration(above=0)] = Field(
        limits.RETRY_INITIAL, description="The pause before the second attempt."
    )
    randomization_factor: Annotated[float, Number(0, 1)] = Field(
        0.5, description="Each pause is spread by up to this share of itself, in both directions."
    )
    multiplier: Annotated[float, Number(1)] = Field(
        limits.RETRY_MULTIPLIER, description="Each pause is this many times the one before."
    )
    max_interval: Annotated[float, Duration(above=0)] = Field(limits.RETRY_MAX, description="The longest pause.")
    max_elapsed_time: Annotated[float, Duration()] = Field(
        limits.RETRY_ELAPSED_MAX,
        description="When to give a request up, counted from its first attempt; `0` means never.",
    )

    def flaws(self) -> Iterator[Flaw]:
        """What is given up before it is tried again is not tried again."""
        elapsed = self.max_elapsed_time
        for key in ("initial_interval", "max_interval"):
            if self.enabled and 0 < elapsed < getattr(self, key):
                yield Flaw(("max_elapsed_time",), f"must not be shorter than {key}")

    def settings(self) -> settings.Retry:
        """The settings."""
        return settings.Retry(
            self.enabled,
            self.initial_interval,
            self.max_interval,
            self.multiplier,
            self.randomization_factor,
            self.max_elapsed_time,
        )


QUEUE_UNBUILT: Unbuilt = {
    "batch": "the processor batch sets the size of export requests",
    "block_on_overflow": "",
    "blocking": "",
    "sizer": "the queue counts requests",
    "storage": "",
    "wait_for_result": "",
}
_QUEUE_STAYS = "an acknowledged span waits in the queue until it is delivered; without one it would be lost"


class SendingQueue(Block):
    """What waits for the destination, and how much is on its way."""

    unbuilt: ClassVar[Unbuilt] = QUEUE_UNBUILT

    enabled: Annotated[bool, Only(True, _QUEUE_STAYS)] = Field(True, description=f"Always `true`: {_QUEUE_STAYS}.")
    num_consumers: Annotated[int, Whole(1, 1000)] = Field(
        limits.EXPORT_IN_FLIGHT_MAX, description="How many requests may be on their way at a time."
    )
    queue_size: Annotated[int, Whole(1)] = Field(limits.OUTBOX_REQUESTS_MAX, description="How many requests may wait.")


COMPRESSION = Choice(("gzip", "none"), tuple((name, "") for name in ("deflate", "snappy", "zlib", "zstd", "lz4")))
CLIENT_UNBUILT: Unbuilt = {
    "auth": "",
    "authority": "",
    "balancer_name": "",
    "batcher": "the processor batch sets the size of export requests",
    "keepalive": "",
    "middlewares": "",
    "read_buffer_size": "",
    "wait_for_ready": "",
    "write_buffer_size": "",
}


class Client(Block):
    """What every way of sending OTLP over gRPC shares."""

    unbuilt: ClassVar[Unbuilt] = CLIENT_UNBUILT

    tls: Tls = Field(Tls(), description="How the connection is secured.")
    compression: Annotated[str, COMPRESSION] = Field("gzip", description="How requests are compressed.")
    headers: Annotated[tuple[tuple[str, str], ...], Headers()] = Field((), description="Sent with every request.")
    timeout: Annotated[float, Duration(above=0)] = Field(
        limits.EXPORT_TIMEOUT, description="How long one attempt may take."
    )


class OtlpExporter(Client):
    """Sends kept traces by OTLP over gRPC, in batches, with retry and a bounded queue."""

    endpoint: Annotated[TargetEndpoint, Target()] = Field(
        description="Where to send to. `http://` means without TLS, `https://` with it."
    )
    retry_on_failure: RetryOnFailure = Field(RetryOnFailure(), description="What happens to a request that failed.")
    sending_queue: SendingQueue = Field(SendingQueue(), description="What waits, and how much is on its way.")

    def flaws(self) -> Iterator[Flaw]:
        """The scheme and tls.insecure say the same."""
        if self.endpoint.scheme == "https" and self.tls.insecure:
            yield Flaw(("tls", "insecure"), 'contradicts the endpoint, which begins with "https://"')

    def settings(self, name: str) -> settings.OtlpExporter:
        """The settings of this exporter under its id."""
        return settings.OtlpExporter(
            name,
            settings.OtlpClient(
                endpoint=self.endpoint.endpoint,
                insecure=self.tls.insecure or self.endpoint.scheme == "http",
                gzip=self.compression == "gzip",
                headers=self.headers,
                timeout=self.timeout,
                retry=self.retry_on_failure.settings(),
                queue=settings.Queue(self.sending_queue.queue_size, self.sending_queue.num_consumers),
            ),
        )


HTTP_CLIENT_UNBUILT: Unbuilt = {
    "auth": "",
    "compression_params": "",
    "cookies": "",
    "disable_keep_alives": "",
    "force_attempt_http2": "HTTP/1.1 is spoken",
    "http2_ping_timeout": "HTTP/1.1 is spoken",
    "http2_read_idle_timeout": "HTTP/1.1 is spoken",
    "idle_conn_timeout": "",
    "max_conns_per_host": "",
    "max_idle_conns": "",
    "max_idle_conns_per_host": "",
    "middlewares": "",
    "proxy_url": "",
    "read_buffer_size": "",
    "write_buffer_size": "",
}


class HttpClient(Block):
    """What every way of sending OTLP over HTTP shares."""

    unbuilt: ClassVar[Unbuilt] = HTTP_CLIENT_UNBUILT

    tls: Tls = Field(Tls(), description="How the connection is secured.")
    headers: Annotated[tuple[tuple[str, str], ...], Headers("HTTP")] = Field((), description="Sent with every request.")


_ONLY_TRACES = "only traces are exported"


class OtlpHttpExporter(HttpClient):
    """Sends kept traces by OTLP over HTTP, as protobuf, in batches, with retry and a bounded queue."""

    unbuilt: ClassVar[Unbuilt] = {
        **HTTP_CLIENT_UNBUILT,
        "batcher": CLIENT_UNBUILT["batcher"],
        "logs_endpoint": _ONLY_TRACES,
        "metrics_endpoint": _ONLY_TRACES,
        "profiles_endpoint": _ONLY_TRACES,
    }

    endpoint: Annotated[TargetUrl | None, Url()] = Field(
        None, description="Where to send to: `/v1/traces` is added to it. `https://` means TLS."
    )
    traces_endpoint: Annotated[TargetUrl | None, Url("http://tempo:4318/v1/traces")] = Field(
        None, description="The same with its whole path; it comes before `endpoint`."
    )
    encoding: Annotated[str, Choice(("proto",), (("json", ""),))] = Field(
        "proto", description="Protobuf, the only one built."
    )
    compression: Annotated[str, COMPRESSION] = Field("gzip", description="How requests are compressed.")
    timeout: Annotated[float, Duration(above=0)] = Field(
        limits.EXPORT_HTTP_TIMEOUT, description="How long one attempt may take."
    )
    retry_on_failure: RetryOnFailure = Field(RetryOnFailure(), description="What happens to a request that failed.")
    sending_queue: SendingQueue = Field(SendingQueue(), description="What waits, and how much is on its way.")

    @classmethod
    def flaws_in(cls, given: Mapping[str, object]) -> Iterator[Flaw]:
        """There is somewhere to send to."""
        if "endpoint" not in given and "traces_endpoint" not in given:
            yield Flaw((), "names nowhere to send to: endpoint or traces_endpoint")

    def flaws(self) -> Iterator[Flaw]:
        """The scheme and tls.insecure say the same."""
        if self.tls.insecure and self._target().secure:
            key = "endpoint" if self.traces_endpoint is None else "traces_endpoint"
            yield Flaw(("tls", "insecure"), f'contradicts {key}, which begins with "https://"')

    def _target(self) -> TargetUrl:
        if self.traces_endpoint is not None:
            return self.traces_endpoint
        if self.endpoint is None:
            return TargetUrl(settings.Endpoint("", 0), False, "")  # flaws_in has said so
        path, mark, query = self.endpoint.path.partition("?")
        path = path.removesuffix("/") + settings.TRACES_PATH + mark + query
        return TargetUrl(self.endpoint.endpoint, self.endpoint.secure, path)

    def settings(self, name: str) -> settings.OtlpExporter:
        """The settings of this exporter under its id."""
        target = self._target()
        path = target.path if target.path.startswith("/") else f"/{target.path}"
        return settings.OtlpExporter(
            name,
            settings.OtlpClient(
                endpoint=target.endpoint,
                insecure=not target.secure,
                gzip=self.compression == "gzip",
                headers=self.headers,
                timeout=self.timeout,
                retry=self.retry_on_failure.settings(),
                queue=settings.Queue(self.sending_queue.queue_size, self.sending_queue.num_consumers),
                http_path=path,
            ),
        )
