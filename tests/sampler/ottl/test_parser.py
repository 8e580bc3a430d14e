"""sampler.ottl.parser: the grammar, and what is said where a text breaks off."""

from __future__ import annotations

import pytest

from sampler.ottl import OttlError
from sampler.ottl.parser import parse
from sampler.ottl.syntax import (
    And,
    Call,
    Chain,
    Comparison,
    Enum,
    Field,
    ListOf,
    Literal,
    MapOf,
    Negative,
    Not,
    Or,
    Path,
    Place,
)
from tests.support.ottl import refusal

BROKEN = {
    'attributes["s"] = 1': "1:17: = is not expected here: write == to compare",
    "name == 1 && true": "1:11: & is not expected here: write and",
    "name == 1 || true": "1:11: | is not expected here: write or",
    "!IsRootSpan()": "1:1: ! is not expected here: write not",
    "name == 'x'": "1:9: ' is not expected here: strings stand in double quotes",
    'name == "x': '1:9: " is not expected here: this string does not end',
    'name == "x" where true': "1:13: where is not expected here: a condition stands alone, without where",
    "Any(attributes, (x) => x)": "1:21: = is not expected here: functions of functions are not supported",
    "": "1:1: the condition ends where a path, a literal or a function's call is expected",
    "name ==": "1:8: the condition ends where a path, a literal or a function's call is expected",
    "name ==\n  \n": "3:1: the condition ends where a path, a literal or a function's call is expected",
    "(name == 1": "1:11: the condition ends where ) is expected",
    "(true": "1:6: the condition ends where ) is expected",
    '{"a" 1} == 1': "1:6: 1 is not expected here, but :",
    "not not true": "1:5: not is not expected here, but a path, a literal or a function's call",
    "name == 1 name": "1:11: name is not expected here, but an operator",
    "a b": "1:3: b is not expected here, but an operator",
    'name == "\\q"': r"1:9: expected an escape like \n, \", \\ or \u00e9, and \q is none (a \ itself is written \\)",
    "kind == 99999999999999999999": "1:9: expected an int of 64 bits",
    'name == "\ud800"': "1:10: this is half a character, a surrogate",
    "name == 0xabc": "1:9: expected an even number of digits after 0x",
    "(" * 33: "1:33: brackets stand at most 32 deep in each other",
    "x" * 9000: "1:1: a condition has at most 8192 characters",
}


@pytest.mark.parametrize("text", BROKEN, ids=lambda text: ascii(text[:30]))
def test_what_is_no_condition_is_refused_at_its_place(text: str) -> None:
    """The message says what is wrong, where, and what is written instead, where that is known."""
    assert refusal(text) == BROKEN[text]


def test_not_binds_closest_and_or_loosest() -> None:
    """a or b and not c is a or (b and (not c))."""
    true, false = Literal(Place(1, 1), True), Literal(Place(1, 9), False)
    negated = Not(Place(1, 19), Literal(Place(1, 23), True))
    assert parse("true or false and not true") == Or(Place(1, 1), (true, And(Place(1, 9), (false, negated))))


def test_comparisons_bind_closer_than_not_and_looser_than_arithmetic() -> None:
    """not a + b * c == d is not ((a + (b * c)) == d), and operations of one rank go from left to right."""
    one, two, three, four = (Literal(Place(1, column), value) for column, value in ((5, 1), (9, 2), (13, 3), (18, 4)))
    product = Chain(Place(1, 13), three, (("*", Negative(Place(1, 17), four)),))
    chain = Chain(Place(1, 5), one, (("-", two), ("-", product)))
    comparison = Comparison(Place(1, 20), "==", chain, Literal(Place(1, 23), 5))
    assert parse("not 1 - 2 - 3 * -4 == 5") == Not(Place(1, 1), comparison)


def test_parts_know_where_they_begin() -> None:
    """Lines and columns count from 1; a comparison is where its operator is."""
    node = parse('name\n == Len(status.message, x = ["a", {"k": nil}])[0]')
    assert isinstance(node, Comparison)
    assert node.place == Place(2, 2)
    assert node.left == Path(Place(1, 1), (Field(Place(1, 1), "name"),))
    call = node.right
    assert isinstance(call, Call)
    assert (call.place, call.name, call.keys) == (Place(2, 5), "Len", (Literal(Place(2, 48), 0),))
    assert [argument.name for argument in call.arguments] == ["", "x"]
    inner = MapOf(Place(2, 35), ((b"k", Literal(Place(2, 41), None)),))
    assert call.arguments[1].value == ListOf(Place(2, 29), (Literal(Place(2, 30), b"a"), inner))


def test_words_that_only_begin_like_keywords_are_names() -> None:
    """nilly, order, android, nothing, truest: none of them is nil, or, and, not, true with something behind it."""
    for word in ("nilly", "order", "android", "nothing", "truest", "falsely"):
        assert parse(f"{word} == 1") == Comparison(
            Place(1, len(word) + 2),
            "==",
            Path(Place(1, 1), (Field(Place(1, 1), word),)),
            Literal(Place(1, len(word) + 5), 1),
        )
    with pytest.raises(OttlError):
        parse("true ortrue")


def test_capitals_alone_are_an_enum() -> None:
    """A name that begins with a capital and has nothing behind it stands for a number."""
    assert parse("STATUS_CODE_OK") == Enum(Place(1, 1), "STATUS_CODE_OK")
