"""Keeps child processes alive, and stops them in order.

Owns: starting them tied to this process, noticing a death, the pause before the next start, the order of stopping, the
statuses. Refuses to know what the children do: a child is a command line and, if it has one, a question "are you ready?".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway import limits
from gateway.net import log, tether

STARTUP_STATUSES = (1, 2)  # StartupError and ConfigError: trying again would say the same thing


@dataclass(frozen=True, slots=True)
class Child:
    """One process to keep alive.

    environment: added to this process's own. stage: later stages are stopped first, and one stage together.
    ready: asked until it first says yes; a child that ends with status 1 or 2 before that, at its first start, stops them all.
    grace: the seconds it may take to end when asked to; limits.FORCED_STOP later it is forced.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    stage: int = 0
    ready: Callable[[], Awaitable[bool]] | None = None
    grace: float = limits.DRAIN_TIMEOUT


class Backoff:
    """How long to wait before a child is started again: doubling, and from the beginning after it has lived a while."""

    def __init__(self) -> None:
        self._pause = limits.RESTART_BACKOFF_INITIAL

    def after(self, lived: float) -> float:
        """The pause in seconds after a life of `lived` seconds."""
        if lived >= limits.RESTART_SETTLED:
            self._pause = limits.RESTART_BACKOFF_INITIAL
        pause = self._pause
        self._pause = min(pause * 2, limits.RESTART_BACKOFF_MAX)
        return pause


def exit_status(returncode: int, asked: bool) -> int:
    """A child's return code as an exit status: 128 + n for signal n, but 0 for the SIGTERM it was `asked` to end with."""
    if asked and returncode == -signal.SIGTERM:
        return 0
    return returncode if returncode >= 0 else 128 - returncode


async def spawn(child: Child) -> asyncio.subprocess.Process:
    """Start the child tied to this process, in a session of its own: Ctrl-C reaches only us. Raises OSError."""
    tied = (sys.executable, "-I", "-S", str(Path(tether.__file__)), str(os.getpid()), *child.command)
    return await asyncio.create_subprocess_exec(*tied, env={**os.environ, **child.environment}, start_new_session=True)


def watch_without_threads() -> None:
    """Let asyncio wait for children by pidfd, as it does by itself from 3.12 on, and not with a thread for each.

    A killed process with threads dies thread by thread, and its children are told of each: a second SIGTERM would cut
    their drain short.
    """
    if sys.version_info >= (3, 12) or not hasattr(os, "pidfd_open"):
        return
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:  # an older kernel, or a sandbox
        return
    watcher = asyncio.PidfdChildWatcher()
    watcher.attach_loop(asyncio.get_running_loop())
    asyncio.set_child_watcher(watcher)


class Keeper:
    """One child: started, watched, started again, until it is stopped."""

    def __init__(self, child: Child, kill_after: float) -> None:
        self.child = child
        self.restarts = 0
        self.ready = asyncio.Event()
        self.pid: int | None = None
        self._kill_after = kill_after
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._backoff = Backoff()
        self._log = log.get()

    def stop(self) -> None:
        """Ask the child to drain and end, and start it no more."""
        self._stop.set()

    def force(self) -> None:
        """End the child at once: SIGKILL, after a second SIGTERM and `kill_after` seconds if it has children of its own."""
        self._stop.set()
        self._force.set()

    async def run(self) -> int:
        """Keep the child alive until stopped; return its last exit status."""
        status = 0
        while not self._stop.is_set():
            started_at = asyncio.get_running_loop().time()
            status = await self._live()
            if self._stop.is_set() or self._hopeless(status):
                break
            await self._pause(status, asyncio.get_running_loop().time() - started_at)
        return status

    def _hopeless(self, status: int) -> bool:
        return status in STARTUP_STATUSES and self.restarts == 0 and not self.ready.is_set()

    async def _pause(self, status: int, lived: float) -> None:
        pause = self._backoff.after(lived)
        self.restarts += 1
        self._log.error(
            "child_died", child=self.child.name, status=status, lived_seconds=round(lived, 1), restart_in_seconds=pause
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._stop.wait()

    async def _live(self) -> int:
        """One life: from the start to the end, be it the child's own or asked for."""
        try:
            process = await spawn(self.child)
        except OSError as error:
            self._log.error("child_not_started", child=self.child.name, error=str(error))
            return 1
        self.pid = process.pid
        try:
            async with asyncio.TaskGroup() as tasks:
                asking = tasks.create_task(self._ask())
                await _first(process.wait(), self._stop.wait())
                asked = process.returncode is None
                returncode = await self._end(process)
                asking.cancel()
            return exit_status(returncode, asked)
        finally:
            self.pid = None
            if process.returncode is None:  # only when this task was cancelled
                tell(process, signal.SIGKILL)

    async def _ask(self) -> None:
        """Wait for the child's first yes."""
        while self.child.ready is not None and not self.ready.is_set():
            if await self.child.ready():
                self.ready.set()
            else:
                await asyncio.sleep(limits.READY_POLL)

    async def _end(self, process: asyncio.subprocess.Process) -> int:
        """SIGTERM and patience; when forced, or when patience is at its end, SIGKILL."""
        if process.returncode is None:
            await self._ask_to_end(process)
        if process.returncode is None and self._kill_after > 0:
            tell(process, signal.SIGTERM)
            await _first(process.wait(), asyncio.sleep(self._kill_after))
        if process.returncode is None:
            tell(process, signal.SIGKILL)
        return await process.wait()

    async def _ask_to_end(self, process: asyncio.subprocess.Process) -> None:
        """SIGTERM; return when the child has ended, the end is forced, or the time for it is over."""
        patience = self.child.grace + limits.FORCED_STOP
        tell(process, signal.SIGTERM)
        tell(process, signal.SIGCONT)  # one that was stopped with SIGSTOP can then drain
        await _first(process.wait(), self._force.wait(), asyncio.sleep(patience))
        if process.returncode is None and not self._force.is_set():
            waited = round(patience, 1)
            self._log.error("child_did_not_end", child=self.child.name, pid=process.pid, waited_seconds=waited)


def tell(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Send the signal, if the process is there to get it.

    Not by process.send_signal: that collects the status of a child that has just ended, and leaves the event loop to report 255.
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, number)


async def _first(*waits: Awaitable[object]) -> None:
    """Wait until one of them is done, and let the others go."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


class Supervisor:
    """Several children. `async with` it: whatever happens inside, no child is left afterwards.

    `kill_after`: with children that have children of their own, how long a forced stop leaves them to end those.
    """

    def __init__(self, kill_after: float = 0.0) -> None:
        self._kill_after = kill_after
        self._keepers: list[tuple[Keeper, asyncio.Task[int]]] = []
        self._stopping = asyncio.Event()
        self._signalled_at: float | None = None
        self._log = log.get()

    async def __aenter__(self) -> Self:
        watch_without_threads()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.on_signal)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        try:
            await self.stopped()
        finally:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    @property
    def keepers(self) -> list[Keeper]:
        """What is kept alive, in the order of starting."""
        return [keeper for keeper, _ in self._keepers]

    @property
    def stopping(self) -> bool:
        """Whether the end has begun."""
        return self._stopping.is_set()

    def start(self, child: Child) -> Keeper:
        """Start the child and keep it alive from now on; does nothing once the end has begun."""
        keeper = Keeper(child, self._kill_after)
        if self.stopping:
            keeper.stop()
        task = asyncio.create_task(keeper.run(), name=child.name)
        task.add_done_callback(lambda _: self._stopping.set())  # stopped, hopeless, or a bug of ours: the end of all
        self._keepers.append((keeper, task))
        return keeper

    def on_signal(self) -> None:
        """What SIGTERM and SIGINT do: stop. One that follows at once is the same request, sent twice by some wrapper."""
        now = asyncio.get_running_loop().time()
        if self._signalled_at is None or now - self._signalled_at >= limits.SIGNAL_REPEAT:
            self._signalled_at = now
            self.stop()

    def stop(self) -> None:
        """Begin an orderly stop; the second call forces it."""
        if self._stopping.is_set():
            self._log.warning("stop_forced")
            for keeper, _ in self._keepers:
                keeper.force()
        self._stopping.set()

    async def ready(self) -> bool:
        """Wait until every child that can be asked has been ready once; False if the end has begun before."""
        for keeper in [keeper for keeper in self.keepers if keeper.child.ready is not None]:
            await _first(keeper.ready.wait(), self._stopping.wait())
        return not self._stopping.is_set()

    async def stopped(self) -> int:
        """Wait for the end to begin, stop the children stage by stage, and return the worst of their statuses."""
        await self._stopping.wait()
        worst = 0
        for stage in sorted({keeper.child.stage for keeper in self.keepers}, reverse=True):
            worst = max(worst, *await self._stop_stage(stage))
        return worst

    async def _stop_stage(self, stage: int) -> list[int]:
        members = [(keeper, task) for keeper, task in self._keepers if keeper.child.stage == stage]
        for keeper, _ in members:
            keeper.stop()
        return await asyncio.gather(*(task for _, task in members))
