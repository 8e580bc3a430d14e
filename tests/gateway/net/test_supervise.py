"""gateway.net.supervise: restarts with back-off, ordered and forced stops, and no process left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from gateway import limits
from gateway.net.supervise import Backoff, Child, Keeper, Supervisor, exit_status, spawn, tell, watch_without_threads

PATIENCE = 20.0  # how long a condition may take to come true before the test is failed


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RESTART_BACKOFF_INITIAL", 0.01)
    monkeypatch.setattr(limits, "READY_POLL", 0.01)


def python(name: str, code: str, *arguments: object, **others: object) -> Child:
    words = (sys.executable, "-I", "-S", "-c", textwrap.dedent(code), *map(str, arguments))
    return Child(name, words, **others)  # type: ignore[arg-type]


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  (what is waited for happens in another process)
            await asyncio.sleep(0.005)


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# A child that writes its name when it has started and when it has ended; SIGTERM is answered with the status given.
POLITE = """
    import signal, sys, time
    name, log, status = sys.argv[1:]
    def write(word):
        with open(log, "a") as file:
            file.write(f"{name} {word}\\n")
    def end(*_):
        write("ended")
        sys.exit(int(status))
    signal.signal(signal.SIGTERM, end)
    write("started")
    while True:
        signal.pause()
"""

# A child that will not end when it is asked to; it writes how often it was asked.
STUBBORN = """
    import signal, sys, time
    def asked(*_):
        with open(sys.argv[1], "a") as file:
            file.write("asked\\n")
    signal.signal(signal.SIGTERM, asked)
    with open(sys.argv[1], "a") as file:
        file.write("started\\n")
    while True:
        signal.pause()
"""

# A child that freezes itself whenever it runs; it has no say in how SIGTERM is answered before it wakes.
FREEZES = """
    import os, signal, sys
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with open(sys.argv[1], "a") as file:
        file.write("started\\n")
    while True:
        os.kill(os.getpid(), signal.SIGSTOP)
"""


def polite(name: str, log: Path, status: int = 0, stage: int = 0) -> Child:
    return python(name, POLITE, name, log, status, stage=stage)


def test_pauses_double_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that keeps dying is started again after 0.5 s, 1 s, 2 s … and never later than 30 s."""
    monkeypatch.setattr(limits, "RESTART_BACKOFF_INITIAL", 0.5)
    backoff = Backoff()
    assert [backoff.after(lived=0.1) for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]


def test_pauses_start_over_after_a_long_life(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that has lived a while is started again after the first pause, however often it died before."""
    monkeypatch.setattr(limits, "RESTART_BACKOFF_INITIAL", 0.5)
    backoff = Backoff()
    for _ in range(5):
        backoff.after(lived=0.1)
    assert backoff.after(lived=limits.RESTART_SETTLED) == 0.5
    assert backoff.after(lived=limits.RESTART_SETTLED - 1) == 1.0


@pytest.mark.parametrize(
    ("returncode", "asked", "status"),
    [(0, True, 0), (1, True, 1), (-15, True, 0), (-15, False, 143), (-9, True, 137), (-11, False, 139), (2, False, 2)],
)
def test_exit_statuses_are_a_shells(returncode: int, asked: bool, status: int) -> None:
    """A death by signal n is status 128 + n, but a SIGTERM that was asked for is a clean end."""
    assert exit_status(returncode, asked) == status


@pytest.mark.integration
async def test_a_child_that_dies_is_started_again(tmp_path: Path) -> None:
    """A child that dies is started again, and the number of restarts is known."""
    log = tmp_path / "log"
    async with Supervisor() as supervisor:
        keeper = supervisor.start(polite("one", log))
        await until(lambda: lines(log))
        assert keeper.pid is not None
        os.kill(keeper.pid, signal.SIGKILL)
        await until(lambda: len(lines(log)) == 2)
        assert keeper.restarts == 1
        supervisor.stop()
        assert await supervisor.stopped() == 0
    assert lines(log) == ["one started", "one started", "one ended"]


@pytest.mark.integration
async def test_stages_are_stopped_from_the_last_to_the_first(tmp_path: Path) -> None:
    """Stopping asks the children of a later stage first, and the next stage only when those have ended."""
    log = tmp_path / "log"
    async with Supervisor() as supervisor:
        for stage, name in enumerate(["redis", "sampler", "loadbalancer"]):
            supervisor.start(polite(name, log, stage=stage))
        await until(lambda: len(lines(log)) == 3)
        supervisor.stop()
        assert await supervisor.stopped() == 0
    assert lines(log)[3:] == ["loadbalancer ended", "sampler ended", "redis ended"]


@pytest.mark.integration
async def test_the_worst_status_counts(tmp_path: Path) -> None:
    """A child that ends with 1 after a stop, because it lost something, makes the whole end with 1."""
    log = tmp_path / "log"
    async with Supervisor() as supervisor:
        supervisor.start(polite("clean", log))
        supervisor.start(polite("lossy", log, status=1))
        await until(lambda: len(lines(log)) == 2)
        supervisor.stop()
        assert await supervisor.stopped() == 1


@pytest.mark.integration
@pytest.mark.parametrize("status", [1, 2])
async def test_a_first_start_that_fails_stops_everything(tmp_path: Path, status: int) -> None:
    """A child that ends with 1 or 2 before it was ever ready is not started again: all stop, with its status."""
    log = tmp_path / "log"

    async def never() -> bool:
        return False

    async with Supervisor() as supervisor:
        supervisor.start(polite("other", log))
        await until(lambda: lines(log))
        keeper = supervisor.start(python("hopeless", f"raise SystemExit({status})", ready=never))
        assert not await supervisor.ready()
        assert await supervisor.stopped() == status
        assert keeper.restarts == 0
    assert lines(log) == ["other started", "other ended"]


@pytest.mark.integration
async def test_a_failure_after_readiness_is_tried_again(tmp_path: Path) -> None:
    """A child that was ready once and then ends with 1 is started again: what it lacked may come back."""
    log = tmp_path / "log"

    async def ready() -> bool:
        return len(lines(log)) > 0

    once = """
        import pathlib, signal, sys
        log, go = map(pathlib.Path, sys.argv[1:])
        with log.open("a") as file:
            file.write("started\\n")
        while not go.exists():
            pass
        sys.exit(1)
    """
    async with Supervisor() as supervisor:
        keeper = supervisor.start(python("once", once, log, tmp_path / "go", ready=ready))
        assert await supervisor.ready()
        (tmp_path / "go").touch()
        await until(lambda: keeper.restarts >= 2)
        supervisor.stop()
        await supervisor.stopped()


@pytest.mark.integration
async def test_a_second_stop_kills(tmp_path: Path) -> None:
    """A child that does not end when asked is waited for, until a second request to stop kills it."""
    log = tmp_path / "log"
    async with Supervisor() as supervisor:
        supervisor.start(python("stubborn", STUBBORN, log))
        await until(lambda: lines(log))
        supervisor.stop()
        stopped = asyncio.create_task(supervisor.stopped())
        await until(lambda: lines(log) == ["started", "asked"])
        assert not stopped.done()
        supervisor.stop()
        assert await stopped == 128 + signal.SIGKILL


@pytest.mark.integration
async def test_a_forced_stop_lets_parents_end_their_own_children_first(tmp_path: Path) -> None:
    """With `kill_after` a forced stop asks once more, so that a child can kill its own children, before it kills."""
    log = tmp_path / "log"
    async with Supervisor(kill_after=PATIENCE) as supervisor:
        supervisor.start(python("parent", STUBBORN, log))
        await until(lambda: lines(log))
        supervisor.stop()
        stopped = asyncio.create_task(supervisor.stopped())
        await until(lambda: lines(log) == ["started", "asked"])
        supervisor.stop()
        await until(lambda: lines(log) == ["started", "asked", "asked"])
        assert not stopped.done()
        pid = supervisor.keepers[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        assert await stopped == 128 + signal.SIGKILL


async def told_after_its_end(status: int) -> int:
    """What is known of a child that was told to end when it had ended already, and nobody had looked yet."""
    watch_without_threads()
    process = await spawn(python("ends", f"raise SystemExit({status})"))
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222  (the loop must not see it first)
    tell(process, signal.SIGTERM)
    return await process.wait()


@pytest.mark.integration
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs to see a death without collecting its status")
def test_a_signal_that_comes_too_late_changes_no_status() -> None:
    """A child that ended by itself just before it was told to end keeps the status it ended with."""
    assert asyncio.run(told_after_its_end(7)) == 7


@pytest.mark.integration
async def test_patience_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that has not ended when its grace is over is killed without being asked for, and a log line names it."""
    monkeypatch.setattr(limits, "FORCED_STOP", 0.01)
    log = tmp_path / "log"
    with capture_logs() as said:
        async with Supervisor() as supervisor:
            keeper = supervisor.start(python("stubborn", STUBBORN, log, grace=0.2))
            await until(lambda: lines(log))
            pid = keeper.pid
            supervisor.stop()
            assert await supervisor.stopped() == 128 + signal.SIGKILL
    told = {"event": "child_did_not_end", "log_level": "error", "child": "stubborn", "pid": pid, "waited_seconds": 0.2}
    assert said == [told]


@pytest.mark.integration
async def test_a_frozen_child_cannot_hold_up_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child that is frozen again and again, and so never gets to its drain, is killed when its grace is over."""
    monkeypatch.setattr(limits, "FORCED_STOP", 0.01)
    log = tmp_path / "log"
    with capture_logs() as said:
        async with Supervisor() as supervisor:
            keeper = supervisor.start(python("frozen", FREEZES, log, grace=0.2))
            await until(lambda: lines(log))
            pid = keeper.pid
            assert pid is not None
            await until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
            supervisor.stop()
            assert await supervisor.stopped() == 128 + signal.SIGKILL
    assert [(line["event"], line["child"]) for line in said] == [("child_did_not_end", "frozen")]


@pytest.mark.integration
async def test_a_child_that_was_frozen_gets_to_drain(tmp_path: Path) -> None:
    """A child that somebody froze with SIGSTOP is woken when it is asked to end, and ends in its own way."""
    log = tmp_path / "log"
    async with Supervisor() as supervisor:
        keeper = supervisor.start(polite("one", log))
        await until(lambda: lines(log))
        assert keeper.pid is not None
        os.kill(keeper.pid, signal.SIGSTOP)
        supervisor.stop()
        assert await supervisor.stopped() == 0
    assert lines(log) == ["one started", "one ended"]


@pytest.mark.integration
async def test_a_parent_whose_grace_is_over_is_asked_once_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `kill_after` a child whose grace is over is asked again first, as in a forced stop, so that it can end its own."""
    monkeypatch.setattr(limits, "FORCED_STOP", 0.01)
    log = tmp_path / "log"
    async with Supervisor(kill_after=0.2) as supervisor:
        supervisor.start(python("parent", STUBBORN, log, grace=0.2))
        await until(lambda: lines(log))
        supervisor.stop()
        assert await supervisor.stopped() == 128 + signal.SIGKILL
    assert lines(log) == ["started", "asked", "asked"]


@pytest.mark.integration
async def test_a_stop_cuts_the_pause_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stop does not wait for the pause before the next start, and the status of the last death counts."""
    monkeypatch.setattr(limits, "RESTART_BACKOFF_INITIAL", 1000.0)
    monkeypatch.setattr(limits, "RESTART_BACKOFF_MAX", 1000.0)
    async with Supervisor() as supervisor:
        keeper = supervisor.start(python("dies", "raise SystemExit(3)"))
        await until(lambda: keeper.restarts == 1)
        supervisor.stop()
        assert await supervisor.stopped() == 3


@pytest.mark.integration
async def test_nothing_is_started_once_the_end_has_begun(tmp_path: Path) -> None:
    """A child that is added after the stop is not started."""
    log = tmp_path / "log"
    async with Supervisor() as supervisor:
        supervisor.stop()
        keeper = supervisor.start(polite("late", log))
        assert await supervisor.stopped() == 0
        assert keeper.pid is None
    assert lines(log) == []


@pytest.mark.integration
async def test_a_failure_of_the_parent_leaves_no_child(tmp_path: Path) -> None:
    """Whatever goes wrong inside the parent, its children have ended when it is done."""
    log = tmp_path / "log"

    async def fail_once_started() -> None:
        async with Supervisor() as supervisor:
            supervisor.start(polite("one", log))
            await until(lambda: lines(log))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail_once_started()
    assert lines(log) == ["one started", "one ended"]


@pytest.mark.integration
async def test_a_program_that_is_not_there_is_a_failure_and_not_a_crash() -> None:
    """A child whose program does not exist ends with status 1 at once, as any child that cannot start."""
    keeper = Keeper(Child("ghost", ("/nonexistent/program",)), kill_after=0)
    assert await keeper.run() == 1


PARENT = """
    import asyncio, sys
    from gateway.net.supervise import Child, Supervisor

    async def main():
        async with Supervisor() as supervisor:
            for name in ("one", "two"):
                supervisor.start(Child(name, (sys.executable, "-I", "-S", "-c", sys.argv[1], name, sys.argv[2], "0")))
            return await supervisor.stopped()

    sys.exit(asyncio.run(main()))
"""


@pytest.fixture
def parent(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real parent process with two children that have started; they log to tmp_path / log."""
    words = [sys.executable, "-c", textwrap.dedent(PARENT), textwrap.dedent(POLITE), str(tmp_path / "log")]
    process = subprocess.Popen(words, start_new_session=True, stdout=subprocess.DEVNULL)
    yield process
    process.kill()
    process.wait()


async def family(parent: subprocess.Popen[bytes], log: Path) -> list[psutil.Process]:
    await until(lambda: len(lines(log)) == 2)
    return psutil.Process(parent.pid).children()


def alive(processes: list[psutil.Process]) -> list[psutil.Process]:
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@pytest.mark.integration
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ties children to their parent")
async def test_a_killed_parent_leaves_no_process(parent: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Children whose parent is killed with -9 are asked to end, so that they drain and none is left."""
    children = await family(parent, tmp_path / "log")
    assert len(children) == 2
    parent.kill()
    await until(lambda: len(lines(tmp_path / "log")) == 4)
    await until(lambda: not alive(children))
    assert sorted(lines(tmp_path / "log")[2:]) == ["one ended", "two ended"]


@pytest.mark.integration
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_end_the_family(parent: subprocess.Popen[bytes], tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and Ctrl-C to the parent end its children first and then itself, with status 0."""
    children = await family(parent, tmp_path / "log")
    parent.send_signal(number)
    await until(lambda: parent.poll() is not None)
    assert parent.returncode == 0
    assert not alive(children)
    assert sorted(lines(tmp_path / "log")[2:]) == ["one ended", "two ended"]


async def test_a_signal_that_comes_twice_at_once_is_one_request() -> None:
    """A SIGTERM that a wrapper sends to the process and to its group is one request to stop, not a forced stop."""
    supervisor = Supervisor()
    stops: list[bool] = []
    supervisor.stop = lambda: stops.append(supervisor.stopping)  # type: ignore[method-assign]
    supervisor.on_signal()
    supervisor.on_signal()
    assert len(stops) == 1


async def test_signals_apart_are_two_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A second SIGTERM after a moment is a request of its own, and forces the stop."""
    monkeypatch.setattr(limits, "SIGNAL_REPEAT", 0.0)
    supervisor = Supervisor()
    stops: list[bool] = []
    supervisor.stop = lambda: stops.append(supervisor.stopping)  # type: ignore[method-assign]
    supervisor.on_signal()
    supervisor.on_signal()
    assert len(stops) == 2


@pytest.mark.integration
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ties children to their parent")
async def test_a_parent_has_no_thread_but_its_own(parent: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """A parent runs without threads, so that its children are told once, not once for each thread, when it is killed."""
    await family(parent, tmp_path / "log")
    assert psutil.Process(parent.pid).num_threads() == 1


@pytest.mark.integration
async def test_ctrl_c_reaches_only_the_parent(parent: subprocess.Popen[bytes], tmp_path: Path) -> None:
    """Each child has a session of its own, so a terminal's Ctrl-C does not end it behind the parent's back."""
    children = await family(parent, tmp_path / "log")
    sessions = {os.getsid(pid) for pid in (parent.pid, *(child.pid for child in children))}
    assert len(sessions) == 3
