"""How mistakes are worded: what was given, what was probably meant.

Owns the phrases that every message shares. Knows no keys and no files.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable

from gateway.config.tree import Substituted, SubstitutedItems, SubstitutedSection

CHARS_MAX = 60


def shown(value: object) -> str:
    """A given value for a message; what a variable gave is named, never shown: it may be a secret."""
    match value:
        case Substituted():
            return f"the value of {clip(value.reference)}"
        case SubstitutedItems() | SubstitutedSection():
            return f"the value of {clip(value.whole.reference)}"
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return clip(json.dumps(value, ensure_ascii=False))
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return clip(str(value))


def clip(text: str) -> str:
    """At most so many characters that a line stays readable."""
    return text if len(text) <= CHARS_MAX else f"{text[: CHARS_MAX - 4]}...{text[-1]}"


def meant(word: str, known: Iterable[str]) -> str:
    """`; did you mean "x"?` if one of the known words is close, "" otherwise."""
    folded = {name.lower().replace("-", "_"): name for name in known}
    close = difflib.get_close_matches(clip(word).lower().replace("-", "_"), folded, n=1, cutoff=0.6)
    return f'; did you mean "{folded[close[0]]}"?' if close else ""


def listed(words: Iterable[str], last: str = "or") -> str:
    """a, b or c."""
    ordered = list(words)
    return f"{', '.join(ordered[:-1])} {last} {ordered[-1]}" if len(ordered) > 1 else "".join(ordered)
