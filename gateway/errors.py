"""The errors that are not bugs: the peer's fault, the operator's mistake, the machine's refusal.

Overload and a destination's failure are not exceptions: they are outcomes and events (gateway.core).
Everything else that goes wrong is a bug: it is not caught, and the process dies of it.
"""

from __future__ import annotations

from dataclasses import dataclass


class TailgateError(Exception):
    """Root of the family. Its text is meant for people and is shown without a stack trace."""


class MalformedRequestError(TailgateError):
    """A request whose protobuf framing cannot be read; the whole request is refused (INVALID_ARGUMENT / 400)."""

    def __init__(self, reason: str, offset: int) -> None:
        super().__init__(f"{reason} at byte {offset}")
        self.reason = reason
        self.offset = offset


class TooLargeError(TailgateError):
    """A request larger than the receiver's bound, before or after decompression; not retryable."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake in a configuration file. `line` and `column` count from 1; `path` is dotted, "" at the top."""

    file: str
    line: int
    column: int
    message: str
    path: str = ""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}:{self.column}: {where}{self.message}"


class ConfigError(TailgateError):
    """Every mistake found in the configuration, in file order. The command prints one a line and exits with 2."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        assert mistakes, "a ConfigError names at least one mistake"
        self.mistakes = sorted(mistakes)
        super().__init__("\n".join(map(str, self.mistakes)))


class StartupError(TailgateError):
    """The process cannot start or go on: a port in use, Redis out of reach, a file it may not write. One line; exit 1."""
