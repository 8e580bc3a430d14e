"""gateway.net.driver: the loop between a core and the world, with a core that only keeps notes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import dataclass, field

import pytest

from gateway.core import Action, Draining, Event, Finished, ReadView
from gateway.net.driver import EXIT_BUG, Driver
from tests.support.edge import until


@dataclass
class Core:
    """Wants to be woken at these instants, and says what happened to it."""

    deadlines: list[float] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    ticks: list[float] = field(default_factory=list)
    wishes: list[Action] = field(default_factory=list)

    def handle(self, event: Event, now: float) -> list[Action]:
        self.events.append(event)
        return self.wishes

    def tick(self, now: float) -> list[Action]:
        self.ticks.append(now)
        self.deadlines = [at for at in self.deadlines if at > now]
        return []

    def next_deadline(self) -> float | None:
        return min(self.deadlines, default=None)


EVENT = Draining(0.0)


async def test_actions_are_performed_in_order() -> None:
    """What a core wants done is done at once and in its order."""
    done: list[Action] = []
    driver = Driver(Core(wishes=[ReadView(), Finished(1), ReadView()]), done.append)
    driver.feed(EVENT)
    assert done == [ReadView(), Finished(1), ReadView()]


async def test_the_core_is_woken_at_its_deadlines() -> None:
    """Each deadline of a core is followed by a tick, never before its time, in the order of time."""
    core = Core()
    driver = Driver(core, lambda _: None)
    now = driver.now()
    deadlines = [now + 0.06, now + 0.02, now + 0.04]
    core.deadlines = list(deadlines)
    driver.feed(EVENT)
    await until(lambda: not core.deadlines)
    for at in deadlines:
        assert any(tick >= at for tick in core.ticks)
    assert core.ticks == sorted(core.ticks)


async def test_how_long_a_tick_takes_is_told() -> None:
    """Each tick's seconds are handed on, once a tick; events are not ticks."""
    core, took = Core(), list[float]()
    driver = Driver(core, lambda _: None, took.append)
    core.deadlines = [driver.now() + 0.01]
    driver.feed(EVENT)
    assert took == []
    await until(lambda: not core.deadlines)
    assert len(took) == len(core.ticks) and min(took) >= 0


async def test_an_earlier_deadline_moves_the_alarm() -> None:
    """When an event brings an earlier deadline the core is woken for that one."""
    core = Core()
    driver = Driver(core, lambda _: None)
    core.deadlines = [driver.now() + 3600]
    driver.feed(EVENT)
    core.deadlines.append(driver.now() + 0.01)
    driver.feed(EVENT)
    await until(lambda: len(core.deadlines) == 1)
    assert core.ticks
    driver.stop()


async def test_a_deadline_in_the_past_is_due_now() -> None:
    """A deadline that has passed already wakes the core at once."""
    core = Core()
    driver = Driver(core, lambda _: None)
    core.deadlines = [driver.now() - 100]
    driver.feed(EVENT)
    await until(lambda: not core.deadlines)
    assert core.ticks


async def test_a_core_without_deadlines_is_left_alone() -> None:
    """Where nothing is pending nothing ticks."""
    core = Core()
    Driver(core, lambda _: None).feed(EVENT)
    await asyncio.sleep(0.03)
    assert core.events == [EVENT]
    assert not core.ticks


async def test_a_stopped_driver_is_quiet() -> None:
    """After stop the core is woken no more, whatever deadline it still has."""
    core = Core()
    driver = Driver(core, lambda _: None)
    core.deadlines = [driver.now() + 0.01]
    driver.feed(EVENT)
    driver.stop()
    await asyncio.sleep(0.03)
    assert not core.ticks


CRASH = """
import asyncio, sys
from gateway.core import Draining, Finished
from gateway.net.driver import Driver

class Core:
    def handle(self, event, now):
        self.at = now
        if {where!r} == "handle":
            raise RuntimeError("the ledger does not add up")
        return [Finished()]
    def tick(self, now):
        raise RuntimeError("the ledger does not add up")
    def next_deadline(self):
        return self.at

def perform(action):
    if {where!r} == "perform":
        raise RuntimeError("the ledger does not add up")

async def main():
    try:
        Driver(Core(), perform).feed(Draining(0.0))
        await asyncio.sleep(30)
    except BaseException:
        print("caught")
    finally:
        print("went on")

asyncio.run(main())
"""


@pytest.mark.integration
@pytest.mark.parametrize("where", ["handle", "tick", "perform"])
def test_a_bug_ends_the_process(where: str) -> None:
    """An exception in a core, or in what performs its actions, ends the process at once with status 70 and its trace."""
    words = [sys.executable, "-c", CRASH.format(where=where)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (EXIT_BUG, "")
    assert "RuntimeError: the ledger does not add up" in done.stderr
    assert "Traceback" in done.stderr
    assert EXIT_BUG == 70
