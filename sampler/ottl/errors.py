"""What is wrong with a condition's text, and where. Knows nothing of what conditions mean."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from gateway.errors import TailgateError


class OttlError(TailgateError):
    """A condition that cannot be read, or that would fail for every span. `line` and `column` count from 1 in its text."""

    def __init__(self, message: str, line: int = 1, column: int = 1) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest known word and all others."""
    words = sorted(known)
    folded = {each.lower(): each for each in words}
    begun = [each for each in folded if each.startswith(word.lower()) and len(word) > 2]
    near = begun or get_close_matches(word.lower(), folded, 1, 0.7)
    guess = f"did you mean {folded[near[0]]}? " if near else ""
    return f"{guess}supported are {', '.join(words)}"
