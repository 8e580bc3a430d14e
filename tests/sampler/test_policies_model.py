"""The policies against an evaluator that is obviously right, over random configurations and random traces.

tests.support.naive says what every policy means, over decoded protobuf; it is itself held against facts of the Collector
(tests/conformance/test_policies.py) and against a running one (bench/parity.py). What must hold: every trace is decided once,
every policy votes as the naive one does, and the same policy decides, under both semantics and in every form of the kernel.
"""

from __future__ import annotations

import hashlib
import json
import random

import pytest
from google.protobuf import text_format
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.config.settings import TailSampling
from gateway.kernel import FORMS
from tests.support import generated
from tests.support.deciding import WAIT, Decider, kernel_form
from tests.support.naive import Decision, Naive, Trace, received_bytes, traces_of

BYTES_OFF = 6  # a message a span stands in: what it says of its length is counted with the first span alone
Requests = list[ExportTraceServiceRequest]

seeds = st.integers(0, 2**32 - 1)
gaps = st.lists(st.integers(0, 12), min_size=1, max_size=4)  # before each round, in eighths of a second


def settings_of(draw: random.Random, semantics: str, policies: int, *, limits: bool) -> TailSampling:
    made = generated.Policies(draw, limits=limits, strict=semantics == "strict").policies(policies)
    first_match = not draw.randrange(4)
    return TailSampling(made, decision_wait=WAIT, semantics=semantics, sample_on_first_match=first_match)


def round_of(draw: random.Random, number: int, traces: int) -> Requests:
    """Some requests with new traces; sometimes one of them comes twice."""
    trace_ids = [hashlib.md5(f"{number} {each}".encode()).digest() for each in range(traces)]
    requests = generated.traffic(draw, trace_ids, draw.randint(1, 4))
    return [*requests, draw.choice(requests)] if not draw.randrange(4) else requests


def check_round(decider: Decider, naive: Naive, requests: Requests, at: float) -> None:
    """Both see the requests, and then make the same decisions in the same order."""
    for request in requests:
        decider.receive(request.SerializeToString(), at)
    traces = traces_of(requests)
    records = decider.decide(at + 2 * WAIT)
    assert sorted(record.trace_id for record in records) == sorted(traces), "every trace is decided once"
    for record in records:
        trace = traces[record.trace_id]
        assert abs(record.size - received_bytes(trace)) <= BYTES_OFF * len({one.batch for one in trace.spans})
        naive.measure = lambda _, size=record.size: size  # type: ignore[misc]
        expected = naive.decide(trace, record.decided_at)
        assert decider.decision(record) == expected, told(naive.settings, trace, decider.decision(record), expected)
        assert record.spans == len(trace.spans)
        assert (record.trace_id in decider.exported) == record.keep


def told(made: TailSampling, trace: Trace, decision: Decision, expected: Decision) -> str:
    """A disagreement, so that somebody can see who is wrong."""
    policies = [
        f"{'*' if voted != wanted else ' '} {voted} instead of {wanted}: {json.dumps(generated.yaml_of(policy))}"
        for policy, voted, wanted in zip(made.policies, decision.votes, expected.votes, strict=True)
    ]
    spans = [text_format.MessageToString(part, as_one_line=True) for one in trace.spans for part in one[:3]]
    return "\n".join([f"{decision} is not {expected}, semantics {made.semantics}", *policies, *spans])


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("semantics", ["parity", "strict"])
@given(seed=seeds, policies=st.integers(1, 6), traces=st.integers(1, 8))
@settings(max_examples=100)
def test_policies_vote_as_the_naive_ones(semantics: str, form: str, seed: int, policies: int, traces: int) -> None:
    """Whatever the policies and the traces, every policy votes as its plain description says, and the right one decides."""
    draw = random.Random(seed)
    made = settings_of(draw, semantics, policies, limits=False)
    with kernel_form(form):
        check_round(Decider(made), Naive(made, generated.CONDITIONS), round_of(draw, 0, traces), 0.0)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("semantics", ["parity", "strict"])
@given(seed=seeds, policies=st.integers(1, 6), traces=st.integers(1, 8), waits=gaps)
@settings(max_examples=100)
def test_limits_let_pass_what_the_naive_ones_do(
    semantics: str, form: str, seed: int, policies: int, traces: int, waits: list[int]
) -> None:
    """Limiters and composites, however they are nested, give out the same tokens as time goes by."""
    draw = random.Random(seed)
    made = settings_of(draw, semantics, policies, limits=True)
    with kernel_form(form):
        decider, naive = Decider(made), Naive(made, generated.CONDITIONS)
        at = 0.0
        for number, wait in enumerate(waits):
            at += wait / 8
            check_round(decider, naive, round_of(draw, number, traces), at)
            at += 2 * WAIT
