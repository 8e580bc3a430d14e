"""sampler.policy.numeric_attribute."""

from __future__ import annotations

import math
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from gateway.kernel.names import MARKED, NOT, RESOURCE, SPAN, Look, Node
from sampler.policy import BadPolicyError
from sampler.policy.marks import NO, YES, Marks
from sampler.policy.numeric_attribute import IsWithin, numeric_attribute

LOOK = Look(SPAN, 9, "k")
EMPTY, TEXT, TRUE = AnyValue(), AnyValue(string_value="150"), AnyValue(bool_value=True)


def integer(value: int) -> AnyValue:
    return AnyValue(int_value=value)


def double(value: float) -> AnyValue:
    return AnyValue(double_value=value)


def ask(predicate: IsWithin, value: AnyValue | None) -> int:
    return predicate((None if value is None else value.SerializeToString(),))


@pytest.mark.parametrize(
    ("bounds", "value", "answer"),
    [
        ((100, 200), integer(100), YES),
        ((100, 200), integer(200), YES),
        ((100, 200), integer(99), NO),
        ((100, 200), integer(201), NO),
        ((-(2**63), 2**63 - 1), integer(-(2**63)), YES),
        ((100, 200), None, NO),
        ((100, 200), TEXT, NO),
        ((100, 200), double(150.0), NO),
        ((-1, 1), double(150.0), YES),  # read as 0
        ((0, 1), TEXT, YES),
        ((0, 0), TRUE, YES),
        ((-5, 5), EMPTY, YES),
        ((-5, 5), None, NO),
    ],
)
def test_what_is_no_integer_counts_as_zero(bounds: tuple[int, int], value: AnyValue | None, answer: int) -> None:
    """Bounds are inclusive; what is no integer counts as 0, as in the Collector; a key that is not there does not match."""
    assert ask(IsWithin(LOOK, *bounds, strict=False), value) == answer


@pytest.mark.parametrize(
    ("bounds", "value", "answer"),
    [
        ((100, 200), integer(150), YES),
        ((100, 200), double(200.0), YES),
        ((100, 200), double(200.5), NO),
        ((-1, 1), double(float("nan")), NO),
        ((-1, 1), double(float("inf")), NO),
        ((-1, 1), TEXT, NO),
        ((-1, 1), TRUE, NO),
        ((-1, 1), EMPTY, NO),
        ((-1, 1), None, NO),
    ],
)
def test_strict_compares_numbers_only(bounds: tuple[int, int], value: AnyValue | None, answer: int) -> None:
    """With strict semantics integers and doubles are compared, and nothing else lies within any bounds."""
    assert ask(IsWithin(LOOK, *bounds, strict=True), value) == answer


def built(**values: Any) -> tuple[Node, list[tuple[float, float]]]:
    """The policy, and the bounds that it asks about on resource and span."""
    marks = Marks()
    node = numeric_attribute(marks, "k", **values)
    asked = [probe.judge.asked[0].predicate.predicate for probe in marks.plan().probes]  # type: ignore[attr-defined]
    assert [each.look for each in asked] == [Look(RESOURCE, 1, "k"), Look(SPAN, 9, "k")]
    return node, [(each.least, each.most) for each in asked]


def test_a_bound_of_zero_is_none() -> None:
    """Bounds that are 0 or not given do not bind, as in the Collector; with strict semantics a 0 that is given does."""
    assert built(min_value=100) == (Node(MARKED, 0), [(100, 2**63 - 1)] * 2)
    assert built(min_value=0, max_value=100) == (Node(MARKED, 0), [(-(2**63), 100)] * 2)
    assert built(min_value=0, max_value=100, strict=True)[1] == [(0, 100)] * 2
    assert built(max_value=0, strict=True)[1] == [(-math.inf, 0)] * 2


def test_inverted_it_keeps_what_does_not_match() -> None:
    """An inverted policy keeps a trace unless any resource or span matches."""
    node, _ = built(max_value=5, invert_match=True)
    assert node == Node(NOT, children=(Node(MARKED, 0),))


@pytest.mark.parametrize(
    ("values", "strict"), [({}, False), ({"min_value": 0, "max_value": 0}, False), ({}, True)], ids=str
)
def test_without_a_bound_it_is_refused(values: dict[str, int], strict: bool) -> None:
    """A policy without bounds, on which a Collector crashes, is a mistake."""
    with pytest.raises(BadPolicyError, match="needs min_value or max_value"):
        numeric_attribute(Marks(), "k", **values, strict=strict)
