"""sampler.policy.boolean_attribute."""

from __future__ import annotations

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

from gateway.kernel.names import MARKED, NOT, RESOURCE, SPAN, Look, Node
from sampler.policy.boolean_attribute import IsBoolean, boolean_attribute
from sampler.policy.marks import NO, YES, Marks

LOOK = Look(SPAN, 9, "k")
TRUE, FALSE = AnyValue(bool_value=True), AnyValue(bool_value=False)
OTHERS = [AnyValue(string_value="true"), AnyValue(int_value=1), AnyValue(double_value=1.0), AnyValue()]


def ask(wanted: bool, value: AnyValue | None, strict: bool = False) -> int:
    return IsBoolean(LOOK, wanted, strict)((None if value is None else value.SerializeToString(),))


@pytest.mark.parametrize("strict", [False, True])
def test_booleans_match_themselves(strict: bool) -> None:
    """The value that is asked for matches, the other one and a missing key do not."""
    assert ask(True, TRUE, strict) == ask(False, FALSE, strict) == YES
    assert ask(True, FALSE, strict) == ask(False, TRUE, strict) == NO
    assert ask(True, None, strict) == ask(False, None, strict) == NO


@pytest.mark.parametrize("value", OTHERS, ids=str)
def test_what_is_no_boolean_counts_as_false(value: AnyValue) -> None:
    """As in the Collector `value: false` matches any attribute of another kind; with strict semantics it does not."""
    assert ask(False, value) == YES
    assert ask(True, value) == ask(False, value, strict=True) == ask(True, value, strict=True) == NO


def test_resources_and_spans_are_asked() -> None:
    """One resource or span that matches is enough, inverted it is one too many."""
    marks = Marks()
    assert boolean_attribute(marks, "k", True) == Node(MARKED, 0)
    assert boolean_attribute(marks, "k", True, invert_match=True) == Node(NOT, children=(Node(MARKED, 0),))
    assert boolean_attribute(marks, "k") == Node(MARKED, 1), "false, if nothing is said"
    assert [probe.looks for probe in marks.plan().probes] == [(Look(RESOURCE, 1, "k"),), (Look(SPAN, 9, "k"),)]
