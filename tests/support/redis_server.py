"""A real redis-server for tests: on a free port, in a directory of its own, gone when the test is over.

It may be stopped and started again (empty: it keeps nothing), and paused, as an outage would.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

from redis import Redis
from redis.exceptions import RedisError

from gateway.config.settings import Endpoint
from gateway.net import tether
from gateway.net.embedded_redis import command, find_server, free_endpoint, last_words, url

PATIENCE = 10.0


class RedisServer:
    """Use as a context manager. The kernel ends the server should the test process be killed."""

    def __init__(self) -> None:
        self.endpoint: Endpoint = free_endpoint()
        self._directory = tempfile.TemporaryDirectory(prefix="tailgate-redis-", ignore_cleanup_errors=True)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return url(self.endpoint)

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._directory.cleanup()

    def start(self) -> None:
        """Start it, empty, on the same port as before; returns when it answers."""
        directory = Path(self._directory.name)
        tied = [sys.executable, "-I", "-S", tether.__file__, str(os.getpid())]
        self._process = subprocess.Popen(
            [*tied, *command(find_server(), self.endpoint, directory)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        until = time.monotonic() + PATIENCE
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise AssertionError(f"redis-server does not answer: {last_words(directory)}")
            time.sleep(0.01)

    def ensure(self) -> None:
        """Start it if an earlier test has left it stopped."""
        if self._process is None:
            self.start()

    def stop(self) -> None:
        """Kill it; what it held is gone. Harmless when it is not running."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def client(self) -> Redis:
        """A plain client, for a test to look at the keys; close it."""
        return Redis.from_url(self.url, decode_responses=True)

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None, "it is not running"
        os.kill(self._process.pid, number)

    def _answers(self) -> bool:
        try:
            with self.client() as client:
                return bool(client.ping())
        except RedisError:
            return False
