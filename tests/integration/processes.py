"""Real processes of the product, started and ended for a test: their files, their ports, their health, their last words."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

READY_WITHIN = 30.0


def wait_for(what: str, condition: Callable[[], object], within: float = READY_WITHIN) -> None:
    """Wait until the condition holds; a test fails with `what` when it does not in time."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"not within {within:g} s: {what}"
        time.sleep(0.02)


def http_get(url: str) -> tuple[int, str]:
    """Status and body; (0, "") when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


class Tailgate:
    """One `tailgate` process with its configuration and its log."""

    def __init__(self, directory: Path, name: str, tier: str, config: str, health_port: int, *words: str) -> None:
        self.name = name
        self._health = f"http://127.0.0.1:{health_port}"
        self.log = directory / f"{name}.log"
        file = directory / f"{name}.yaml"
        file.write_text(config)
        self._command = [sys.executable, "-m", "gateway.cli", tier, "--config", str(file), *words]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Tailgate:
        """Start it; wait_ready waits."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self._command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        return self

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "started"
        return self._process

    def ready(self) -> bool:
        """Whether readiness answers 200; fails at once if the process is gone."""
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}:\n{self.words()}"
        return http_get(self._health + "/ready")[0] == 200

    def wait_ready(self) -> None:
        """Wait until it is ready."""
        wait_for(f"{self.name} ready\n{self.words()}", self.ready)

    def words(self) -> str:
        """The end of its log."""
        return self.log.read_text()[-4000:] if self.log.exists() else ""

    def kill(self) -> None:
        """kill -9."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def end(self, within: float = 40.0) -> int:
        """SIGTERM and wait; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(within)

    def close(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
