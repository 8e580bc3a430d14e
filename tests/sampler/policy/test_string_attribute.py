"""sampler.policy.string_attribute."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from gateway.kernel.names import MARKED, NOT, RESOURCE, SPAN, Look, Node
from sampler.policy import BadPolicyError
from sampler.policy.marks import NO, YES, Marks
from sampler.policy.negation import NEVER
from sampler.policy.string_attribute import IsOneOf, Matches, as_text, string_attribute

ON_RESOURCE, ON_SPAN = Look(RESOURCE, 1, "k"), Look(SPAN, 9, "k")


def raw(value: str | int | None) -> bytes | None:
    match value:
        case None:
            return None
        case str():
            return AnyValue(string_value=value).SerializeToString()
        case _:
            return AnyValue(int_value=value).SerializeToString()


@pytest.mark.parametrize("look", [ON_RESOURCE, ON_SPAN])
@pytest.mark.parametrize(
    ("value", "answer"), [("a", YES), ("é", YES), ("A", NO), ("ab", NO), ("", NO), (97, NO), (None, NO)]
)
def test_exact_values(look: Look, value: str | int | None, answer: int) -> None:
    """A string matches when it is one of the list, to the letter; no other kind of value does."""
    assert IsOneOf(look, frozenset({b"a", "é".encode()}))((raw(value),)) == answer


@pytest.mark.parametrize(
    ("patterns", "value", "answer", "strictly"),
    [
        (("v[0-9]+.HealthCheck$",), "grpc.health.v1.HealthCheck", YES, NO),
        (("v[a-z]+.HealthCheck$",), "grpc.health.v1.HealthCheck", NO, NO),
        (("x", "b"), "abc", YES, NO),
        (("x", "a.c"), "abc", YES, YES),
        (("a|abc",), "abc", YES, YES),  # the whole value, by whichever alternative
        (("^b",), "a\nb", NO, NO),  # a line is no beginning
        (("a.b",), "a\nb", NO, NO),
        (("(?i)ABC",), "abc", YES, YES),
        ((r"\pL\d",), "é1", YES, YES),
    ],
)
def test_patterns_are_searched_for(patterns: tuple[str, ...], value: str, answer: int, strictly: int) -> None:
    """A pattern matches wherever it is found, as in the Collector; with strict semantics it has to match the whole value."""
    assert Matches(ON_SPAN, patterns, strict=False)((raw(value),)) == answer
    assert Matches(ON_SPAN, patterns, strict=True)((raw(value),)) == strictly


@pytest.mark.parametrize(
    ("look", "value", "answer", "strictly"),
    [
        (ON_RESOURCE, "", YES, YES),
        (ON_SPAN, "", NO, NO),
        (ON_RESOURCE, 5, YES, NO),
        (ON_SPAN, 5, NO, NO),
        (ON_RESOURCE, None, NO, NO),
        (ON_SPAN, None, NO, NO),
    ],
)
def test_empty_values(look: Look, value: str | int | None, answer: int, strictly: int) -> None:
    """On a span an empty string matches nothing; on a resource it is tried, and any other kind of value counts as one."""
    assert Matches(look, (".*",), strict=False)((raw(value),)) == answer
    assert Matches(look, (".*",), strict=True)((raw(value),)) == strictly


def test_no_pattern_can_hang_a_sampler() -> None:
    """What would take a backtracking engine ages is linear here."""
    assert Matches(ON_SPAN, ("(a*)*(a*)*b$",), strict=False)((raw("a" * 50_000),)) == NO


@given(st.binary(max_size=12))
def test_bytes_that_are_no_text_stand_for_the_replacement_character(value: bytes) -> None:
    """Where a value is not UTF-8, each stray byte is read as U+FFFD, as Go does; text is left as it is."""
    text = as_text(value).decode()
    kept = "".join(each for each in value.decode(errors="surrogateescape") if not "\udc80" <= each <= "\udcff")
    strays = len(value.decode(errors="surrogateescape")) - len(kept)
    assert text.count("\ufffd") == kept.count("\ufffd") + strays
    assert text.replace("\ufffd", "") == kept.replace("\ufffd", "")


def test_a_stray_byte_is_a_character() -> None:
    """A dot matches a byte that is not part of UTF-8."""
    stray = AnyValue(string_value="a_b").SerializeToString().replace(b"_", b"\xff")
    assert Matches(ON_SPAN, ("a.b",), strict=False)((stray,)) == YES


def build(**values: Any) -> tuple[Node, int]:
    """The policy, and how many marks it takes."""
    marks = Marks()
    return string_attribute(marks, "k", **values), marks.plan().marks


def test_resources_and_spans_are_asked() -> None:
    """One resource or span that matches is enough, inverted it is one too many; cache_max_size changes nothing."""
    assert build(values=("a", "")) == (Node(MARKED, 0), 1)
    assert build(values=("a",), cache_max_size=5, invert_match=True) == (Node(NOT, children=(Node(MARKED, 0),)), 1)
    assert build(values=("a", ""), enabled_regex_matching=True) == (Node(MARKED, 0), 1)


@pytest.mark.parametrize("values", [{"values": ()}, {"values": ("",)}, {"enabled_regex_matching": True}], ids=str)
def test_nothing_to_match_matches_nothing(values: dict[str, Any]) -> None:
    """An empty list, or one of empty strings, matches nothing, and inverted everything."""
    assert build(**values) == (NEVER, 0)
    assert build(**values, invert_match=True) == (Node(NOT, children=(NEVER,)), 0)


def test_equal_policies_share_a_mark() -> None:
    """Policies that ask the same are one question."""
    marks = Marks()
    one, other = (string_attribute(marks, "k", ("a+",), enabled_regex_matching=True) for _ in range(2))
    assert one == other and marks.plan().marks == 1


@pytest.mark.parametrize("pattern", ["a(b", r"(a)\1", "a{1001}", "(?=a)", "x*+"])
def test_a_bad_pattern_is_refused(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    """What RE2 does not take, Go's engine does not either; the pattern is named by its place, and nothing is printed."""
    with pytest.raises(BadPolicyError, match="RE2 does not take this pattern: ") as caught:
        build(values=("ok", pattern), enabled_regex_matching=True)
    assert caught.value.path == ("values", 1)
    assert capfd.readouterr().err == ""
    assert build(values=(pattern,)) == (Node(MARKED, 0), 1), "as a plain value it may be anything"
