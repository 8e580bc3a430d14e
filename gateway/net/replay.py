"""Recorded OTLP/JSON lines in, lines about decisions out: the files, pipes and words of `tailgate replay`.

Owns what a line must be and what is said of one that is not. What becomes of a request is the tier's (gateway.net.tier), and
how its JSON is read gateway.otlp.transcode's.
"""

from __future__ import annotations

import gzip
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from gateway import limits
from gateway.errors import ConfigError, Mistake, StartupError, TailgateError
from gateway.net.tier import Replaying
from gateway.otlp.otlp_json import to_json_line
from gateway.otlp.transcode import NotOtlpError, to_protobuf

STDIN = "-"
_AT_MAX = 1e11  # seconds: three thousand years, in which Unix seconds fit and Unix milliseconds do not
_SKIPPED_AT_ONCE = 1 << 20  # bytes of a line that is too long


@dataclass(frozen=True, slots=True)
class Plan:
    """What to read, whether its lines name their arrival, and where to write what would have been exported ("": nowhere)."""

    inputs: Sequence[str]
    timed: bool = False
    kept: str = ""


class _BadLineError(TailgateError):
    """A line that is no request; it is skipped."""


class _Timed(msgspec.Struct):
    at: float
    request: msgspec.Raw


_TIMED = msgspec.json.Decoder(_Timed)
_KEYS = msgspec.json.Decoder(dict[str, msgspec.Raw])


def run(replay: Replaying, plan: Plan, out: BinaryIO, say: Callable[[str], None]) -> int:
    """Replay the inputs: lines to `out`, problems and the summary to `say`. The exit status: 1 if there was a problem.

    Raises ConfigError for an input that cannot be read, StartupError where `kept` cannot be written. Whoever reads `out` may
    stop at any time: that ends it quietly.
    """
    check(plan)
    with ExitStack() as stack:
        kept = stack.enter_context(_open_kept(plan.kept)) if plan.kept else None
        running = _Running(replay, out, kept, say)
        try:
            for name in plan.inputs:
                running.read(name, timed=plan.timed)
            running.finish()
        except BrokenPipeError:
            _close_quietly(out)
        return 1 if running.problems else 0


def check(plan: Plan) -> None:
    """Raises ConfigError if an input cannot be read, or would be overwritten: before anything is done."""
    mistakes = []
    for name in plan.inputs:
        if name == STDIN:
            continue
        try:
            mode = Path(name).stat().st_mode
            if not stat.S_ISFIFO(mode):  # whoever writes into a pipe would take a look for the end
                Path(name).open("rb").close()
            if plan.kept and Path(plan.kept).exists() and Path(plan.kept).samefile(name):
                mistakes.append(Mistake(name, 1, 1, "is to be read and, by --kept, to be written"))
        except OSError as error:
            mistakes.append(_unreadable(name, error))
    if mistakes:
        raise ConfigError(mistakes)


def _unreadable(name: str, error: OSError) -> Mistake:
    return Mistake(name, 1, 1, f"cannot be read: {error.strerror or error}")


@contextmanager
def _open_kept(path: str) -> Iterator[BinaryIO]:
    try:
        file = Path(path).open("wb")  # noqa: SIM115 -- closed below, after its errors have their own words
    except OSError as error:
        raise StartupError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield file
    finally:
        with suppress(OSError):  # it was flushed at the end, or something else went wrong
            file.close()


def _close_quietly(out: BinaryIO) -> None:
    """Nobody reads it any more: what is still buffered goes nowhere, or the interpreter would complain at its end."""
    if out is sys.stdout.buffer:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


class _Running:
    """A replay on its way through its inputs."""

    def __init__(self, replay: Replaying, out: BinaryIO, kept: BinaryIO | None, say: Callable[[str], None]) -> None:
        self._replay = replay
        self._out = out
        self._kept = kept
        self._say = say
        self._at = 0.0
        self.problems = 0

    def read(self, name: str, *, timed: bool) -> None:
        """Take one input, line by line. Raises ConfigError if it cannot be opened."""
        number = 0
        try:
            with ExitStack() as stack:
                for number, line in enumerate(_lines(name, _open(name, stack)), 1):
                    if not line.isspace():
                        self._take(name, number, line, timed)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            self._problem(name, number + 1, f"the gzip data is broken: {error}")

    def _take(self, name: str, number: int, line: bytes, timed: bool) -> None:
        try:
            at, request = self._timed(line) if timed else (0.0, _request(line))
        except (_BadLineError, NotOtlpError) as error:
            self._problem(name, number, str(error))
            return
        self._at = at
        for came in self._replay.take(request, at):
            self._write(came.lines, came.kept)
            if came.problem:
                self._problem(name, number, came.problem)

    def _timed(self, line: bytes) -> tuple[float, bytes]:
        _bound(line)
        try:
            found = _TIMED.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise _BadLineError(f'not {{"at": SECONDS, "request": {{…}}}}: {error}') from error
        if not 0 <= found.at <= _AT_MAX:
            raise _BadLineError(f"`at` must be from 0 to {_AT_MAX:.0f} seconds, got {found.at}")
        if found.at < self._at:
            raise _BadLineError(f"`at` goes back in time: {found.at} after {self._at}")
        return found.at, _request(bytes(found.request))

    def finish(self) -> None:
        """No more comes: decide what is left, and say what all came to."""
        for came in self._replay.finish():
            self._write(came.lines, came.kept)
        self._out.flush()
        if self._kept is not None:
            with _writing_kept():
                self._kept.flush()
        if self.problems:
            self._say(f"\nproblems with the input: {self.problems}")
        self._say(f"\n{self._replay.summary()}".rstrip("\n"))

    def _write(self, lines: Sequence[bytes], kept: Sequence[bytes]) -> None:
        self._out.writelines(lines)
        if self._kept is not None:
            with _writing_kept():
                self._kept.writelines(map(to_json_line, kept))

    def _problem(self, name: str, number: int, words: str) -> None:
        self.problems += 1
        self._say(f"{name}:{number}: {words}")


@contextmanager
def _writing_kept() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise StartupError(f"cannot write what is kept: {error.strerror}") from error


def _open(name: str, stack: ExitStack) -> BinaryIO:
    if name == STDIN:
        return sys.stdin.buffer
    try:
        if name.endswith(".gz"):
            return cast("BinaryIO", stack.enter_context(gzip.open(name, "rb")))
        return stack.enter_context(Path(name).open("rb"))
    except OSError as error:
        raise ConfigError([_unreadable(name, error)]) from error


def _lines(name: str, file: BinaryIO) -> Iterator[bytes]:
    """Each line. Of one that is too long what makes it so, and no more is held of it."""
    most = limits.REQUEST_BYTES_MAX + 2  # one too many, and the line's end
    try:
        while line := file.readline(most):
            yield line
            cut = len(line) == most and not line.endswith(b"\n")
            while cut and (rest := file.readline(_SKIPPED_AT_ONCE)):
                cut = not rest.endswith(b"\n")
    except gzip.BadGzipFile:
        raise
    except OSError as error:
        raise ConfigError([_unreadable(name, error)]) from error


def _bound(line: bytes) -> None:
    if len(line) > limits.REQUEST_BYTES_MAX + line.endswith(b"\n"):
        raise _BadLineError(f"the line has more than {limits.REQUEST_BYTES_MAX} bytes")


def _request(line: bytes) -> bytes:
    """The export request that the line says. An object of something else is most likely a file of something else."""
    _bound(line)
    request = to_protobuf(line)
    if not request:
        keys = _KEYS.decode(line)
        if keys and "resourceSpans" not in keys:
            hint = ": give --timed for lines with an arrival" if "request" in keys else ""
            raise _BadLineError(f"not an OTLP export request of traces: it has no resourceSpans{hint}")
    return request
