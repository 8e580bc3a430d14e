"""sampler.outline"""

from __future__ import annotations

import pytest

from sampler.outline import Subject, keeps_all, keeps_none, limits, patterns
from tests.support.sampling import (
    ALL,
    ERRORS,
    RATE,
    SLOW,
    composite,
    holding,
    inverted,
    latency,
    number,
    probabilistic,
    regex,
    settings,
    text,
)

ANY_STATUS = "{name: s, type: status_code, status_code: {status_codes: [OK, ERROR, UNSET]}}"


def subject(*policies: str, options: str = "") -> Subject:
    return Subject(settings(*policies, options=options))


@pytest.mark.parametrize(
    "policy",
    [
        ALL,
        probabilistic("p", 100),
        latency(-1),
        ANY_STATUS,
        "{name: s, type: span_count, span_count: {min_spans: 1}}",
        text("values: [''], invert_match: true"),
        holding("and", ALL, ANY_STATUS),
        inverted(probabilistic("p", 0)),
    ],
)
def test_what_keeps_everything_is_known(policy: str) -> None:
    """Of these every trace is kept, whatever it holds."""
    (one,) = subject(policy).top
    assert keeps_all(one) and not keeps_none(one)


@pytest.mark.parametrize(
    "policy",
    [
        probabilistic("p", 0),
        latency(5, 5),
        text("values: []"),
        "{name: r, type: rate_limiting, rate_limiting: {spans_per_second: 0}}",
        composite(ALL, total=0),
        holding("and", ALL, probabilistic("p", -1)),
        inverted(ALL),
    ],
)
def test_what_keeps_nothing_is_known(policy: str) -> None:
    """Of these no trace is kept, whatever it holds."""
    (one,) = subject(policy).top
    assert keeps_none(one) and not keeps_all(one)


@pytest.mark.parametrize(
    "policy",
    [
        ERRORS,
        SLOW,
        RATE,
        "{name: f, type: trace_flags}",
        number("min_value: 1"),
        text("values: [a]"),
        probabilistic("p", 50),
        holding("and", ALL, ERRORS),
        inverted(ERRORS),
        composite(ALL),
    ],
)
def test_of_the_others_nothing_is_claimed(policy: str) -> None:
    """Where the trace decides, neither is said."""
    (one,) = subject(policy).top
    assert not keeps_none(one) and not keeps_all(one)


def test_every_policy_is_met_with_its_place() -> None:
    """Policies inside others come after them, with the path of the file and the types around them."""
    found = subject(holding("drop", inverted(SLOW)), ERRORS).every
    assert [(one.path, one.outer) for one in found] == [
        (("policies", 0), ()),
        (("policies", 0, "drop", "drop_sub_policy", 0), ("drop",)),
        (("policies", 0, "drop", "drop_sub_policy", 0, "not", "not_sub_policy"), ("drop", "not")),
        (("policies", 1), ()),
    ]
    assert [one.title for one in found] == ['"held"', '"inverted"', '"slow"', '"errors"']


def test_a_policy_without_a_name_has_a_title() -> None:
    """Inside an and a policy may have no name; a remark says its type."""
    (_, inner) = subject(holding("and", "{type: trace_flags}")).every
    assert inner.title == "the trace_flags policy"


def test_limiters_are_found_inside() -> None:
    """A composite limits, and so does what holds a limiter."""
    found = subject(composite(ALL), holding("and", RATE), ERRORS).top
    assert [limits(one) for one in found] == [True, True, False]


def test_only_regular_expressions_are_patterns() -> None:
    """Values that are compared as they are are not looked at as expressions."""
    assert [(index, pattern) for _, index, pattern in patterns(subject(regex("^a"), text("values: [b]", "t")))] == [
        (0, "^a")
    ]
