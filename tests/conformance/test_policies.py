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
from gateway.otlp.facts import Facts, fold
from gateway.otlp.split import split
from sampler.policy import BadPolicyError, Decision, Verdict, combine, decide
from sampler.policy.build import BUILDERS, build_policy
from tests.support.spans import UNSET, export_request, resource_spans, span

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


def facts_of(trace: dict[str, Any]) -> tuple[Facts, bytes]:
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
        parts.append(resource_spans(spans))
    facts = Facts(prefixes=True)
    request = export_request(*parts)
    for scope in split(request).scopes:
        for _, _, _, body, stop in scope.spans:
            fold(facts, request, body, stop)
    return facts, trace_id


@pytest.mark.parametrize("row", SINGLE, ids=lambda row: f"{row['suite']}: {row['name']}")
def test_single_trace(row: dict[str, Any]) -> None:
    """A policy votes on a trace as the Collector's does."""
    if row["expect"] == "config_error":
        with pytest.raises(BadPolicyError):
            build_policy(settings(row["policy"]))
        return
    facts, trace_id = facts_of(row["trace"])
    assert decide([build_policy(settings(row["policy"]))], facts, trace_id).keep == EXPECTED[row["expect"]]


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
