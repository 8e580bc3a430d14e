"""Children of a bench: started, spoken to over their pipes, stopped for certain, and what they cost.

Knows nothing of spans or of what is measured.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0
# glibc gives large blocks back to the kernel and takes them anew: the page faults cost a program that passes large messages
# on three times what the rest of its work does. The bench's own programs are spared them, so as to weigh less beside a subject.
STEADY_HEAP = {
    "MALLOC_MMAP_THRESHOLD_": str(2**25),
    "MALLOC_TRIM_THRESHOLD_": str(2**29),
    "MALLOC_TOP_PAD_": str(2**26),
}
LOG_LINES = 15  # of a child that failed


class ChildError(Exception):
    """A child did not start, or ended when it should not have; the text holds the end of what it printed."""


class Child:
    """One child process, the leader of its own group. What it prints on stderr goes to a file shown when it fails."""

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str] | None = None, *, talks: bool = False
    ) -> None:
        self.name = " ".join(argv[:4])
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by stop()
        self._process = subprocess.Popen(
            argv,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
            stdout=subprocess.PIPE if talks else self._log,
            stderr=self._log,
            text=True,
            start_new_session=True,
        )
        self.pid = self._process.pid

    def read(self) -> dict[str, Any]:
        """The next line of JSON the child prints. Raises ChildError when there is none."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self.failure("ended before it had said everything")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def ask(self) -> dict[str, Any]:
        """Send an empty line and read the answer."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self.read()

    def await_port(self, port: int) -> None:
        """Return when something accepts connections on 127.0.0.1:port. Raises ChildError if it does not within START_TIMEOUT."""
        give_up_at = time.monotonic() + START_TIMEOUT
        while time.monotonic() < give_up_at:
            self.check()
            with suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), timeout=1.0):
                return
            time.sleep(0.02)
        raise self.failure(f"does not listen on port {port}")

    def check(self) -> None:
        """Raises ChildError if the child has ended."""
        if self._process.poll() is not None:
            raise self.failure(f"exited with {self._process.returncode}")

    def failure(self, what: str) -> ChildError:
        """An error that says what went wrong and what the child printed last."""
        self._log.flush()
        self._log.seek(0)
        return ChildError("\n".join([f"{self.name} {what}", *self._log.read().splitlines()[-LOG_LINES:]]))

    def stop(self) -> None:
        """End the child and whatever it started: asked first, then killed."""
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, kind)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_TIMEOUT)
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()


@contextmanager
def running(
    argv: Sequence[str], environment: Mapping[str, str] | None = None, *, talks: bool = False
) -> Iterator[Child]:
    """A child that is stopped when the block ends."""
    child = Child(argv, environment, talks=talks)
    try:
        yield child
    finally:
        child.stop()


def module(name: str, *arguments: str) -> list[str]:
    """The command line of one of this package's own programs."""
    return [sys.executable, "-m", f"bench.{name}", *arguments]


def free_port() -> int:
    """A port nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    """User and system time of the process, its descendants, and those of them that have ended and been waited for."""
    total = 0.0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and its descendants, shared pages counted in each."""
    total = 0
    for process in _tree(pid):
        with suppress(psutil.NoSuchProcess):
            total += process.memory_info().rss
    return total


def busy_seconds() -> float:
    """CPU time this machine has spent on anything, all cores together."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))


def _tree(pid: int) -> list[psutil.Process]:
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]
