"""gateway.config.policies

The exact messages are golden files: tests/golden/config/tail_*.expected.
"""

from __future__ import annotations

import pytest

from gateway.config import load
from gateway.config.block import examine
from gateway.config.policies import HOLDING, LEAVES, POLICY_TYPES, Policy, block_of
from gateway.config.settings import PolicySettings


def judge(text: str, env: dict[str, str] | None = None) -> tuple[Policy | None, list[str]]:
    found, mistakes = examine(Policy, load([("f", text)], env or {}).root, ())
    return found, [f"{mistake.path}: {mistake.message}" for mistake in sorted(mistakes)]


def minimal(kind: str, name: str = "x") -> str:
    """A policy of that type that says as little as it may."""
    inside = {
        "numeric_attribute": "{key: k, min_value: 1}",
        "boolean_attribute": "{key: k}",
        "string_attribute": "{key: k, values: [v]}",
        "status_code": "{status_codes: [OK]}",
        "rate_limiting": "{spans_per_second: 1}",
        "bytes_limiting": "{bytes_per_second: 1}",
        "trace_state": "{key: k, values: [v]}",
        "ottl_condition": "{span: [name == 1]}",
        "and": "{and_sub_policy: [{type: always_sample}]}",
        "drop": "{drop_sub_policy: [{type: always_sample}]}",
        "not": "{not_sub_policy: {type: always_sample}}",
        "composite": "{max_total_spans_per_second: 1, composite_sub_policy: [{name: x, type: always_sample}]}",
    }.get(kind, "")
    return f"{{name: {name}, type: {kind}, {kind}: {inside}}}"


@pytest.mark.parametrize("kind", POLICY_TYPES)
def test_every_type_of_the_collector_is_taken(kind: str) -> None:
    """All seventeen types load, and a block with nothing under it is one with its defaults."""
    found, mistakes = judge(minimal(kind))
    assert mistakes == [] and found is not None and found.settings().type == kind


ALLOWED = {
    "and": {*LEAVES, "not"},
    "drop": {*LEAVES, "not"},
    "not": {*LEAVES},
    "composite": {*LEAVES, "and"},
}


@pytest.mark.parametrize("outer", sorted(HOLDING))
@pytest.mark.parametrize("kind", POLICY_TYPES)
def test_nesting_is_the_collectors(outer: str, kind: str) -> None:
    """Which type may stand in which is what a running Collector allows, and anything else is one mistake."""
    held = minimal(kind) if outer == "not" else f"[{minimal(kind)}]"
    more = "max_total_spans_per_second: 1, " if outer == "composite" else ""
    _, mistakes = judge(f"{{name: a, type: {outer}, {outer}: {{{more}{outer}_sub_policy: {held}}}}}")
    assert len(mistakes) == (kind not in ALLOWED[outer])
    assert all(f'"{kind}" cannot stand in' in mistake for mistake in mistakes)


def test_settings_nest_as_the_file_does() -> None:
    """Lists become tuples, policies settings of their own, shares pairs; what is absent stays absent."""
    found, _ = judge(
        "name: budget\n"
        "type: composite\n"
        "composite:\n"
        "  max_total_spans_per_second: 10\n"
        "  policy_order: [b, a]\n"
        "  composite_sub_policy:\n"
        "  - {name: a, type: and, and: {and_sub_policy: [{type: not, not: {not_sub_policy: {type: trace_flags}}}]}}\n"
        "  - {name: b, type: latency, latency: {threshold_ms: 0}}\n"
        "  rate_allocation: [{policy: a, percent: 40}, {policy: b}]\n"
    )
    inner = PolicySettings("", "not", (("not_sub_policy", PolicySettings("", "trace_flags")),))
    assert found is not None
    assert found.settings() == PolicySettings(
        "budget",
        "composite",
        (
            ("max_total_spans_per_second", 10),
            ("policy_order", ("b", "a")),
            (
                "composite_sub_policy",
                (
                    PolicySettings("a", "and", (("and_sub_policy", (inner,)),)),
                    PolicySettings("b", "latency", (("threshold_ms", 0),)),
                ),
            ),
            ("rate_allocation", (("a", 40), ("b", 0))),
        ),
    )


def test_every_policy_inside_has_its_path() -> None:
    """A walk meets a policy before those inside it, each with the path that leads to it in the file."""
    found, _ = judge(
        "{name: a, type: and, and: {and_sub_policy: [{type: trace_flags}, {type: not, not: {not_sub_policy: {type: latency, "
        "latency: {}}}}]}}"
    )
    assert found is not None
    assert [(path, entry.type) for path, entry in found.walk(("p",))] == [
        (("p",), "and"),
        (("p", "and", "and_sub_policy", 0), "trace_flags"),
        (("p", "and", "and_sub_policy", 1), "not"),
        (("p", "and", "and_sub_policy", 1, "not", "not_sub_policy"), "latency"),
    ]


def test_names_inside_are_for_people() -> None:
    """Inside an and, a not or a drop a name may be missing or stand twice, as in the Collector."""
    assert (
        judge(
            "{name: a, type: and, and: {and_sub_policy: [{name: x, type: trace_flags}, {name: x, type: trace_flags}]}}"
        )[1]
        == []
    )
    assert (
        judge("{name: a, type: drop, drop: {drop_sub_policy: [{type: trace_flags}, {name: '', type: trace_flags}]}}")[1]
        == []
    )


def test_a_type_may_come_from_a_variable() -> None:
    """What a variable gives is judged like what stands in the file."""
    found, mistakes = judge("{name: a, type: '${T}', latency: {threshold_ms: 5}}", {"T": "latency"})
    assert mistakes == [] and found is not None and found.type == "latency"
    _, mistakes = judge("{name: a, type: '${T}', not: {}}", {"T": "not"})
    assert mistakes == ['not: the key "not_sub_policy" is missing']


def test_a_type_has_one_block() -> None:
    """Every type of policy that holds others is found by its name, as are those that hold none."""
    assert [block_of(Policy, kind).__name__ for kind in ("and", "latency")] == ["And", "Latency"]
