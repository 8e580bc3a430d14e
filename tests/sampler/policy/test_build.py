"""sampler.policy.build: settings to policies."""

from __future__ import annotations

import importlib.util

import pytest

from gateway.config.settings import PolicySettings, TailSampling
from gateway.kernel.names import (
    ALWAYS,
    AND,
    BYTE_TOKENS,
    COMPOSITE,
    JUDGED,
    LASTED,
    LONGER_THAN,
    MARKED,
    NOT,
    RANDOM_FROM,
    SHARE,
    SPAN_TOKENS,
    SPANS_WITHIN,
    STATUS_IN,
    VETO,
    Node,
    Plan,
    Rules,
)
from sampler.policy import BadPolicyError, Built, Policy
from sampler.policy.build import build
from sampler.policy.probabilistic import probabilistic
from sampler.policy.restrictions import LEAVES

MOST = 2**63 - 1


def policy(kind: str, name: str = "p", /, **values: object) -> PolicySettings:
    return PolicySettings(name, kind, tuple(values.items()))


def built(*policies: PolicySettings, **settings: object) -> Built:
    return build(TailSampling(policies, **settings))  # type: ignore[arg-type]


def node(made: PolicySettings, **settings: object) -> Node:
    (only,) = built(made, **settings).policies
    return only.node


def refusal(*policies: PolicySettings, **settings: object) -> BadPolicyError:
    with pytest.raises(BadPolicyError) as caught:
        built(*policies, **settings)
    return caught.value


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (policy("always_sample"), Node(ALWAYS)),
        (policy("latency", threshold_ms=5), Node(LONGER_THAN, 5)),
        (policy("latency", threshold_ms=5, upper_threshold_ms=9), Node(MARKED, 0)),
        (policy("latency"), Node(LONGER_THAN, 0)),
        (policy("numeric_attribute", key="k", min_value=1, max_value=2), Node(MARKED, 0)),
        (policy("numeric_attribute", key="k", min_value=1, invert_match=True), Node(NOT, children=(Node(MARKED, 0),))),
        (policy("boolean_attribute", key="k", value=True, invert_match=False), Node(MARKED, 0)),
        (
            policy("string_attribute", key="k", values=("a.",), enabled_regex_matching=True, cache_max_size=9),
            Node(MARKED, 0),
        ),
        (policy("probabilistic", sampling_percentage=2.5, hash_salt="x"), probabilistic(2.5, "x")),
        (policy("probabilistic"), probabilistic(0)),
        (policy("status_code", status_codes=("ERROR", "OK")), Node(STATUS_IN, 0b110)),
        (policy("rate_limiting", spans_per_second=5), Node(SPAN_TOKENS, 5, 10)),
        (policy("bytes_limiting", bytes_per_second=5, burst_capacity=9), Node(BYTE_TOKENS, 5, 9)),
        (policy("span_count", min_spans=2), Node(SPANS_WITHIN, 2, MOST)),
        (policy("trace_state", key="k", values=("v",)), Node(MARKED, 0)),
        (policy("trace_flags"), Node(MARKED, 0)),
        (policy("ottl_condition", span=('name == "x"',)), Node(MARKED, 0)),
        (policy("ottl_condition", spanevent=('name == "x"',), error_mode="propagate"), Node(JUDGED, 0)),
        (policy("and", and_sub_policy=(policy("always_sample"),)), Node(AND, children=(Node(ALWAYS),))),
        (policy("and", and_sub_policy=()), Node(AND)),
        (policy("drop", drop_sub_policy=(policy("always_sample"),)), Node(VETO, children=(Node(ALWAYS),))),
        (policy("drop"), Node(VETO)),
        (policy("not", not_sub_policy=policy("always_sample")), Node(NOT, children=(Node(ALWAYS),))),
    ],
    ids=lambda value: value.type if isinstance(value, PolicySettings) else "",
)
def test_every_type_has_its_node(settings: PolicySettings, expected: Node) -> None:
    """Values are passed on under the Collector's names, with its defaults for what is not said."""
    assert node(settings) == expected


def test_policies_keep_their_order_and_share_their_questions() -> None:
    """Policies stand in the order of the configuration; what two of them ask is asked once."""
    flags = policy("trace_flags", "flags")
    inside = policy("and", "both", and_sub_policy=(flags, policy("latency", threshold_ms=1, upper_threshold_ms=2)))
    made = built(flags, policy("always_sample", "all"), inside)
    assert made.policies == (
        Policy("flags", Node(MARKED, 0)),
        Policy("all", Node(ALWAYS)),
        Policy("both", Node(AND, children=(Node(MARKED, 0), Node(MARKED, 1)))),
    )
    assert made.plan.marks == 2 and made.plan.intervals == ((1, 2, 1),) and len(made.plan.probes) == 1


def test_a_composite_names_its_children() -> None:
    """The sub policies of a composite stand in shares, and are known by name."""
    subs = (policy("status_code", "bad", status_codes=("ERROR",)), policy("always_sample", "all"))
    made = policy(
        *("composite", "c"),
        composite_sub_policy=subs,
        max_total_spans_per_second=100,
        policy_order=("all", "bad"),
        rate_allocation=(("all", 30),),
    )
    shares = [Node(SHARE, 50, children=(Node(STATUS_IN, 0b100),)), Node(SHARE, 30, children=(Node(ALWAYS),))]
    (parity,), (strict,) = built(made).policies, built(made, semantics="strict").policies
    assert parity == Policy("c", Node(COMPOSITE, 100, children=tuple(shares)), ("bad", "all"))
    assert strict == Policy("c", Node(COMPOSITE, 100, children=tuple(reversed(shares))), ("all", "bad"))


def test_strict_reaches_every_policy() -> None:
    """Strict semantics hold inside other policies, too."""
    bounded = policy("latency", threshold_ms=5, upper_threshold_ms=9)
    inside = policy("and", and_sub_policy=(policy("not", not_sub_policy=bounded),))
    assert node(inside, semantics="strict").children[0].children[0] == Node(LASTED, 5, 9)
    zero = policy("numeric_attribute", key="k", min_value=0)
    assert refusal(zero).path == ("numeric_attribute",)
    assert node(zero, semantics="strict") == Node(MARKED, 0)


@pytest.mark.parametrize(
    ("settings", "rules"),
    [
        ({}, Rules()),
        ({"sample_on_first_match": True}, Rules(first_match=True)),
        ({"semantics": "strict"}, Rules(frugal=True, overflow=True)),
        ({"tracestate": True}, Rules(consistent=True, random_mark=0)),
        ({"sampling_strategy": "span-ingest"}, Rules(ingest=1)),
        ({"sampling_strategy": "span-ingest", "semantics": "strict"}, Rules(frugal=True, overflow=True, ingest=2)),
        ({"num_shards": 8, "maximum_trace_size_bytes": 5, "block_on_overflow": True}, Rules()),
    ],
    ids=str,
)
def test_rules(settings: dict[str, object], rules: Rules) -> None:
    """How votes make a decision depends on a few of the settings; rates are not divided by num_shards."""
    made = built(policy("rate_limiting", spans_per_second=8), **settings) if not rules.ingest else built(**settings)
    assert made.rules == rules
    assert [each.node for each in made.policies] in ([Node(SPAN_TOKENS, 8, 16)], [])


def test_tracestate_makes_probability_consistent() -> None:
    """With tracestate a percentage is a threshold on randomness, and spans are asked whether they bring some."""
    made = built(policy("probabilistic", sampling_percentage=50.0, hash_salt="x"), tracestate=True)
    assert made.policies[0].node == Node(RANDOM_FROM, 1 << 55)
    assert made.rules.random_mark == 0 and made.plan.probes[0].judge((b"ot=rv:0123456789abcd",)) == 1


def test_without_policies_nothing_is_asked() -> None:
    """An empty list makes an empty plan."""
    assert built() == Built((), Plan(), Rules())


def test_first_match_cannot_be_stated() -> None:
    """Policies behind the first that keeps are not asked, so what they would have kept is not known."""
    error = refusal(policy("always_sample"), sample_on_first_match=True, tracestate=True)
    assert (error.policy, error.path) == (None, ("sample_on_first_match",))


def test_a_mistake_has_its_place() -> None:
    """A refusal says which policy it is about, and the way from there through the policies around it."""
    inner = policy("not", not_sub_policy=policy("status_code", status_codes=("OK", "BAD")))
    error = refusal(policy("always_sample"), policy("and", and_sub_policy=(policy("always_sample"), inner)))
    assert error.policy == 1
    assert error.path == ("and", "and_sub_policy", 1, "not", "not_sub_policy", "status_code", "status_codes", 1)
    composite = policy("composite", composite_sub_policy=(), policy_order=("x",))
    assert refusal(composite, semantics="strict").path == ("composite", "policy_order", 0)
    assert refusal(policy("composite", composite_sub_policy=(policy("not"),))).path[-1] == "type"
    assert refusal(policy("rate_limiting"), sampling_strategy="span-ingest").path == ("type",)


def test_every_type_that_holds_no_others_can_be_built() -> None:
    """The types that may be nested are those there is a file for."""
    assert all(importlib.util.find_spec(f"sampler.policy.{kind}") for kind in LEAVES)
