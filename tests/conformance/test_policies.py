"""Decision facts of the Collector's tail sampling (cases/policies.json) against the policies that are built.

cases/policies.json: semantics of v0.161.0. A type that is not built yet stands in NOT_BUILT; building it without taking it out
of there fails, and so its rows are run.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.config.settings import PolicySettings
from gateway.kernel import FORMS, NotBuiltError, load
from sampler.policy import BadPolicyError, Decision, Policy, Verdict, combine, decide, marks_of
from sampler.policy.build import BUILDERS, build_policy
from tests.support.facts import facts_of
from tests.support.spans import UNSET, Span, export_request, resource_spans, span

CASES: dict[str, Any] = json.loads((Path(__file__).parent / "cases" / "policies.json").read_text())

NOT_BUILT = {
    "and": 2,
    "boolean_attribute": 4,
    "drop": 2,
    "not": 1,
    "numeric_attribute": 16,
    "ottl_condition": 4,
    "span_count": 13,
    "string_attribute": 17,
    "trace_flags": 1,
    "trace_state": 5,
}
"""Policy types that are not built yet, and how many rows wait for each."""

NOT_BUILT_SETTINGS = {"sample_on_first_match"}
"""Settings that are not built yet; final_decision_precedence rows that set one are left out."""

STATUS = {"UNSET": UNSET, "OK": 1, "ERROR": 2}
EXPECTED = {"sampled": True, "not_sampled": False}
VERDICTS = {"sampled": Verdict.KEEP, "not_sampled": Verdict.NO, "dropped": Verdict.DROP, "error": Verdict.ERROR}


def current(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [
        row for row in rows if not row["name"].startswith("legacy") and not row.get("suite", "").startswith("legacy")
    ]


SINGLE = [row for row in current(CASES["single_trace_cases"]) if row["policy"]["type"] in BUILDERS]
PRECEDENCE = [
    row for row in current(CASES["final_decision_precedence"]) if not any(row.get(each) for each in NOT_BUILT_SETTINGS)
]


def test_every_row_is_run_or_waits_for_its_policy() -> None:
    """No decision fact is passed over in silence: each belongs to a policy that is built or is listed as not built yet."""
    rows = Counter(row["policy"]["type"] for row in current(CASES["single_trace_cases"]))
    assert {kind: count for kind, count in rows.items() if kind not in BUILDERS} == NOT_BUILT


def settings(policy: dict[str, Any]) -> PolicySettings:
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in policy.items() if key != "type"}
    return PolicySettings("p", policy["type"], tuple(values.items()))


def resources_of(trace: dict[str, Any]) -> list[list[Span]]:
    trace_id = bytes.fromhex(trace["trace_id"])
    number = 0
    parts = []
    for resource in trace["resources"]:
        spans = []
        for each in resource["spans"]:
            number += 1
            made = span(trace_id, number, status=STATUS[each.get("status", "UNSET")])
            # "milliseconds after any fixed moment": not the epoch itself, whose zero means unset
            made.start_time_unix_nano = (1_000 + each["start_ms"]) * 1_000_000 if "start_ms" in each else 0
            made.end_time_unix_nano = (1_000 + each["end_ms"]) * 1_000_000 if "end_ms" in each else 0
            spans.append(made)
        parts.append(spans)
    return parts


def kept_by_kernel(form: str, policy: Policy, request: bytes) -> bool:
    """Whether a kernel that holds nothing but this trace keeps it."""
    try:
        kernel = load(form)
    except NotBuiltError as error:
        pytest.skip(str(error))
    marks = marks_of([policy])
    spans = kernel.Spans(facts=True)
    traces = kernel.Traces(spans, bytes_max=1 << 20, traces_max=10, intervals=list(marks))
    spans.read(request)
    traces.add(request, 0, lambda _: None)
    done, _, kept = traces.decide(kernel.Program([policy.test(marks)]), 0, 2, lambda *_: None, [0])
    assert done == 1
    return bool(kept)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("row", SINGLE, ids=lambda row: f"{row['suite']}: {row['name']}")
def test_single_trace(row: dict[str, Any], form: str) -> None:
    """A policy decides on a trace as the Collector's does, by its vote and in every form of the kernel."""
    if row["expect"] == "config_error":
        with pytest.raises(BadPolicyError):
            build_policy(settings(row["policy"]))
        return
    policy = build_policy(settings(row["policy"]))
    parts = resources_of(row["trace"])
    spans = [each for part in parts for each in part]
    facts = facts_of(spans, policy.intervals)
    trace_id = bytes.fromhex(row["trace"]["trace_id"])
    assert decide([policy], facts, trace_id).keep == EXPECTED[row["expect"]]
    if spans and any(trace_id):  # there is no trace without a span, and none with an invalid id
        assert kept_by_kernel(form, policy, export_request(*map(resource_spans, parts))) == EXPECTED[row["expect"]]


@pytest.mark.parametrize("row", PRECEDENCE, ids=lambda row: row["name"])
def test_final_decision(row: dict[str, Any]) -> None:
    """Verdicts make the Collector's decision, and the same policy is named as its reason."""
    decision: Decision = combine((str(index), VERDICTS[vote]) for index, vote in enumerate(row["policy_results"]))
    assert decision.keep == (row["expect"] == "sampled")
    index = row["recorded_policy_index"]
    assert decision.policy == ("" if index is None else str(index))


def test_the_settings_not_built_are_not_there() -> None:
    """A setting is listed as not built only as long as the product has no such setting."""
    from gateway.config.settings import TailSampling

    assert not {each for each in NOT_BUILT_SETTINGS if each in TailSampling.__dataclass_fields__}
