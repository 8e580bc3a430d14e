"""sampler.ottl.syntax: the parts that conditions are made of."""

from __future__ import annotations

from sampler.ottl.syntax import Field, Literal, Path, Place


def test_a_path_is_shown_as_it_is_written() -> None:
    """But for its keys, which may be long."""
    here = Place(1, 1)
    path = Path(here, (Field(here, "resource"), Field(here, "attributes", (Literal(here, b"k"), Literal(here, b"l")))))
    assert str(path) == "resource.attributes[…]"
