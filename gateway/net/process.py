"""One process of a tier, from its start to its exit status: the event loop, the signals, the garbage collector."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import os
import signal
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from typing import NoReturn

import uvloop

from gateway import limits
from gateway.config.settings import MemoryLimiter

# malloc.h of glibc; its bound for the second on 64 bits
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _MMAP_THRESHOLD_MAX = -1, -3, 32 * limits.MIB
_M_ARENA_MAX, _ARENAS = -8, 2  # one for the core's thread, one for those of the network; glibc makes eight a processor

VERSION = version("tailgate")

Main = Callable[[asyncio.Event], Awaitable[int]]
"""What a process does. It is handed an event that is set when the process is asked to end, and returns the exit status."""


def run(main: Main) -> int:
    """Run `main` to its end. SIGTERM and SIGINT ask it to end; a second one ends the process at once."""
    keep_freed_memory(limits.FREED_BYTES_KEPT)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_run(main))


async def _run(main: Main) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    asked_at = 0.0

    def on_signal(number: int) -> None:
        nonlocal asked_at
        if not stop.is_set():
            asked_at = loop.time()
            stop.set()
        elif (
            loop.time() - asked_at >= limits.SIGNAL_REPEAT
        ):  # wrappers may signal a group and its leader: that is one signal
            os._exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return await main(stop)


def keep_freed_memory(size: int) -> bool:
    """Have malloc keep up to `size` bytes for the next request instead of giving them back; False where it cannot be told.

    glibc gives megabytes back after every large request and asks for them again, page by page: routing 8192 spans cost 1.9 µs
    a span so, and 0.7 without. And few arenas: what one thread has freed in its own is of no use to the others, so that memory
    grew by hundreds of MiB an hour under a mixed load.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):  # no glibc
        return False
    wanted = (
        (_M_TRIM_THRESHOLD, size),
        (_M_MMAP_THRESHOLD, min(size, _MMAP_THRESHOLD_MAX)),
        (_M_ARENA_MAX, _ARENAS),
    )
    return all(mallopt(*each) for each in wanted)


def leave(status: int) -> NoReturn:
    """End at once, for a process in which a thread hangs that nothing can end: in a write to a terminal or a pipe."""
    os._exit(status)


def freeze() -> None:
    """Everything that is there once a process has started stays: keep the collector from walking it again and again."""
    gc.collect()
    gc.freeze()


def memory_bytes() -> int:
    """What this process may use: the cgroup's limit where there is one, else the host's memory."""
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:  # noqa: PTH123 -- a kernel file, not a user's
                text = file.read().strip()
        except OSError:
            continue
        if text.isdecimal():
            return min(host, int(text))
    return host


def budget(memory: MemoryLimiter | None, default: int, workers: int) -> int:
    """The bytes that one of `workers` processes may use by this memory_limiter; without one, `default` for each."""
    if memory is None:
        return default
    if memory.limit_bytes is not None:
        return memory.limit_bytes // workers
    assert memory.limit_share is not None, "a memory_limiter names a limit or a share"
    return int(memory_bytes() * memory.limit_share) // workers
