"""Which addresses a configuration will listen on, and whether they are free: asked by a parent before it starts anything.

A process that serves alone needs none of this: its own bind answers. Workers that share a port would share it with a stranger
as well, so their parent looks first, without SO_REUSEPORT.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.config.settings import Endpoint, LoadBalancerConfig, SamplerConfig
from gateway.errors import StartupError

PORT_MAX = 65535
WILDCARDS = ("", "0.0.0.0", "::")


@dataclass(frozen=True, slots=True)
class Claim:
    """What one key of a configuration listens on: `count` ports in a row, one for each worker, from the endpoint's on."""

    key: str
    endpoint: Endpoint
    count: int = 1

    @property
    def endpoints(self) -> list[Endpoint]:
        """The addresses, worker by worker."""
        return [self.endpoint.offset(index) for index in range(self.count)]


def claims(config: LoadBalancerConfig | SamplerConfig, workers: int) -> list[Claim]:
    """Everything the tier listens on, for traces, health and metrics."""
    return [*_receivers(config, workers), *_pages(config)]


def listeners(config: LoadBalancerConfig | SamplerConfig, workers: int) -> list[Endpoint]:
    """Where the processes of the tier take OTLP: worker i of a sampler on port + i, balancers all on the one port."""
    return [endpoint for claim in _receivers(config, workers) for endpoint in claim.endpoints]


def admin(config: LoadBalancerConfig | SamplerConfig) -> list[Endpoint]:
    """Where health and metrics are answered; once if both are on one address."""
    return [claim.endpoint for claim in _pages(config)]


def _receivers(config: LoadBalancerConfig | SamplerConfig, workers: int) -> list[Claim]:
    count = 1 if isinstance(config, LoadBalancerConfig) else workers
    return [
        Claim(f"receivers.{receiver.name}.protocols.{protocol}", listener.endpoint, count)
        for receiver in config.receivers
        for protocol, listener in (("grpc", receiver.grpc), ("http", receiver.http))
        if listener
    ]


def _pages(config: LoadBalancerConfig | SamplerConfig) -> list[Claim]:
    found = [Claim("extensions.health_check", config.health.endpoint)] if config.health else []
    served = config.telemetry.metrics
    if served and served not in [claim.endpoint for claim in found]:
        found.append(Claim("service.telemetry.metrics", served))
    return found


def probe(claimed: Sequence[Claim]) -> None:
    """Raise StartupError if two claims clash, naming both, or if an address cannot be listened on, naming it.

    Port 0 is any port.
    """
    for index, claim in enumerate(claimed):
        for earlier in claimed[:index]:
            _compare(*sorted((earlier, claim), key=lambda one: one.endpoint.port))
    for claim in claimed:
        if claim.endpoint.port:
            for endpoint in claim.endpoints:
                _try(endpoint)
        elif claim.count > 1:
            raise StartupError(f"{claim.key}: worker i listens on port + i, so it needs a port of its own, not 0 (any)")


def _compare(lower: Claim, upper: Claim) -> None:
    """Raise StartupError if the two want one port; `lower` begins at the same port or at a lower one."""
    port, worker = upper.endpoint.port, upper.endpoint.port - lower.endpoint.port
    if not lower.endpoint.port or worker >= lower.count or not _same_host(lower.endpoint, upper.endpoint):
        return
    first = f"worker {worker} of {lower.key} (port {lower.endpoint.port} + {worker})" if worker else lower.key
    fewer = " or start fewer workers" if worker else ""
    raise StartupError(
        f"{first} and {upper.key} would both listen on port {port}: "
        f"give {upper.key} port {lower.endpoint.port + lower.count} or a higher one{fewer}"
    )


def reachable(endpoint: Endpoint) -> Endpoint:
    """Where a client on this machine reaches a listener on that address."""
    if endpoint.host == "::":
        return Endpoint("::1", endpoint.port)
    return Endpoint("127.0.0.1", endpoint.port) if endpoint.host in WILDCARDS else endpoint


def _same_host(one: Endpoint, other: Endpoint) -> bool:
    return one.host == other.host or one.host in WILDCARDS or other.host in WILDCARDS


def _try(endpoint: Endpoint) -> None:
    if endpoint.port > PORT_MAX:
        raise StartupError(f"cannot listen on {endpoint}: the last port is {PORT_MAX}; use fewer workers")
    try:
        addresses = socket.getaddrinfo(
            endpoint.host or None, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise StartupError(f"cannot listen on {endpoint}: {error.strerror}") from error
    failures = [_bind(family, address) for family, _, _, _, address in addresses]
    missing = [failure for failure in failures if failure == errno.EADDRNOTAVAIL]
    refused = [failure for failure in failures if failure not in (0, errno.EADDRNOTAVAIL)]
    if refused or len(missing) == len(failures):  # a name may stand for a family that this machine does not have
        raise StartupError(f"cannot listen on {endpoint}: {os.strerror((refused or missing)[0]).lower()}")


def _bind(family: int, address: tuple[object, ...]) -> int:
    """The errno of listening there, 0 if it could. SO_REUSEADDR only forgives connections that are closing."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error.errno or errno.EADDRNOTAVAIL
    return 0
