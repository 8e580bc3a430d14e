"""Addresses: where to listen, where somebody else listens, where to send to, which Redis.

Owns how each is written, and what makes it useless.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from gateway.config.scalars import Kind, as_text, wrong
from gateway.config.settings import Endpoint

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.\-]{0,252})")


def endpoint(text: str, said: str, example: str, default_port: int | None = None) -> Endpoint:
    """host:port, :port or [IPv6]:port. Raises `wrong`."""
    host, colon, port = text.rpartition(":")
    if default_port is not None and ":" not in text:
        host, colon, port = text, ":", str(default_port)
    if not colon or port.endswith("]"):
        raise wrong(f"expected host:port such as {example}, got {said}: the port is missing")
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and int(port) <= 65535):
        raise wrong(f"expected host:port such as {example}, got {said}: the port is no number from 0 to 65535")
    return Endpoint(_host(host, said, example), int(port))


def _host(host: str, said: str, example: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        try:
            return str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise wrong(
                f"expected host:port such as {example}, got {said}: no IPv6 address is in the brackets"
            ) from None
    if ":" in host:
        raise wrong(f"expected host:port such as {example}, got {said}: an IPv6 address is written [::1]:4317")
    if host and not _HOST.fullmatch(host):
        raise wrong(f"expected host:port such as {example}, got {said}: this is no host")
    return host


@dataclass(frozen=True, slots=True)
class _Address(Kind):
    @override
    def unwrapped(self, given: object) -> object:
        return as_text(given)


@dataclass(frozen=True, slots=True)
class Listen(_Address):
    """Where to listen; without a host, everywhere. Port 0 takes any free one."""

    @property
    @override
    def name(self) -> str:
        return "host:port"

    @override
    def read(self, given: Any, said: str) -> object:
        if not isinstance(given, str):
            raise wrong(f"expected host:port such as 0.0.0.0:4317, got {said}")
        if given.startswith(("http://", "https://", "unix:")):
            raise wrong(f"expected host:port such as 0.0.0.0:4317 without a scheme, got {said}")
        found = endpoint(given, said, "0.0.0.0:4317")
        return found if found.host else Endpoint("0.0.0.0", found.port)

    @override
    def written(self, value: object) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class PortlessEndpoint(Endpoint):
    """An endpoint whose port was not given, and is the default of its Kind."""

    __str__ = Endpoint.__str__


@dataclass(frozen=True, slots=True)
class Peer(_Address):
    """Where somebody else listens. `default_port` is added where none is given, and makes a PortlessEndpoint."""

    default_port: int | None = None

    @property
    @override
    def name(self) -> str:
        return "host:port"

    @override
    def read(self, given: Any, said: str) -> object:
        if not isinstance(given, str):
            raise wrong(f"expected host:port such as sampler-0:4317, got {said}")
        if "://" in given or given.startswith("unix:"):
            raise wrong(f"expected host:port such as sampler-0:4317 without a scheme, got {said}")
        found = reachable(endpoint(given, said, "sampler-0:4317", self.default_port), said)
        return found if ":" in given else PortlessEndpoint(found.host, found.port)


def reachable(found: Endpoint, said: str) -> Endpoint:
    """An endpoint that others can connect to. Raises `wrong`."""
    if found.port == 0:
        raise wrong(f"expected a port from 1 to 65535, got {said}")
    if found.host in ("", "0.0.0.0", "::"):
        raise wrong(
            f"expected an address that others can reach, got {said}: this one means every interface of this machine"
        )
    return found


@dataclass(frozen=True, slots=True)
class TargetEndpoint:
    """Where an exporter sends to. `scheme` is "http", "https" or "" as written."""

    endpoint: Endpoint
    scheme: str = ""


@dataclass(frozen=True, slots=True)
class Target(_Address):
    """An exporter's endpoint: host:port, http://host:port (without TLS) or https://host:port."""

    @property
    @override
    def name(self) -> str:
        return "host:port, http://host:port or https://host:port"

    @override
    def read(self, given: Any, said: str) -> object:
        if not isinstance(given, str):
            raise wrong(f"expected host:port such as tempo:4317, got {said}")
        scheme, slashes, rest = given.partition("://")
        if not slashes:
            scheme, rest = "", given
        elif scheme not in ("http", "https"):
            raise wrong(f'the scheme in {said} is not built yet; there are host:port, "http://" and "https://"')
        elif "/" in rest.rstrip("/"):
            raise wrong(f"a gRPC endpoint has no path, got {said}")
        return TargetEndpoint(
            reachable(endpoint(rest.rstrip("/") if slashes else rest, said, "tempo:4317"), said), scheme
        )


@dataclass(frozen=True, slots=True)
class TargetUrl:
    """Where an OTLP/HTTP exporter posts to. `path` begins with a slash or is empty, and holds the query too."""

    endpoint: Endpoint
    secure: bool
    path: str


_URL = re.compile(r"(https?)://([^/?#@\s]+)((?:/[!-\"$-~]*)?(?:\?[!-\"$-~]*)?)")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Url(_Address):
    """An OTLP/HTTP endpoint; without a port 80 or 443, as everywhere on the web."""

    example: str = "http://tempo:4318"

    @property
    @override
    def name(self) -> str:
        return "http://host:port/path or https://host:port/path"

    @override
    def read(self, given: Any, said: str) -> object:
        form = f"expected a URL such as {self.example}"
        if not isinstance(given, str):
            raise wrong(f"{form}, got {said}")
        if not given.startswith(("http://", "https://")):
            raise wrong(f'{form}, got {said}: it begins with neither "http://" nor "https://"')
        if "@" in given:
            raise wrong(f"{form}: a name and password in it are not built, and it is not shown; use headers")
        found = _URL.fullmatch(given)
        if not found:
            raise wrong(f"{form}, got {said}")
        scheme, address, path = found.groups()
        port = "" if re.search(r":[^\]]*$", address) else f":{_PORTS[scheme]}"
        return TargetUrl(reachable(endpoint(address + port, said, "tempo:4318"), said), scheme == "https", path)


_REDIS_URL = re.compile(
    r"rediss?://([^@/?#\s]*@)?(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.\-]+)(:[1-9][0-9]{0,4})?(/[0-9]{0,4})?(\?[^#\s]*)?"
)


@dataclass(frozen=True, slots=True)
class RedisUrl(_Address):
    """Where a Redis is. It may carry a password, so it is never shown."""

    @property
    @override
    def name(self) -> str:
        return "redis://host:port/db, rediss:// or unix://"

    @override
    def read(self, given: Any, said: str) -> object:
        form = "expected a URL such as redis://localhost:6379/0"
        if not isinstance(given, str):
            raise wrong(f"{form}, got {said}")
        if given.startswith("unix://"):
            if not given.startswith("unix:///"):
                raise wrong("expected the absolute path of a socket such as unix:///run/redis.sock")
        elif not _REDIS_URL.fullmatch(given):
            raise wrong(f"{form} (also rediss://, unix://); it may hold a password and is not shown")
        return given
