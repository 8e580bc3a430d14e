"""Golden transcripts: what a core was told and what came of it, as text that a newcomer can read.

A transcript is a file of blocks. The lines above `----` are a command, the lines below it, up to the next empty line, what came
of it. `#` starts a remark. `pytest --rewrite` writes what came of it into the file; read the diff before you keep it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

RULE = "----"

Do = Callable[[str, list[str], dict[str, str]], list[str]]
"""Perform a command, given its words and its key=value settings; return the lines of what came of it."""


def play(path: Path, do: Do, *, rewrite: bool) -> str:
    """Run the transcript and return what it tells now; with `rewrite` the file is made to tell the same."""
    blocks = [_played(block, do) for block in path.read_text().strip("\n").split("\n\n")]
    came = "\n\n".join(blocks) + "\n"
    if rewrite:
        path.write_text(came)
    return came


def _played(block: str, do: Do) -> str:
    lines = block.split("\n")
    above = lines[: lines.index(RULE)] if RULE in lines else lines
    commands = [line for line in above if not line.startswith("#")]
    if not commands:
        return block
    came = [line for command in commands for line in _perform(command, do)]
    return "\n".join([*above, RULE, *came])


def _perform(command: str, do: Do) -> list[str]:
    verb, *rest = command.split()
    words = [word for word in rest if "=" not in word]
    settings = dict(word.split("=", 1) for word in rest if "=" in word)
    return do(verb, words, settings)


def seconds(text: str) -> float:
    """ "1.5s" as 1.5."""
    assert text.endswith("s"), text
    return float(text[:-1])
