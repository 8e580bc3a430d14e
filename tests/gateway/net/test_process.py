"""gateway.net.process: signals, the exit status, and how much memory a process may use."""

from __future__ import annotations

import gc
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from gateway.config.settings import MemoryLimiter
from gateway.net import process

MIB = 1024 * 1024

PROGRAM = """
import asyncio, sys
from gateway.net import process

async def main(stop):
    print("ready", flush=True)
    await stop.wait()
    print("draining", flush=True)
    await asyncio.sleep({drain})
    return 3

sys.exit(process.run(main))
"""


@contextmanager
def started(drain: float) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-c", PROGRAM.format(drain=drain)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
            yield child
        finally:
            child.kill()


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_to_end(number: signal.Signals) -> None:
    """SIGTERM and SIGINT let the process drain; its exit status is what its main returned, and nothing is printed."""
    with started(0.0) as child:
        child.send_signal(number)
        out, err = child.communicate(timeout=30)
    assert (out, err, child.returncode) == ("draining\n", "", 3)


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(number: signal.Signals) -> None:
    """Whoever asks twice does not want to wait: 128 and the signal's number."""
    with started(3600.0) as child:
        child.send_signal(signal.SIGTERM)
        assert child.stdout is not None
        assert child.stdout.readline() == "draining\n"
        while child.poll() is None:  # one that follows at once counts as the first
            child.send_signal(number)
            time.sleep(0.05)
    assert child.returncode == 128 + number


@pytest.mark.integration
def test_a_signal_that_comes_twice_at_once_is_one() -> None:
    """A wrapper that signals the whole group, so that a process hears it twice, does not cut the drain short."""
    with started(0.1) as child:
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGINT)
        out, _ = child.communicate(timeout=30)
    assert (out, child.returncode) == ("draining\n", 3)


def test_errors_come_out_of_run() -> None:
    """An error that main raises is raised by run: the command turns it into one line."""

    async def main(stop: object) -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        process.run(main)


def test_freeze_takes_the_past_from_the_collector() -> None:
    """What is there at the start is not walked by the garbage collector again."""
    try:
        process.freeze()
        assert gc.get_freeze_count() > 1000
    finally:
        gc.unfreeze()


def test_memory_is_what_this_process_may_use() -> None:
    """The memory of a process is at most the host's and more than nothing."""
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 16 * MIB < process.memory_bytes() <= host


@pytest.mark.parametrize(
    ("files", "wanted"),
    [
        ({"/sys/fs/cgroup/memory.max": "1048576\n"}, MIB),
        ({"/sys/fs/cgroup/memory.max": "max\n"}, None),
        ({"/sys/fs/cgroup/memory/memory.limit_in_bytes": "2097152\n"}, 2 * MIB),
        ({"/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, None),
        ({"/sys/fs/cgroup/memory.max": ""}, None),
        ({}, None),
    ],
)
def test_a_cgroups_limit_counts(
    files: dict[str, str], wanted: int | None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of a cgroup of either version is the memory; without one it is the host's."""
    directory = tmp_path_factory.mktemp("cgroup")

    def opened(path: str) -> object:
        place = directory / path.replace("/", "_")
        if path in files:
            place.write_text(files[path])
        return place.open()

    monkeypatch.setattr("builtins.open", opened)
    found = process.memory_bytes()
    monkeypatch.undo()
    assert found == (wanted or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def test_the_budget_is_shared_by_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """memory_limiter's limit is the machine's, shared by its workers; without one each has the default."""
    monkeypatch.setattr(process, "memory_bytes", lambda: 1000 * MIB)
    assert process.budget(None, 5, 4) == 5
    assert process.budget(MemoryLimiter(limit_bytes=100 * MIB), 5, 4) == 25 * MIB
    assert process.budget(MemoryLimiter(limit_share=0.5), 5, 4) == 125 * MIB
    assert process.budget(MemoryLimiter(limit_share=0.5), 5, 1) == 500 * MIB


def test_the_version_is_the_packages() -> None:
    """The version is that of the installed package."""
    assert process.VERSION[0].isdecimal()


def test_freed_memory_is_kept_for_the_next_request() -> None:
    """On glibc the process keeps what a large request has freed; elsewhere nothing is changed."""
    glibc = platform.libc_ver()[0] == "glibc"
    assert process.keep_freed_memory(64 * 2**20) == glibc
