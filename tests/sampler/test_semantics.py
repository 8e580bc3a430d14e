"""sampler.semantics: every note with blocks it is made on and blocks it is not."""

from __future__ import annotations

import pytest

from sampler import semantics
from sampler.outline import Subject
from tests.support.sampling import (
    ALL,
    ERRORS,
    INGEST,
    RATE,
    SLOW,
    composite,
    holding,
    latency,
    number,
    regex,
    settings,
)


def of(rule: str, *policies: str, options: str = "") -> list[str]:
    """The messages of one rule."""
    return [remark.message for remark in getattr(semantics, rule)(Subject(settings(*policies, options=options)))]


POSITIVE = [
    ("latency_bounds", [latency(5, 10)], "", ["a trace that ends up longer is kept if it once lay inside"]),
    ("zero_bounds", [number("min_value: 0, max_value: 5")], "", ["min_value of 0 counts as no bound; it is one"]),
    ("zero_bounds", [holding("and", number("min_value: -5, max_value: 0"))], "", ["max_value of 0 counts as no bound"]),
    ("coercion", [number("min_value: 1")], "", ["counts as 0, which does not match; doubles are compared"]),
    ("coercion", [number("max_value: 1")], "", ["counts as 0, which matches; doubles are compared"]),
    (
        "coercion",
        ["{name: b, type: boolean_attribute, boolean_attribute: {key: k, value: false}}"],
        "",
        ["value: false also matches an attribute that is no truth value"],
    ),
    ("coercion", [regex("^(|none)$")], "", ["also matches a resource attribute that is no text"]),
    ("unanchored", [regex("^/api")], "", ['"^/api" need not match the whole value; it must']),
    ("charged", [RATE, ERRORS], "", ['"rate" is charged also for traces that another policy keeps']),
    ("charged", [ERRORS, composite(SLOW)], "", ['"budget" is charged also for traces']),
    ("ingested", [holding("drop", ERRORS), ALL], INGEST, ["a trace that is not settled when its wait is over"]),
    (
        "composites",
        [composite(ERRORS, ALL, more=", policy_order: [all]")],
        "",
        ["policy_order has no effect", "a trace beyond the share", "binds each policy, not their sum"],
    ),
]

NEGATIVE = [
    ("latency_bounds", [latency(5)], ""),
    ("latency_bounds", [latency(-1)], ""),
    ("zero_bounds", [number("min_value: -1, max_value: 5")], ""),
    ("coercion", ["{name: b, type: boolean_attribute, boolean_attribute: {key: k, value: true}}", regex("^a$")], ""),
    ("unanchored", [regex("^/api(/.*)?$"), regex(r"\A(a|b)\z").replace("name: text", "name: x")], ""),
    ("unanchored", [regex("^(/api|/web).*")], ""),
    ("charged", [RATE], ""),
    ("charged", [RATE, ERRORS], "tracestate: true"),
    ("charged", [RATE, holding("drop", ERRORS)], ""),
    ("ingested", [ALL], INGEST),
    ("composites", [composite(ALL)], ""),
]


@pytest.mark.parametrize(("rule", "policies", "options", "messages"), POSITIVE)
def test_a_note_is_made_where_strict_differs(rule: str, policies: list[str], options: str, messages: list[str]) -> None:
    """Each surprise of the Collector is noted where a block has it."""
    found = of(rule, *policies, options=options)
    assert len(found) == len(messages)
    assert all(message in remark for message, remark in zip(messages, found, strict=True))


@pytest.mark.parametrize(("rule", "policies", "options"), NEGATIVE)
def test_no_note_is_made_where_strict_agrees(rule: str, policies: list[str], options: str) -> None:
    """A block that both semantics decide alike is left alone."""
    assert of(rule, *policies, options=options) == []


def test_every_rule_is_tried_both_ways() -> None:
    """No rule is without a case it remarks on and one that it leaves alone."""
    rules = {rule.__name__ for rule in semantics.NOTES}
    assert rules == {case[0] for case in POSITIVE} == {case[0] for case in NEGATIVE}
