"""gateway.net.tether: becoming another program that ends with its parent."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gateway.net import tether


def tethered(parent: int, *program: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-I", "-S", tether.__file__, str(parent), *program]
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.integration
def test_the_program_takes_the_place_of_the_tether() -> None:
    """The program runs with its arguments and its exit status is the process's."""
    done = tethered(os.getpid(), sys.executable, "-c", "import sys; print(sys.argv[1:]); sys.exit(7)", "a", "b c")
    assert (done.returncode, done.stdout, done.stderr) == (7, "['a', 'b c']\n", "")


@pytest.mark.integration
def test_a_program_that_is_not_there_is_one_line() -> None:
    """A program that cannot be started is one line on stderr and status 1, without a stack trace."""
    done = tethered(os.getpid(), "/nonexistent/program")
    assert (done.returncode, done.stderr) == (1, "cannot start /nonexistent/program: No such file or directory\n")


@pytest.mark.integration
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux ties children to their parent")
def test_a_parent_that_died_meanwhile_is_noticed() -> None:
    """A program whose parent died before it was tied to it is not started at all."""
    done = tethered(os.getpid() + 1, sys.executable, "-c", "print('started')")
    assert (done.returncode, done.stdout) == (0, "")
