"""gateway.config.within"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import load
from gateway.config.source import compose
from gateway.config.tree import Mark, Scalar, Section
from gateway.config.within import place
from gateway.errors import ConfigError


def scalar(text: str, env: dict[str, str] | None = None) -> Scalar:
    """The value of the key `a`, as it is after substitution."""
    node = load([("f", text)], env or {}).root.get("a")
    assert isinstance(node, Scalar)
    return node


def of(text: str, character: str) -> tuple[int, int]:
    """Where the file has a character that stands once in the value, by the value's own lines and columns."""
    node = scalar(text)
    assert isinstance(node.value, str) and node.value.count(character) == 1
    before = node.value[: node.value.index(character)]
    mark = place(node, before.count("\n") + 1, len(before) - before.rfind("\n"))
    return mark.line, mark.column


@pytest.mark.parametrize(
    "text",
    [
        "a: one X two\n",
        "a: 'it''s X'\n",
        'a: "say \\"\\u0041\\" X"\n',
        'a: "one\\n two X"\n',
        "a: one\n  two\n\n  three X\n",
        "a: 'one\n\n\n  two X'\n",
        'a: "one\\\n    two X"\n',
        "a: |\n  one\n    two\n  X\n",
        "a: |-\n  one\n\n    X\n",
        "a: |+\n  one X\n\n",
        "a: >\n  one\n  two X\n",
        "a: >-\n  one\n\n  two\n    three\n  four X\n\n",
        "a: > # why\n    one\n    X\n",
        "a: '$$one$$two X'\n",
        'a: "^one$ X$$"\n',
        "a: '$$$$ X'\n",
        "a: é X\n",
        "a: |\r\n  one\r\n  X\r\n",
    ],
)
def test_a_character_is_found_where_it_was_written(text: str) -> None:
    """Quotes, escapes, folded lines, blocks and doubled dollars are counted as the file has them."""
    lines = text.split("\n")
    (line,) = (index for index, content in enumerate(lines) if "X" in content)
    assert of(text, "X") == (line + 1, lines[line].index("X") + 1)


def test_just_behind_the_end_is_a_place() -> None:
    """A text that ends too early is pointed at where it ends."""
    assert place(scalar("a: 'b c'\n"), 1, 4) == Mark("f", 1, 8)
    assert place(scalar("a: |\n  b c\n"), 1, 4) == Mark("f", 2, 6)
    assert place(scalar("a: ''\n"), 1, 1) == Mark("f", 1, 4)


@pytest.mark.parametrize("text", ["a: ${X}\n", "a: 'b ${X} c'\n", "a: 5\n", "a: |2\n   b\n  c\n", "a: &x !!str b\n"])
def test_where_the_way_is_not_sure_the_text_begins_the_place(text: str) -> None:
    """A variable, a number, a block with an indentation of its own: the mistake points at the beginning of the value."""
    node = scalar(text, {"X": "one two"})
    assert place(node, 1, 2) == node.mark


def test_a_place_far_behind_the_end_is_the_end() -> None:
    """Whatever line and column are asked for, the place lies in the text."""
    assert place(scalar("a: bcd\n"), 9, 9) == Mark("f", 1, 7)


STYLES = ["a: '{}'\n", 'a: "{}"\n', "a: |\n  {}\n", "a: >\n  {}\n", "a: {}\n"]


@given(st.sampled_from(STYLES), st.text("ab '\"\\\n#:|>${}é", max_size=30), st.integers(1, 40), st.integers(1, 40))
def test_any_text_has_a_place_in_the_file(style: str, content: str, line: int, column: int) -> None:
    """However a value is written, every position in it leads to a place at or behind its beginning, in a line that there is."""
    text = style.format(content)
    try:
        node, _ = compose("f", text)
    except ConfigError:
        return
    value = node.get("a") if isinstance(node, Section) else None
    if isinstance(value, Scalar):
        found = place(value, line, column)
        assert (found.line, found.column) >= (value.mark.line, value.mark.column)
        assert found.line <= text.count("\n") + 1
