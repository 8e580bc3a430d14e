"""Values inside of conditions, compiled: what gets them, and what is known of them before any span is seen."""

from __future__ import annotations

from typing import NamedTuple

from sampler.ottl.errors import OttlError
from sampler.ottl.syntax import Place
from sampler.ottl.types import Fail, Getter

UNKNOWN = object()
"""Stands for a value that depends on the span."""


class Operand(NamedTuple):
    """`constant` is the value where it is the same for every span. `literal` says that it is written out: only such values
    take part in deciding a condition early, as the Collector does it."""

    place: Place
    get: Getter
    constant: object = UNKNOWN
    literal: bool = False
    items: tuple[Operand, ...] | None = None
    always: type | None = None
    """The type that it has whenever it has a value, where that is known."""


def constant(place: Place, value: object, literal: bool = True, items: tuple[Operand, ...] | None = None) -> Operand:
    """An operand that is the same for every span."""
    return Operand(place, lambda row: value, value, literal, items)


def calculated(place: Place, get: Getter, of: tuple[Operand, ...], always: type | None = None) -> Operand:
    """An operand that is made of others, worked out at once where they are all constant.

    Raises OttlError where that fails: it would for every span.
    """
    if all(each.constant is not UNKNOWN for each in of):
        return constant(place, evaluated(place, get), literal=False)
    return Operand(place, get, always=always)


def evaluated(place: Place, get: Getter) -> object:
    """What a getter gives without any span.

    Raises OttlError where it fails.
    """
    try:
        return get(())
    except Fail as failed:
        raise OttlError(f"this fails for every span: expected {failed}", *place) from None
