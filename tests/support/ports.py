"""Ports for listeners that a test configures by number."""

from __future__ import annotations

import itertools
import os
import socket

from gateway.config.settings import Endpoint

# Below the ports that the system gives to clients, which would take one between its choice and its use; each test process
# begins elsewhere, so that two of them do not choose the same.
_FIRST, _LAST = 12_000, 31_000
_numbers = itertools.count(os.getpid() * 199)


def free_ports(count: int) -> list[int]:
    """Loopback ports that nobody listens on now, all different, and none given twice in a row."""
    found: list[int] = []
    while len(found) < count:
        port = _FIRST + next(_numbers) % (_LAST - _FIRST)
        with socket.socket() as each:
            try:
                each.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
    return found


def free_endpoints(count: int) -> list[Endpoint]:
    """Loopback endpoints that nobody listens on now, all different."""
    return [Endpoint("127.0.0.1", port) for port in free_ports(count)]
