"""Which event loop asynchronous tests run on; a conftest.py imports the hook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that gateway.net.process runs."""
    return {"uvloop": uvloop.new_event_loop}
