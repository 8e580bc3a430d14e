"""A configuration as a tree whose every node knows its file, line and column.

Owns the three kinds of node and the way between a tree and plain Python values. Knows neither YAML nor what any key means.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

Path = tuple[str | int, ...]


class Mark(NamedTuple):
    """A place in a file; line and column count from 1."""

    file: str
    line: int
    column: int


class Unknown:
    """Stands for a value that could not be made out; the mistake has been noted where it was found, and needs no second."""

    __slots__ = ()


UNKNOWN = Unknown()

Plain = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Substituted:
    """What a variable gave: its text as it is, for where text is wanted, and what that text says as YAML, for everywhere else.

    `reference` is how the file wrote it. Its value may be a secret, so messages show the reference and never the value.
    """

    reference: str
    text: str
    value: Plain


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value. `raw` is how the file writes it, quotes and all, where that is known."""

    mark: Mark
    value: Plain | Substituted | Unknown
    raw: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Items:
    """A list. `whole` is set if a variable gave all of it."""

    mark: Mark
    items: tuple[Node, ...] = ()
    whole: Substituted | None = None


class Entry(NamedTuple):
    """One key of a section: where the key stands, and its value."""

    key: Mark
    value: Node


@dataclass(frozen=True, slots=True)
class Section:
    """A mapping, in the order of the file. `whole` is set if a variable gave all of it."""

    mark: Mark
    entries: Mapping[str, Entry] = field(default_factory=dict)
    whole: Substituted | None = None

    def get(self, key: str) -> Node | None:
        """The value under a key; None if there is none."""
        entry = self.entries.get(key)
        return entry.value if entry else None


Node = Scalar | Items | Section


class SubstitutedItems(list[object]):
    """A plain list that a variable gave; `whole` is its text."""

    def __init__(self, items: Iterable[object], whole: Substituted) -> None:
        super().__init__(items)
        self.whole = whole


class SubstitutedSection(dict[str, object]):
    """A plain mapping that a variable gave; `whole` is its text."""

    def __init__(self, entries: Mapping[str, object], whole: Substituted) -> None:
        super().__init__(entries)
        self.whole = whole


def plain(node: Node) -> object:
    """The tree as dicts, lists and scalars. What came from a variable still knows its text."""
    match node:
        case Scalar():
            return node.value
        case Items(_, items, whole):
            values = [plain(item) for item in items]
            return SubstitutedItems(values, whole) if whole else values
        case Section(_, entries, whole):
            pairs = {key: plain(entry.value) for key, entry in entries.items()}
            return SubstitutedSection(pairs, whole) if whole else pairs


def find(node: Node, path: Sequence[str | int]) -> Node | None:
    """The node at a path; None if the tree ends before it."""
    here: Node | None = node
    for step in path:
        match here, step:
            case Section(), str():
                here = here.get(step)
            case Items(), int() if step < len(here.items):
                here = here.items[step]
            case _:
                return None
    return here


def key_mark(node: Node, path: Sequence[str | int]) -> Mark:
    """Where the key at the end of a path stands; for a list's item, where the item begins; else the nearest thing above it."""
    mark = node.mark
    here: Node | None = node
    for step in path:
        match here, step:
            case Section(), str() if step in here.entries:
                mark, here = here.entries[step]
            case Items(), int() if step < len(here.items):
                here = here.items[step]
                mark = here.mark
            case _:
                return mark
    return mark


def value_mark(node: Node, path: Sequence[str | int]) -> Mark:
    """Where the value at a path begins; where there is none, the nearest key above it."""
    found = find(node, path)
    return found.mark if found else key_mark(node, path)


def dotted(path: Sequence[str | int]) -> str:
    """A path as people read it: processors.tail_sampling.policies[2].latency."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text
