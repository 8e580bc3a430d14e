"""Which addresses a configuration will listen on, and whether they are free: asked by a parent before it starts anything.

A process that serves alone needs none of this: its own bind answers. Workers that share a port would share it with a stranger
as well, so their parent looks first, without SO_REUSEPORT.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable

from gateway.config.settings import Endpoint, LoadBalancerConfig, SamplerConfig
from gateway.errors import StartupError

PORT_MAX = 65535
WILDCARDS = ("", "0.0.0.0", "::")


def listeners(config: LoadBalancerConfig | SamplerConfig, workers: int) -> list[Endpoint]:
    """Where the processes of the tier take OTLP: worker i of a sampler on port + i, balancers all on the one port."""
    own = [
        listener.endpoint for receiver in config.receivers for listener in (receiver.grpc, receiver.http) if listener
    ]
    if isinstance(config, LoadBalancerConfig):
        return own
    return [endpoint.offset(index) for endpoint in own for index in range(workers)]


def admin(config: LoadBalancerConfig | SamplerConfig) -> list[Endpoint]:
    """Where health and metrics are answered; once if both are on one address."""
    endpoints = [config.health.endpoint] if config.health else []
    if config.telemetry.metrics and config.telemetry.metrics not in endpoints:
        endpoints.append(config.telemetry.metrics)
    return endpoints


def probe(endpoints: Iterable[Endpoint]) -> None:
    """Raise StartupError, naming the address, if one cannot be listened on or is asked for twice. Port 0 is any port."""
    taken: list[Endpoint] = []
    for endpoint in endpoints:
        if endpoint.port == 0:
            continue
        if any(_collide(endpoint, other) for other in taken):
            raise StartupError(f"cannot listen on {endpoint}: the configuration asks for port {endpoint.port} twice")
        _try(endpoint)
        taken.append(endpoint)


def reachable(endpoint: Endpoint) -> Endpoint:
    """Where a client on this machine reaches a listener on that address."""
    if endpoint.host == "::":
        return Endpoint("::1", endpoint.port)
    return Endpoint("127.0.0.1", endpoint.port) if endpoint.host in WILDCARDS else endpoint


def _collide(one: Endpoint, other: Endpoint) -> bool:
    hosts = {one.host, other.host}
    return one.port == other.port and (len(hosts) == 1 or any(host in WILDCARDS for host in hosts))


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
