"""gateway.config.block"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from gateway.config.block import LIST, PRESENT, Block, Flaw, block_at, examine
from gateway.config.document import load
from gateway.config.scalars import Text, Unbuilt, Whole


class Inner(Block):
    """A block in a block."""

    unbuilt: ClassVar[Unbuilt] = {"later": "some day", "never": ""}
    refused: ClassVar[Mapping[str, str]] = {"gone": "refused: because"}

    low: Annotated[int, Whole()] = Field(1)
    high: Annotated[int, Whole()] = Field(2)

    def flaws(self) -> Iterator[Flaw]:
        if self.low > self.high:
            yield Flaw(("low",), "must not be above high")


class Outer(Block):
    """A block of blocks."""

    name: Annotated[str, Text()] = Field()
    inner: Inner = Field(Inner())
    maybe: Annotated[Inner | None, PRESENT] = Field(None)
    many: list[Inner] = Field([])
    named: dict[str, Inner] = Field({})
    words: Annotated[list[Annotated[str, Text()]], LIST] = Field([])


def judge(text: str) -> tuple[Outer | None, list[str]]:
    root = load([("f", text)], {}).root
    block, mistakes = examine(Outer, root, ())
    return block, [str(mistake) for mistake in sorted(mistakes)]


def mistakes(text: str) -> list[str]:
    return judge(text)[1]


def test_nothing_under_a_block_means_its_defaults() -> None:
    """A block, an optional block and a list may each be named with nothing under them."""
    block, found = judge("name: a\ninner:\nmaybe:\nwords:\n")
    assert found == [] and block is not None
    assert (block.inner, block.maybe, block.words) == (Inner(), Inner(), [])


def test_an_optional_block_that_is_not_named_is_off() -> None:
    """Only its key turns an optional block on."""
    block, _ = judge("name: a")
    assert block is not None and block.maybe is None


def test_unknown_keys_are_pointed_at_with_a_suggestion() -> None:
    """An unknown key is a mistake at the key, wherever it is."""
    assert mistakes("name: a\nmany:\n  - hihg: 1\nnamed: {x: {lo: 1}}\n") == [
        'f:3:5: many[0].hihg: unknown key; did you mean "high"?',
        'f:4:13: named.x.lo: unknown key; did you mean "low"?',
    ]


def test_keys_that_are_not_built_are_refused_by_name() -> None:
    """What the Collector documents is not called unknown."""
    assert mistakes("name: a\ninner: {later: 1, never: 1, gone: 1}") == [
        "f:2:9: inner.later: not built yet: some day",
        "f:2:19: inner.never: not built yet",
        "f:2:29: inner.gone: refused: because",
    ]


def test_wrong_values_are_pointed_at_at_the_value() -> None:
    """A wrong type is a mistake at the value, in words of the file and not of the program."""
    assert mistakes("name: 5\ninner: [1]\nmany: {}\nnamed: x\nwords: {}") == [
        'f:1:7: name: expected text, got 5; write "5"',
        "f:2:8: inner: expected a mapping, got a list",
        "f:3:7: many: expected a list, got a mapping",
        'f:4:8: named: expected a mapping, got "x"',
        "f:5:8: words: expected a list, got a mapping",
    ]


def test_missing_keys_are_pointed_at_through_their_block() -> None:
    """A missing key is a mistake of the block that lacks it."""
    assert mistakes("inner: {}") == ['f:1:1: the key "name" is missing']


def test_what_lies_behind_an_unknown_key_is_judged_too() -> None:
    """An unknown key does not hide what is wrong between the others."""
    assert mistakes("name: a\ninner: {low: 5, x: 1}") == [
        "f:2:14: inner.low: must not be above high",
        "f:2:17: inner.x: unknown key",
    ]


def test_what_could_not_be_substituted_is_no_second_mistake() -> None:
    """After a variable that is not set nothing more is said of that value."""
    assert mistakes("name: ${X}\nmany: ${X}\ninner: ${X}\nmaybe: ${X}") == []


def test_blocks_are_found_by_their_path() -> None:
    """The model of a nested block is found through lists, mappings and optional blocks."""
    for path in [("inner",), ("maybe",), ("many", 3), ("named", "x")]:
        assert block_at(Outer, path) is Inner
