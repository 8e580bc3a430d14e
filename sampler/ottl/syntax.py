"""The parts of a condition as they are written. What they mean, and whether they mean anything, others say."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """Where a part begins in the text; both count from 1."""

    line: int
    column: int


class Literal(NamedTuple):
    """A constant: nil, a bool, an int, a float, a string (its UTF-8) or a Blob."""

    place: Place
    value: object


class Enum(NamedTuple):
    """A name in capitals that stands for a number."""

    place: Place
    name: str


class ListOf(NamedTuple):
    """A list that is written out."""

    place: Place
    items: tuple[Node, ...]


class MapOf(NamedTuple):
    """A map that is written out."""

    place: Place
    pairs: tuple[tuple[bytes, Node], ...]


class Field(NamedTuple):
    """A part of a path with the keys behind it."""

    place: Place
    name: str
    keys: tuple[Node, ...] = ()


class Path(NamedTuple):
    """Fields with dots between them: what is read of the data."""

    place: Place
    fields: tuple[Field, ...]

    def __str__(self) -> str:
        return ".".join(field.name + "[…]" * bool(field.keys) for field in self.fields)


class Argument(NamedTuple):
    """What a function is given, with the parameter's name if it is written."""

    place: Place
    name: str
    value: Node


class Call(NamedTuple):
    """A function's call with the keys behind it."""

    place: Place
    name: str
    arguments: tuple[Argument, ...]
    keys: tuple[Node, ...] = ()


class Negative(NamedTuple):
    """A sign before a value."""

    place: Place
    operand: Node


class Chain(NamedTuple):
    """Operations of one rank, + and - or * and /, from left to right."""

    place: Place
    first: Node
    rest: tuple[tuple[str, Node], ...]


class Comparison(NamedTuple):
    """Two values with == != < <= > or >= between them."""

    place: Place
    symbol: str
    left: Node
    right: Node


class Not(NamedTuple):
    """The contrary."""

    place: Place
    operand: Node


class And(NamedTuple):
    """All of them."""

    place: Place
    operands: tuple[Node, ...]


class Or(NamedTuple):
    """Any of them."""

    place: Place
    operands: tuple[Node, ...]


Node = Literal | Enum | ListOf | MapOf | Path | Call | Negative | Chain | Comparison | Not | And | Or
