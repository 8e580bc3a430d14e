"""docs/OTTL.md says of conditions what is so: its tables are those of the code, and its examples are conditions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gateway import limits
from sampler.ottl import compile_condition
from sampler.ottl.functions import FUNCTIONS, ROOT, Function
from sampler.ottl.types import Duration, Opaque, Words
from tests.support.ottl import Context, refusal

TEXT = (Path(__file__).parents[3] / "docs" / "OTTL.md").read_text()
OF_SPANS, OF_EVENTS = (block.strip().split("\n") for block in re.findall(r"\n```\n(.*?)```\n", TEXT, re.DOTALL))
SIGNATURES = dict(re.findall(r"^\| `(\w+)(\([^`]*\))` \| [\w ]+ \|", TEXT, re.MULTILINE))
GIVES = dict(re.findall(r"^\| `(\w+)\([^`]*\)` \| ([\w ]+) \|", TEXT, re.MULTILINE))
PATHS = {
    context: paths.replace("`", "").split()
    for contexts, paths in re.findall(r"^\| ((?:`\w+`(?:, )?)+) \| ((?:`[\w.]+` ?)+) \|$", TEXT, re.MULTILINE)
    for context in re.findall(r"\w+", contexts)
}
REFUSED = {
    name: why
    for names, why in re.findall(r"^\| ((?:`[\w.]+(?:\(\))?`(?:, )?)+) \| ([^`|]+) \|$", TEXT, re.MULTILINE)
    for name in re.findall(r"`([^`]+)`", names)
}
NAMES = {
    bool: "bool",
    int: "int",
    float: "float",
    bytes: "string",
    Words: "list of strings",
    Duration: "duration",
    Opaque: "id",
}


def supported(text: str, context: Context = "span") -> list[str]:
    """What a refusal names as supported."""
    said = refusal(text, context)
    assert "supported are " in said, said
    return said.split("supported are ")[1].split(", ")


def signature(function: Function) -> str:
    """The parameters as the document writes them."""
    words = "".join(f"[, {each.name}]" if each.optional else f", {each.name}" for each in function.parameters)
    return f"({words.removeprefix(', ')})"


@pytest.mark.parametrize("text", OF_SPANS)
def test_examples_on_spans_are_conditions(text: str) -> None:
    """Every line of the first example is taken."""
    assert compile_condition(text, "span").looks


@pytest.mark.parametrize("text", OF_EVENTS)
def test_examples_on_events_are_conditions(text: str) -> None:
    """Every line of the second example is taken."""
    assert compile_condition(text, "spanevent").looks


def test_every_function_is_listed() -> None:
    """With its parameters, those that may be left out in brackets; none is listed that is not there."""
    assert {name: signature(function) for name, function in FUNCTIONS.items()} | {ROOT: "()"} == SIGNATURES
    assert set(supported("None() == 1")) == set(SIGNATURES)


def test_what_functions_give_is_listed() -> None:
    """Wherever the code knows the type."""
    assert GIVES[ROOT] == "bool"
    for name, function in FUNCTIONS.items():
        assert GIVES[name] == NAMES.get(function.gives, GIVES[name]), name


@pytest.mark.parametrize("context", ["span", "spanevent", "scope", "instrumentation_scope", "resource"])
def test_every_path_is_listed(context: str) -> None:
    """The paths of each context are all there are."""
    asked: Context = "spanevent" if context == "spanevent" else "span"
    assert sorted(PATHS[context]) == supported(f"{context}.nothing == nil", asked)


def test_every_enum_is_listed() -> None:
    """All names that stand for numbers are in the table of literals."""
    (row,) = re.findall(r"^\| enum \| (.*) \|$", TEXT, re.MULTILINE)
    assert sorted(re.findall(r"\w+", row)) == supported("NONE == 1")


@pytest.mark.parametrize("name", REFUSED)
def test_reasons_of_refusals_are_those_given(name: str) -> None:
    """What the document says of something not supported is what whoever writes it is told."""
    assert refusal(f"{name} == nil").endswith(f" is not supported: {REFUSED[name]}")


def test_the_bounds_are_those_of_the_code() -> None:
    """Length and depth of a condition."""
    assert f"{limits.OTTL_CHARS_MAX} characters, {limits.OTTL_NESTING_MAX} deep" in TEXT
