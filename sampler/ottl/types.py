"""The values that expressions have while they are evaluated, where Python's own types say too little.

Strings are `bytes`, their UTF-8 as it came: the language measures, cuts and compares them by bytes. Numbers are int (64 bits,
signed) and float, nil is None. An array of the data is a tuple, a list that the condition itself writes is a list: they
compare differently.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Fail(Exception):  # noqa: N818 -- no error of ours: an evaluation that has no answer
    """This cannot be evaluated. The text says what was expected, for those who find out while loading."""


class Blob(bytes):
    """A value of type bytes."""

    __slots__ = ()


class Time(int):
    """An instant, in nanoseconds since 1970."""

    __slots__ = ()


class Duration(int):
    """A span of time in nanoseconds."""

    __slots__ = ()


class Words(tuple[bytes, ...]):
    """Strings that a function made of one."""

    __slots__ = ()


class Opaque(NamedTuple):
    """What can be told from its like and nothing else: an id, a status, all events."""

    what: str
    raw: bytes
    items: int = -1


class Map:
    """Keys and values in their order. Of two equal keys the first counts."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: list[tuple[bytes, object]]) -> None:
        self.pairs = pairs

    def has(self, key: bytes) -> bool:
        """Whether there is such a key."""
        return any(each == key for each, _ in self.pairs)

    def get(self, key: bytes, default: object = None) -> object:
        """The value, the default if there is none."""
        return next((value for each, value in self.pairs if each == key), default)

    def raw(self) -> dict[bytes, object]:
        """As a dictionary: of two equal keys the last counts, as where the Collector makes one."""
        return dict(self.pairs)


ABSENT = object()
"""Stands for a value that is not there, where that is another thing than nil."""

Row = tuple[bytes | None, ...]
"""What an expression is evaluated on: the raw values of everything that it reads."""

Getter = Callable[[Row], object]
Judge = Callable[[Row], bool]

_NAMES: dict[type, str] = {
    type(None): "nil",
    bool: "a bool",
    int: "an int",
    float: "a float",
    bytes: "a string",
    Blob: "bytes",
    Time: "a time",
    Duration: "a duration",
    Words: "a list of strings",
    Opaque: "an id or a status",
    Map: "a map",
    tuple: "a list",
    list: "a list",
}


def name_of(value: object) -> str:
    """What people call values of this type."""
    return _NAMES[type(value)]


def int64(value: int) -> int:
    """A number as it comes out of 64 bits."""
    return ((value + (1 << 63)) & ((1 << 64) - 1)) - (1 << 63)
