"""A bench's children start, cost what they cost, and are gone afterwards."""

from __future__ import annotations

import sys

import psutil
import pytest

from bench import processes
from bench.processes import ChildError, running

SPIN = "import time\nwhile time.process_time() < 0.2: pass\n"


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.integration
def test_the_cost_of_a_child_holds_that_of_the_children_it_had() -> None:
    """CPU time counts the whole tree, the processes that have already ended too."""
    code = (
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SPIN!r}]); print('{{}}', flush=True); input()"
    )
    with running(python(code), talks=True) as child:
        child.read()
        assert processes.cpu_seconds(child.pid) >= 0.2
        assert processes.resident_bytes(child.pid) > 0


@pytest.mark.integration
def test_what_a_child_started_does_not_outlive_it() -> None:
    """Stopping a child stops its whole group, even one that does not heed the asking."""
    stubborn = (
        "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('{}', flush=True); time.sleep(60)"
    )
    code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', {stubborn!r}]); p.wait()"
    with running(python(code), talks=True) as child:
        child.read()
        (grandchild,) = psutil.Process(child.pid).children()
    grandchild.wait(10.0)
    assert not grandchild.is_running()


@pytest.mark.integration
def test_a_subject_that_died_is_noticed() -> None:
    """Nothing is measured of a process that has ended: its exit code is the result."""
    with running(python("print('{}'); raise SystemExit(70)"), talks=True) as child:
        child.read()
        with pytest.raises(ChildError, match="ended before"):
            child.read()
        with pytest.raises(ChildError, match="exited with 70"):
            child.await_port(processes.free_port())


@pytest.mark.integration
def test_a_child_that_fails_shows_what_it_printed() -> None:
    """The error of a child that ended early holds the end of its standard error."""
    with (
        running(python("import sys; sys.exit('the port is taken')")) as child,
        pytest.raises(ChildError, match="the port is taken"),
    ):
        child.await_port(processes.free_port())
