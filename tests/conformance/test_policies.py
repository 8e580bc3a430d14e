"""Decision facts of the Collector's tail sampling (cases/policies.json, semantics of v0.161.0): every row that is not history.

Each is asked of the naive evaluator, so that the properties which rest on it stand on facts, and of the sampler's core in
virtual time, in every form of the kernel.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.config.settings import PolicySettings, TailSampling
from gateway.kernel import FORMS
from gateway.kernel import names as numbers
from sampler.policy.errors import BadPolicyError
from tests.support.deciding import WAIT, Decider, kernel_form, policy
from tests.support.naive import (
    DROP,
    ERROR,
    KEEP,
    NO,
    SKIPPED,
    Decision,
    Naive,
    OttlError,
    Scene,
    Trace,
    collector_bytes,
    traces_of,
)
from tests.support.spans import (
    attributes,
    export_request,
    resource_spans,
    span,
    span_id,
)

CASES: dict[str, Any] = json.loads((Path(__file__).parent / "cases" / "policies.json").read_text())
VOTES = {"sampled": KEEP, "not_sampled": NO, "dropped": DROP, "error": ERROR, "(not evaluated)": SKIPPED}
STATUS = {"UNSET": 0, "OK": 1, "ERROR": 2}
FAILING = 'attributes["text"]["key"] == "value"'
LATE = 2 * WAIT  # after a step, whose traces are due by then, and those of the next step not yet


def current(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows that are goals."""
    return [row for row in rows if "legacy" not in row["name"] and "legacy" not in row.get("suite", "")]


def named(row: dict[str, Any]) -> str:
    return f"{row.get('suite', 'precedence')}: {row['name']}"


SINGLE = current(CASES["single_trace_cases"])
REFUSED = [row for row in SINGLE if row["expect"] == "config_error"]
DECIDED = [row for row in SINGLE if row["expect"] != "config_error"]
SEQUENCES = current(CASES["stateful_sequences"])
PRECEDENCE = current(CASES["final_decision_precedence"])
GATED = CASES["tracestate_gate_cases"]


# ---------------------------------------------------------------- rows as settings and traces


def settings_of(row: dict[str, Any], name: str = "p", size: int = 0) -> PolicySettings:
    """The policy of a row as the configuration gives it. `size` is what a row calls so."""
    values = {key: value for key, value in row.items() if key not in ("type", "sub", "note")}
    subs = row.get("sub", [])
    if row["type"] == "composite":
        values |= composite(subs, row["max_total_spans_per_second"])
    elif subs:
        made = tuple(settings_of(sub, f"s{index}") for index, sub in enumerate(subs))
        values[f"{row['type']}_sub_policy"] = made[0] if row["type"] == "not" else made
    if row["type"] == "bytes_limiting":
        values = {key: in_bytes(value, size) for key, value in values.items()}
    return policy(row["type"], name, **values)


def composite(subs: Sequence[dict[str, Any]], total: int) -> dict[str, object]:
    made = [settings_of(sub["policy"], f"s{index}") for index, sub in enumerate(subs)]
    shares = [(f"s{index}", sub["allocated_sps"] * 100 // total) for index, sub in enumerate(subs)]
    return {"composite_sub_policy": made, "policy_order": [each.name for each in made], "rate_allocation": shares}


def in_bytes(text: str, size: int) -> int:
    """A number of bytes written as FACTOR*size or size-LESS."""
    factor, star, _ = text.partition("*")
    return int(Fraction(factor) * size) if star else size - int(text.removeprefix("size-"))


def request_of(trace: dict[str, Any]) -> bytes:
    """The trace of a row, all its resources in one request."""
    trace_id = bytes.fromhex(trace["trace_id"])
    number = 0
    parts = []
    for each in trace["resources"]:
        spans = []
        for one in each["spans"]:
            number += 1
            spans.append(span_of(one, trace_id, number))
        part = resource_spans(spans)
        part.resource.attributes.extend(attributes(each["attributes"]))
        parts.append(part)
    return export_request(*parts)


def span_of(row: dict[str, Any], trace_id: bytes, number: int) -> Span:
    made = span(trace_id, number, status=STATUS[row.get("status", "UNSET")], values=row.get("attributes"))
    # "milliseconds after any fixed moment": not the epoch itself, whose zero means unset
    made.start_time_unix_nano = (1_000 + row["start_ms"]) * 1_000_000 if "start_ms" in row else 0
    made.end_time_unix_nano = (1_000 + row["end_ms"]) * 1_000_000 if "end_ms" in row else 0
    made.trace_state = row.get("trace_state", "")
    made.flags = row.get("flags", 0)
    for event in row.get("events", []):
        made.events.add(name=event["name"], attributes=attributes(event["attributes"]))
    return made


def one_trace(request: bytes) -> Trace:
    (trace,) = traces_of([ExportTraceServiceRequest.FromString(request)]).values()
    return trace


# ---------------------------------------------------------------- what decides


def attribute(scene: Scene, key: str) -> str | None:
    return next((each.value.string_value for each in scene.span.attributes if each.key == key), None)


def indexes_a_string(scene: Scene) -> bool:
    raise OttlError


CONDITIONS = {
    'attributes["attr_k_1"] != "attr_v_1"': lambda scene: attribute(scene, "attr_k_1") != "attr_v_1",
    'name != "incorrect event name"': lambda scene: (scene.event or scene.span).name != "incorrect event name",
    FAILING: indexes_a_string,
}


def naive(*policies: PolicySettings, **options: Any) -> Naive:
    return Naive(TailSampling(policies, **options), CONDITIONS)


def core(*policies: PolicySettings, **options: Any) -> Decider:
    return Decider(TailSampling(policies, decision_wait=WAIT, **options))


def decided(decider: Decider, request: bytes, at: float) -> Decision:
    """What becomes of the only trace of this request; whether it leaves is what the journal says."""
    decider.receive(request, at)
    (record,) = decider.decide(at + LATE)
    assert (record.trace_id in decider.exported) == record.keep
    return decider.decision(record)


def test_votes_have_their_numbers() -> None:
    """The naive evaluator numbers votes as the product does."""
    assert (NO, KEEP, DROP, ERROR, SKIPPED) == (
        numbers.NO,
        numbers.KEEP,
        numbers.DROP,
        numbers.ERROR,
        numbers.SKIPPED,
    )


# ---------------------------------------------------------------- one policy, one trace


@pytest.mark.parametrize("row", DECIDED, ids=named)
def test_single_trace_naive(row: dict[str, Any]) -> None:
    """The naive evaluator votes on a trace as the Collector's policy does."""
    made = naive(settings_of(row["policy"])).decide(one_trace(request_of(row["trace"])), 0.0)
    assert made.votes == (VOTES[row["expect"]],)
    assert made.keep == (row["expect"] == "sampled")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("row", DECIDED, ids=named)
def test_single_trace(row: dict[str, Any], form: str) -> None:
    """A policy decides on a trace as the Collector's does."""
    if not any(bytes.fromhex(row["trace"]["trace_id"])):
        pytest.skip("a span with a zero trace id is rejected when it comes: there is no such trace")
    with kernel_form(form):
        made = decided(core(settings_of(row["policy"])), request_of(row["trace"]), 0.0)
    assert made.votes == (VOTES[row["expect"]],)
    assert made.keep == (row["expect"] == "sampled")


@pytest.mark.parametrize("row", REFUSED, ids=named)
def test_settings_that_make_no_sense(row: dict[str, Any]) -> None:
    """What the Collector refuses at its start is refused here."""
    with pytest.raises(BadPolicyError):
        core(settings_of(row["policy"]))


# ---------------------------------------------------------------- one policy, many traces


def requests_of(row: dict[str, Any]) -> list[tuple[float, bytes]]:
    """(time, request) of every step, each with a trace of its own."""
    return [(float(step["t_s"]), step_of(step, number)) for number, step in enumerate(row["steps"], 1)]


def step_of(step: dict[str, Any], number: int) -> bytes:
    assert step.get("trace_size_multiple", 1) == 1, "no row has a trace of another size"
    numbers = range(1, step.get("span_count", 1) + 1)
    spans = [span(span_id(number) * 2, each, values=step.get("attributes")) for each in numbers]
    return export_request(resource_spans(spans))


def expected(row: dict[str, Any]) -> list[int]:
    return [VOTES[step["expect"]] for step in row["steps"]]


@pytest.mark.parametrize("row", SEQUENCES, ids=named)
def test_sequence_naive(row: dict[str, Any]) -> None:
    """The naive evaluator's limits let pass what the Collector's do."""
    steps = [(at, one_trace(request)) for at, request in requests_of(row)]
    made = naive(settings_of(row["policy"], size=collector_bytes(steps[0][1])))
    assert [made.decide(trace, at).votes[0] for at, trace in steps] == expected(row)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("row", SEQUENCES, ids=named)
def test_sequence(row: dict[str, Any], form: str) -> None:
    """Limits let pass what the Collector's do."""
    steps = requests_of(row)
    with kernel_form(form):
        measured = core(policy("always_sample"))
        measured.receive(steps[0][1], 0.0)
        (record,) = measured.decide(LATE)
        made = core(settings_of(row["policy"], size=record.size))
        assert votes_in_turn(made, steps) == expected(row)


def votes_in_turn(decider: Decider, steps: list[tuple[float, bytes]]) -> list[int]:
    """The votes on these traces, those of one time decided at one time."""
    votes = []
    for at in dict.fromkeys(at for at, _ in steps):
        for request in [request for time, request in steps if time == at]:
            decider.receive(request, at)
        votes += [decider.decision(record).votes[0] for record in decider.decide(at + LATE)]
    return votes


# ---------------------------------------------------------------- many policies, one trace


def voting(vote: str, name: str) -> PolicySettings:
    """A policy that votes so on every trace of a few spans with an attribute `text`."""
    match vote:
        case "not_sampled":
            return policy("span_count", name, min_spans=1_000)
        case "dropped":
            return policy("drop", name, drop_sub_policy=[policy("always_sample", "all")])
        case "error":
            return policy("ottl_condition", name, error_mode="propagate", span=[FAILING])
    return policy("always_sample", name)


def policies_of(row: dict[str, Any]) -> list[PolicySettings]:
    return [voting(vote, f"p{index}") for index, vote in enumerate(row["policy_results"])]


def precedence(row: dict[str, Any]) -> Decision:
    index = row["recorded_policy_index"]
    return Decision(
        tuple(VOTES[vote] for vote in row["policy_results"]),
        row["expect"] == "sampled",
        -1 if index is None else index,
        -1,
    )


TEXT = export_request(resource_spans([span("A", 1, values={"text": "a"})]))


@pytest.mark.parametrize("row", PRECEDENCE, ids=named)
def test_final_decision_naive(row: dict[str, Any]) -> None:
    """The naive evaluator makes the Collector's decision of the votes, and names the same policy as the reason."""
    made = naive(*policies_of(row), sample_on_first_match=row["sample_on_first_match"])
    assert made.decide(one_trace(TEXT), 0.0) == precedence(row)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("row", PRECEDENCE, ids=named)
def test_final_decision(row: dict[str, Any], form: str) -> None:
    """Votes make the Collector's decision, and the same policy is named as its reason."""
    with kernel_form(form):
        made = core(*policies_of(row), sample_on_first_match=row["sample_on_first_match"])
        assert decided(made, TEXT, 0.0) == precedence(row)


@pytest.mark.parametrize("form", FORMS)
def test_a_drop_policy_ends_the_asking(form: str) -> None:
    """Drop policies are asked first, wherever they stand, and the first that drops is the last that is asked."""
    policies = [voting(vote, f"p{index}") for index, vote in enumerate(["sampled", "dropped", "error", "dropped"])]
    dropped = Decision((SKIPPED, DROP, SKIPPED, SKIPPED), False, 1, -1)
    assert naive(*policies).decide(one_trace(TEXT), 0.0) == dropped
    with kernel_form(form):
        assert decided(core(*policies), TEXT, 0.0) == dropped


# ---------------------------------------------------------------- consistent probability


@pytest.mark.parametrize("row", GATED, ids=named)
def test_tracestate(row: dict[str, Any]) -> None:
    """With `tracestate: true` a percentage is held against the randomness of the trace as behind the Collector's gate.

    Where no span says its randomness the Collector falls back to the hash; here it is the trace id's own. The rows do not
    tell the two apart: they ask for all or nothing. Their trace id is invalid and stands for any other.
    """
    if not row["tracestates"]:
        pytest.skip("a trace without a span does not exist here")
    spans = [span("A", number) for number, _ in enumerate(row["tracestates"], 1)]
    for made, tracestate in zip(spans, row["tracestates"], strict=True):
        made.trace_state = tracestate
    decider = core(policy("probabilistic", sampling_percentage=float(row["sampling_percentage"])), tracestate=True)
    assert decided(decider, export_request(resource_spans(spans)), 0.0).votes == (VOTES[row["expect"]],)
