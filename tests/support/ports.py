"""Ports for listeners that a test configures by number."""

from __future__ import annotations

import contextlib
import socket

from gateway.config.settings import Endpoint


def free_endpoints(count: int) -> list[Endpoint]:
    """Loopback endpoints that nobody listens on now, all different."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [Endpoint("127.0.0.1", each.getsockname()[1]) for each in sockets]
