"""sampler.ottl.operands: what is known of values before any span is seen."""

from __future__ import annotations

import pytest

from sampler.ottl.errors import OttlError
from sampler.ottl.operands import UNKNOWN, Operand, calculated, constant
from sampler.ottl.syntax import Place
from sampler.ottl.types import Fail, Row

HERE = Place(1, 5)
DEPENDS = Operand(HERE, lambda row: row[0])


def failing(row: Row) -> object:
    raise Fail("something else")


def test_constants_are_constants() -> None:
    """Made of constants it is worked out, but it is not written out; made of anything else it is not known."""
    two = constant(HERE, 2)
    four = calculated(HERE, lambda row: 4, (two, two))
    assert (two.literal, four.constant, four.literal, four.get(())) == (True, 4, False, 4)
    depends = calculated(HERE, lambda row: row[0], (two, DEPENDS), always=bytes)
    assert depends.constant is UNKNOWN
    assert (depends.get((b"x",)), depends.always) == (b"x", bytes)


def test_what_always_fails_is_refused() -> None:
    """At once, with its place; what depends on the span may fail later."""
    with pytest.raises(OttlError, match="this fails for every span: expected something else") as caught:
        calculated(HERE, failing, (constant(HERE, 1),))
    assert (caught.value.line, caught.value.column) == HERE
    assert calculated(HERE, failing, (DEPENDS,)).constant is UNKNOWN
