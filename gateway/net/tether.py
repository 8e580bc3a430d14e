"""Becomes another program that is asked to end when its parent dies: `python tether.py PARENT_PID PROGRAM [ARGUMENT...]`.

Run as a script, before every child process, because a parent that is killed with -9 can stop nobody. It is a step of its own
and not a preexec_fn: between fork and exec a process with threads may run no Python. Only Linux offers this; elsewhere the
program is started untied. It must stay importable by nothing but the standard library: it runs with -I -S.
"""

from __future__ import annotations

import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tie(parent: int) -> None:
    """Ask the kernel for SIGTERM (a drain, not a loss) when the parent dies; exit if it is dead already."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    words = (ctypes.c_ulong(number) for number in (int(signal.SIGTERM), 0, 0, 0))
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, *words) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        raise SystemExit(0)


def main(arguments: list[str]) -> None:
    """Tie this process to its parent, then become the program."""
    parent, program, *rest = arguments
    tie(int(parent))
    try:
        os.execvp(program, [program, *rest])
    except OSError as error:
        raise SystemExit(f"cannot start {program}: {error.strerror}") from error


if __name__ == "__main__":
    main(sys.argv[1:])
