"""gateway.config.substitution"""

from __future__ import annotations

import pytest

from gateway.config.source import compose
from gateway.config.substitution import substitute
from gateway.config.tree import UNKNOWN, Substituted, plain

ENV = {
    "A": "alpha",
    "N": "10",
    "EMPTY": "",
    "LIST": "[1, two]",
    "DOLLAR": "a$$b${A}",
    "BAD": "[",
    "MAP": "k: v",
    "TRUE": "true",
}


def put(text: str) -> object:
    """The plain value of one scalar after substitution."""
    node, _ = compose("f.yaml", f"x: {text}\n")
    found, mistakes = substitute(node, ENV)
    assert mistakes == []
    value = plain(found)
    assert isinstance(value, dict)
    return value["x"]


def refusals(text: str) -> list[str]:
    node, _ = compose("f.yaml", f"x: {text}\n")
    found, mistakes = substitute(node, ENV)
    value = plain(found)
    assert isinstance(value, dict) and value["x"] is UNKNOWN
    return [str(mistake) for mistake in mistakes]


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("${env:A}", "alpha"),
        ("${A}", "alpha"),
        ("${env:X:-beta}", "beta"),
        ("${X:-beta}", "beta"),
        ("http://${A}:${N}/", "http://alpha:10/"),
        ("${env:X:-${env:A}}", "alpha"),
        ("${env:X:-${env:Y:-deep}}", "deep"),
        ("${env:X:-}", ""),
        ("${env:EMPTY:-beta}", ""),
        ("${DOLLAR}", "a$$b${A}"),
        ("${env:X:-redis://h:1/0}", "redis://h:1/0"),
    ],
)
def test_references_stand_for_what_variables_hold(text: str, result: str) -> None:
    """All forms of a reference work, alone and inside longer texts; what a variable holds is taken as it is."""
    found = put(f'"{text}"')
    assert isinstance(found, Substituted) and found.text == result


@pytest.mark.parametrize(("text", "result"), [("a$$b", "a$b"), ("$${A}", "${A}"), ("^/x$", "^/x$"), ("$A", "$A")])
def test_dollars_alone_are_dollars(text: str, result: str) -> None:
    """$$ is one dollar, and a dollar without a brace means nothing."""
    assert put(f'"{text}"') == result


@pytest.mark.parametrize(("text", "value"), [("${N}", 10), ("${TRUE}", True), ("${X:-1.5}", 1.5), ("${EMPTY}", None)])
def test_a_value_that_is_one_reference_takes_the_type_of_its_text(text: str, value: object) -> None:
    """A variable can hold a number or a switch, and its text is kept for where text is wanted."""
    found = put(text)
    assert isinstance(found, Substituted) and found.value == value and type(found.value) is type(value)


def test_a_variable_can_hold_a_list_or_a_mapping() -> None:
    """YAML in a variable is YAML, all of it placed where the reference stands."""
    items = put("${LIST}")
    assert isinstance(items, list) and items[0] == 1 and isinstance(items[1], Substituted)
    assert isinstance(put("${MAP}"), dict)


def test_what_is_no_yaml_is_text() -> None:
    """A variable that holds no YAML holds text."""
    found = put("${BAD}")
    assert isinstance(found, Substituted) and found.value == "["


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${env:X}", "the variable X is not set; ${env:X:-default} gives it a default"),
        ("a ${X} b", "the variable X is not set; ${env:X:-default} gives it a default"),
        ("${file:x}", 'the source "file" in ${file:...} is not built yet; there is ${env:VAR}'),
        ("${a-b}", '"a-b" in ${a-b} is no name of a variable; write $$ for a plain dollar'),
        ("${}", '"" in ${} is no name of a variable; write $$ for a plain dollar'),
        ("${A", "${ without its }; write $${ for a dollar and a brace"),
        ("${X:-" * 12 + "}" * 12, "references nested more than 10 deep"),
    ],
)
def test_references_that_lead_nowhere_are_named(text: str, message: str) -> None:
    """A reference that cannot be followed is a mistake with its place and path."""
    assert refusals(f'"{text}"') == [f"f.yaml:1:4: x: {message}"]
