"""sampler.lint: every warning with blocks it remarks on and blocks it leaves alone.

The lines that people see are golden files: tests/golden/config/NAME.remarks.
"""

from __future__ import annotations

import pytest

from sampler import lint
from sampler.outline import NOTE, WARNING, Remark, Subject
from tests.support.sampling import (
    ALL,
    ERRORS,
    FIRST,
    INGEST,
    RATE,
    SLOW,
    STRICT,
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


def remarks(*policies: str, options: str = "") -> list[Remark]:
    """All remarks on these policies and options."""
    return lint.lint(settings(*policies, options=options))


def of(rule: str, *policies: str, options: str = "") -> list[str]:
    """The messages of one rule."""
    return [remark.message for remark in getattr(lint, rule)(Subject(settings(*policies, options=options)))]


POSITIVE = [
    ("unreachable", [ALL, ERRORS], FIRST, ['"errors" is never asked: "all" keeps every trace before it']),
    ("unreachable", [probabilistic("p", 100), RATE], FIRST, ['"rate" is never asked: "p"']),
    ("unreachable", [holding("drop", "{type: always_sample}"), ERRORS], "", ['"held" drops every trace']),
    ("unreachable", [holding("drop", inverted(text("values: []"))), ERRORS], "", ['"held" drops every trace']),
    ("unreachable", [composite(ALL, ERRORS)], "", ['"errors" is never asked: "all" keeps every trace before it']),
    ("catch_all", [ERRORS, ALL], "", ['"all" keeps every trace: no other policy but drop changes']),
    ("catch_all", [RATE, latency(-1)], "", ['"l" keeps every trace', '"rate" limits nothing: "l"']),
    ("catch_all", [holding("and", RATE.replace("rate,", "inner,")), ALL], "", ['"all" keeps', '"held" limits nothing']),
    ("never", [probabilistic("p", 0), ERRORS], "", ['"p" never keeps a trace']),
    ("never", [text("values: []")], "", ['"text" never keeps a trace']),
    ("never", ["{name: s, type: trace_state, trace_state: {key: k, values: []}}"], "", ['"s" never keeps a trace']),
    ("never", ["{name: s, type: span_count, span_count: {min_spans: -2, max_spans: -1}}"], "", ['"s" never keeps']),
    ("never", ["{name: r, type: bytes_limiting, bytes_limiting: {bytes_per_second: 0}}"], "", ['"r" never keeps']),
    ("never", [composite(ALL, total=0)], "", ['"budget" never keeps a trace']),
    ("never", [inverted(ALL)], "", ['"inverted" never keeps a trace']),
    ("never", [holding("drop", probabilistic("p", 0)), ERRORS], "", ['"p" never keeps a trace']),
    ("shadowed", [ERRORS, holding("and", ERRORS)], "", ['the name "errors" is that of policies[0] too']),
    ("shadowed", [holding("and", SLOW, SLOW)], "", ['the name "slow" is that of the policy before it too']),
    ("shadowed", [SLOW, SLOW.replace("slow", "again")], "", ['"again" says the same as "slow" (policies[0])']),
    ("percentages", [probabilistic("p", 101)], "", ["101 is no percentage: it counts as 100, every trace"]),
    ("percentages", [probabilistic("p", -0.5)], "", ["-0.5 is no percentage: it counts as 0, no trace"]),
    (
        "percentages",
        [composite(ALL, ERRORS, more=", rate_allocation: [{policy: all, percent: 60}, {policy: errors, percent: 60}]")],
        "",
        ["the shares add up to 120 percent"],
    ),
    (
        "percentages",
        [composite(ALL, more=", rate_allocation: [{policy: all, percent: 150}]")],
        "",
        ["150 is more than 100 percent"],
    ),
    (
        "same_hash",
        [probabilistic("few", 5), probabilistic("more", 10)],
        "",
        ['"few" keeps nothing that "more" does not'],
    ),
    (
        "same_hash",
        [probabilistic("few", 5, "salt"), probabilistic("more", 10)],
        "tracestate: true",
        ['"few" keeps nothing that "more" does not: they choose by the same randomness'],
    ),
    ("thresholds", [latency(1000, 1000)], "", ["upper_threshold_ms (1000) is not above threshold_ms (1000)"]),
    ("thresholds", [latency(0, -1)], "", ["upper_threshold_ms (-1) is not above threshold_ms (0)"]),
    ("anchors", [regex("/health")], "", ['"/health" matches anywhere in the value']),
    ("anchors", [inverted(regex("a|^b$")).replace("name: text", "name: x")], "", ['"a|^b$" matches anywhere']),
    ("waits", [latency(30000)], "", ["threshold_ms of 30000 is no shorter than decision_wait (30s)"]),
    ("waits", [holding("and", latency(500))], "decision_wait: 200ms", ["threshold_ms of 500 is no shorter"]),
    ("waits", [ALL], "decision_wait: 5s\ndecision_wait_after_root_received: 5s", ["has no effect: it is no shorter"]),
    ("replicas", [RATE], "", ["every process keeps 100 spans a second: divide"]),
    ("replicas", [composite(ALL)], STRICT, ["every process keeps 100 spans a second: divide"]),
    (
        "replicas",
        [holding("and", "{type: bytes_limiting, bytes_limiting: {bytes_per_second: 5}}")],
        "",
        ["every process keeps 5 bytes a second"],
    ),
    ("ignored", [text("values: ['', a]")], "", ["an empty text matches nothing"]),
    ("ignored", [ALL], "num_shards: 4", ["num_shards has no effect: --workers"]),
    ("ignored", [probabilistic("p", 5, "salt")], "tracestate: true", ["hash_salt has no effect beside tracestate"]),
    ("ingest", [holding("drop", ERRORS), ALL], INGEST, ["with span-ingest no trace is ever kept"]),
    (
        "caches",
        [ALL],
        "decision_cache: {sampled_cache_size: 100}",
        ["sampled_cache_size (100) is below num_traces (50000)"],
    ),
]

NEGATIVE = [
    ("unreachable", [ERRORS, ALL], FIRST),
    ("unreachable", [ALL, ERRORS], ""),
    ("unreachable", [holding("drop", ERRORS), ALL], FIRST),
    ("unreachable", [composite(ERRORS, ALL)], ""),
    ("unreachable", [composite(ALL, ERRORS)], STRICT),
    ("catch_all", [ALL], ""),
    ("catch_all", [ALL, holding("drop", ERRORS)], ""),
    ("catch_all", [probabilistic("p", 99), RATE], ""),
    ("catch_all", [ERRORS, ALL], FIRST),
    ("never", [probabilistic("p", 0.1), SLOW, text("values: []", "t").replace("}}", ", invert_match: true}}")], ""),
    ("never", ["{name: once, type: rate_limiting, rate_limiting: {spans_per_second: 0, burst_capacity: 5}}"], ""),
    ("never", [text("values: [''], enabled_regex_matching: true")], ""),
    ("shadowed", [ERRORS, holding("and", SLOW), holding("drop", SLOW, name="dropped")], ""),
    ("shadowed", [RATE, RATE.replace("rate,", "again,")], ""),
    ("shadowed", [holding("and", "{type: always_sample}", "{type: trace_flags}")], ""),
    ("percentages", [probabilistic("p", 0), probabilistic("q", 100)], ""),
    (
        "percentages",
        [composite(ALL, ERRORS, more=", rate_allocation: [{policy: all, percent: 60}, {policy: errors, percent: 40}]")],
        "",
    ),
    ("same_hash", [probabilistic("few", 5, "salt"), probabilistic("more", 10)], ""),
    ("thresholds", [latency(1000, 1001), latency(1000).replace("name: l", "name: m")], ""),
    ("anchors", [regex("^/health"), regex("[.]html$").replace("name: text", "name: x")], ""),
    ("anchors", [text("values: [/health]")], ""),
    ("anchors", [regex("/health")], STRICT),
    ("waits", [latency(29999)], "decision_wait_after_root_received: 5s"),
    ("replicas", [ERRORS, probabilistic("p", 5)], ""),
    ("ignored", [text("values: [a]"), probabilistic("p", 5, "salt")], "num_shards: 1"),
    ("ingest", [holding("drop", ERRORS), ALL], ""),
    ("ingest", [holding("drop", ERRORS), ALL], f"{INGEST}\n{STRICT}"),
    ("ingest", [ALL], INGEST),
    ("caches", [ALL], "decision_cache: {sampled_cache_size: 50000}"),
]


@pytest.mark.parametrize(("rule", "policies", "options", "messages"), POSITIVE)
def test_a_rule_remarks_on_what_it_is_about(rule: str, policies: list[str], options: str, messages: list[str]) -> None:
    """Each rule finds what it is named after, and says nothing else."""
    found = of(rule, *policies, options=options)
    assert len(found) == len(messages)
    assert all(message in remark for message, remark in zip(messages, found, strict=True))


@pytest.mark.parametrize(("rule", "policies", "options"), NEGATIVE)
def test_a_rule_leaves_alone_what_is_meant(rule: str, policies: list[str], options: str) -> None:
    """No rule remarks on a sensible neighbour of what it is about."""
    assert of(rule, *policies, options=options) == []


def test_every_rule_is_tried_both_ways() -> None:
    """No rule is without a case it remarks on and one that it leaves alone."""
    rules = {rule.__name__ for rule in lint.WARNINGS}
    assert rules == {case[0] for case in POSITIVE} == {case[0] for case in NEGATIVE}


def test_under_strict_nothing_differs() -> None:
    """The notes are about where strict semantics would decide differently; under them they vanish, warnings stay."""
    policies = [latency(5, 10), number("min_value: 0, max_value: 5"), regex("/health"), RATE, composite(SLOW, ERRORS)]
    kinds = {remark.kind for remark in remarks(*policies)}
    assert kinds == {WARNING, NOTE}
    assert {remark.kind for remark in remarks(*policies, options=STRICT)} == {WARNING}


def test_every_note_ends_with_what_it_is_about() -> None:
    """A note says that it is about strict semantics."""
    found = [remark for remark in remarks(latency(5, 10), RATE, regex("a")) if remark.kind == NOTE]
    assert found and all(remark.message.endswith(" under semantics: strict") for remark in found)


def test_a_remark_points_at_a_key() -> None:
    """A remark's path leads to the key or list item it is about, also deep inside."""
    (found,) = (remark for remark in remarks(holding("and", regex("a"))) if remark.kind == WARNING)
    assert found.path == ("policies", 0, "and", "and_sub_policy", 0, "string_attribute", "values", 0)


def test_a_sensible_file_has_no_remarks() -> None:
    """Errors, what is slow and a share of the rest: nothing to say."""
    assert remarks(ERRORS, SLOW, probabilistic("rest", 5)) == []
