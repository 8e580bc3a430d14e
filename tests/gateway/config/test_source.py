"""gateway.config.source"""

from __future__ import annotations

import math

import pytest

from gateway.config.source import NESTING_MAX, NODES_MAX, TEXT_CHARS_MAX, compose, resolve
from gateway.config.tree import plain, value_mark
from gateway.errors import ConfigError


def read(text: str) -> object:
    node, mistakes = compose("f.yaml", text)
    assert mistakes == []
    return plain(node)


def mistakes(text: str) -> list[str]:
    try:
        return [str(mistake) for mistake in compose("f.yaml", text)[1]]
    except ConfigError as error:
        return [str(mistake) for mistake in error.mistakes]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("y", "y"),
        ("1:30", "1:30"),
        ("0x10", 16),
        ("0o10", 8),
        ("1e3", 1000.0),
        ("-7", -7),
        (".5", 0.5),
        ("True", True),
        ("~", None),
        ("", None),
        ("1_000", "1_000"),
        ("2001-01-01", "2001-01-01"),
        (".inf", math.inf),
        ("-.inf", -math.inf),
        ("1.2.3", "1.2.3"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    """Unquoted scalars mean what YAML 1.2 says; the surprises of 1.1 are text."""
    found = resolve(text)
    assert found == value and type(found) is type(value)


def test_quoted_scalars_are_text() -> None:
    """Quotes make a text of anything."""
    assert read('["10", \'true\', ""]') == ["10", "true", ""]


def test_nothing_is_null() -> None:
    """An empty file is null, and so is one of comments only."""
    assert read("") is None
    assert read("# nothing\n") is None


def test_tags_of_the_core_schema_are_taken() -> None:
    """!!str, !!int, !!float, !!bool and !!null mean what they say, and what contradicts them is a mistake."""
    assert read("[!!str 10, !!float 1, !!int 7, !!bool true, !!null ~, ! 5]") == ["10", 1.0, 7, True, None, "5"]
    assert mistakes("a: !!int x") == ["f.yaml:1:4: a: this is no !!int"]
    assert mistakes("a: !!int true") == ["f.yaml:1:4: a: this is no !!int"]
    assert mistakes("a: !!set {x}") == ["f.yaml:1:4: a: the tag !!set is not supported"]


def test_anchors_and_merge_keys_are_understood() -> None:
    """An alias repeats its anchor; a merge key adds what is not there, and the first of several wins."""
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc:\n  <<: [*a, *b]\n  x: 3\nd: *a\n"
    read_back = read(text)
    assert isinstance(read_back, dict)
    assert read_back["c"] == {"x": 3, "y": 1, "z": 2}
    assert read_back["d"] == {"x": 1, "y": 1}


def test_a_quoted_merge_key_is_a_key() -> None:
    """Only a plain << merges."""
    assert read('{"<<": 1}') == {"<<": 1}


def test_what_is_merged_keeps_its_place() -> None:
    """A mistake in merged keys is pointed at where they were written."""
    node, _ = compose("f.yaml", "a: &a\n  x: 1\nb:\n  <<: *a\n")
    assert value_mark(node, ("b", "x")).line == 2


def test_duplicate_keys_are_all_named() -> None:
    """Every key that stands twice is a mistake of its own, and reading goes on."""
    assert mistakes("a: 1\na: 2\nb: {c: 1, c: 2}\n") == [
        "f.yaml:2:1: a: duplicate key; it is already there in line 1",
        "f.yaml:3:11: b.c: duplicate key; it is already there in line 3",
    ]


def test_an_alias_inside_its_own_anchor_is_refused() -> None:
    """A structure that contains itself is a mistake, not an endless loop."""
    assert mistakes("a: &a [*a]") == ["f.yaml:1:8: a[0]: no anchor &a is complete before this alias"]


def test_aliases_cannot_multiply_without_end() -> None:
    """A few lines of aliases that stand for a billion values are refused."""
    lines = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"b{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    (message,) = mistakes("\n".join(lines))
    assert f"more than {NODES_MAX} values" in message


def test_depth_and_length_are_bounded() -> None:
    """Deep nesting and endless files are refused before they cost anything."""
    (message,) = mistakes("[" * 10_000)
    assert f"nested more than {NESTING_MAX} levels deep" in message
    assert mistakes(" " * (TEXT_CHARS_MAX + 1)) == [f"f.yaml:1:1: longer than {TEXT_CHARS_MAX} characters"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: b: c", "f.yaml:1:5: not YAML: mapping values are not allowed here"),
        ("a: [1, 2", "f.yaml:1:9: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: \x00", "f.yaml:1:4: not YAML: a character that YAML does not allow"),
        ("x: 1\ny: \x07", "f.yaml:2:4: not YAML: a character that YAML does not allow"),
        ('a: "\\UFFFFFFFF"', "f.yaml:1:1: not YAML: a number or an escape out of range after this"),
        ('a: "\\ud800"', "f.yaml:1:4: a: half a surrogate pair is no character"),
        ("a: 1\n---\nb: 2", "f.yaml:2:1: a second YAML document; a file holds one"),
        ("? [a]\n: 1", "f.yaml:1:3: a key must be text; write it in quotes"),
        ("1: one", "f.yaml:1:1: a key must be text; write it in quotes"),
        ("${A}: 1", "f.yaml:1:1: ${A}: variables are not substituted in keys"),
        (f"a: {'9' * 100}", "f.yaml:1:4: a: a number of more than 64 digits; write it in quotes if it is text"),
    ],
)
def test_what_is_no_yaml_of_ours_is_named_with_its_place(text: str, message: str) -> None:
    """Whatever is wrong with the text is said in one line with file, line and column."""
    assert message in mistakes(text)
