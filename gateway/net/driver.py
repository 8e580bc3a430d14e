"""The one loop that joins a core to the world: reads the clock, feeds events, has actions performed, wakes the core in time."""

from __future__ import annotations

import asyncio
import os
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

from gateway.core import Action, Core, Event

EXIT_BUG = 70  # sysexits' EX_SOFTWARE


class Driver:
    """Drives one core on the running event loop. `perform` carries out one action; it must not block.

    `on_tick` is told how many seconds each tick took, its actions included.
    """

    def __init__(
        self, core: Core, perform: Callable[[Action], None], on_tick: Callable[[float], None] | None = None
    ) -> None:
        self._core = core
        self._perform = perform
        self._on_tick = on_tick
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._timer_at = 0.0  # uvloop's handle of a time that is past has no when()

    def now(self) -> float:
        """The clock that the core is told: monotonic seconds."""
        return self._loop.time()

    def feed(self, event: Event) -> None:
        """Tell the core what happened and do what it wants."""
        try:
            self._run(self._core.handle(event, self._loop.time()))
        except Exception:  # noqa: BLE001 -- a bug: nothing after it can be trusted, and a server would turn it into UNKNOWN
            die_of_bug()

    def stop(self) -> None:
        """Wake the core no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        self._timer = None
        try:
            began_at = time.perf_counter()  # uvloop's clock stands still within a turn
            self._run(self._core.tick(self._loop.time()))
            if self._on_tick is not None:
                self._on_tick(time.perf_counter() - began_at)
        except Exception:  # noqa: BLE001 -- as above
            die_of_bug()

    def _run(self, actions: list[Action]) -> None:
        for action in actions:
            self._perform(action)
        at = self._core.next_deadline()
        if at is None:
            return  # a timer that is set fires once for nothing; cheaper than cancelling one per event
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer, self._timer_at = self._loop.call_at(at, self._tick), at


def die_of_bug() -> NoReturn:
    """Print the trace and end the process at once: its state cannot be trusted, and its supervisor starts a new one."""
    traceback.print_exc()
    sys.stderr.flush()
    os._exit(EXIT_BUG)
