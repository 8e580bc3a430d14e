"""The bench of adjusted counts: its population, its model and its estimator, and that it runs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench import population, probability
from bench.consistent import Model
from bench.population import Population, Trace
from bench.probability import MIXES, Mix, Result, UnstatedError, counted, in_standard_errors, measure, stated, verdict
from gateway.config.settings import PolicySettings
from sampler.stamp import stamp
from sampler.tracestate import NEVER, randomness_of, threshold_in, threshold_of

QUARTER = threshold_of(25)


def policy(type_: str, **values: object) -> PolicySettings:
    return PolicySettings(type_, type_, tuple(values.items()))


def arriving(traces: int = 200, head: int = 0, *, explicit: bool = False, seed: int = 1) -> Population:
    return Population(population.shapes(1, head=head, explicit=explicit), traces, seed, head=head, explicit=explicit)


@pytest.mark.parametrize(("head", "explicit"), [(0, False), (QUARTER, False), (0, True), (QUARTER, True)])
def test_what_is_sent_says_what_it_is(head: int, explicit: bool) -> None:
    """A trace's spans carry its id, its randomness where the id is none, and the head sampler's threshold."""
    people = arriving(head=head, explicit=explicit)
    for trace in people.arrivals():
        resources = ExportTraceServiceRequest.FromString(trace.encode()).resource_spans
        spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
        assert {span.trace_id for span in spans} == {trace.trace_id} and len(spans) == trace.shape.size
        states = [span.trace_state for span in spans]
        assert randomness_of(trace.trace_id, states) == trace.randomness >= head
        assert {threshold_in(state.encode()) for state in states} == {head or None}
        if explicit:
            assert randomness_of(trace.trace_id, []) < 200


def test_the_truth_counts_what_the_head_sampler_left_out() -> None:
    """The population is the same whoever samples it before; a quarter of it arrives."""
    whole, quarter = arriving(2000), arriving(2000, QUARTER)
    assert len(list(whole.arrivals())) == 2000
    assert 400 < len(list(quarter.arrivals())) < 600
    assert whole.truth().total() == pytest.approx(quarter.truth().total(), rel=0.1)


def test_the_model_keeps_at_the_smallest_threshold_that_said_keep() -> None:
    """An error trace is kept for certain, also where a probabilistic policy would have kept it."""
    half = threshold_of(50)
    model = Model([policy("probabilistic", sampling_percentage=50.0), policy("status_code", status_codes=("ERROR",))])
    for trace, threshold in model.run(arriving(3000).arrivals()):
        assert threshold == (0 if trace.shape.error else half)
        assert trace.shape.error or trace.randomness >= half


def test_the_model_of_a_limiter_keeps_the_highest_and_publishes_the_cut_off() -> None:
    """Of all that is due together the traces of high randomness are kept, within the tokens; all others lie below."""
    arrivals = list(arriving(200).arrivals())
    kept = list(Model([policy("rate_limiting", spans_per_second=100)]).run(iter(arrivals)))
    assert 150 < sum(trace.shape.size for trace, _ in kept) <= 200, "two seconds' worth is there at the start"
    (threshold,) = {threshold for _, threshold in kept}
    ids = {trace.trace_id for trace, _ in kept}
    assert all((trace.randomness >= threshold) == (trace.trace_id in ids) for trace in arrivals)


def test_a_trace_larger_than_the_burst_stops_nobody_else() -> None:
    """It never passes, and the cut-off is where the others' tokens end."""
    arrivals = list(arriving(200).arrivals())
    kept = list(Model([policy("rate_limiting", spans_per_second=10**5, burst_capacity=4)]).run(iter(arrivals)))
    assert {trace.shape.size for trace, _ in kept} <= {1, 2, 3, 4} and kept
    largest = max(arrivals, key=lambda trace: trace.shape.size)
    assert largest.shape.size > 4 and largest not in [trace for trace, _ in kept]


def test_the_model_of_and_keeps_at_the_largest_threshold() -> None:
    """Both parts have to keep; a limiter is charged for what the other part left it."""
    parts = (policy("rate_limiting", spans_per_second=10**6), policy("probabilistic", sampling_percentage=10.0))
    kept = list(Model([policy("and", and_sub_policy=parts)]).run(arriving(1000).arrivals()))
    assert kept and {threshold for _, threshold in kept} == {threshold_of(10)}


def test_a_span_counts_for_those_that_were_left_out() -> None:
    """A backend counts 4 for a span kept at 25 %, 1 for one kept for certain, and fails on one that states nothing."""
    (trace, *_) = arriving(1).arrivals()
    body = stamp(trace.encode(), trace.shape.size, threshold=QUARTER, attributes=())
    estimated, kept = counted(stated([body]))
    assert kept["all"] == trace.shape.size and estimated["all"] == 4 * trace.shape.size
    assert counted([("cart", 3, 0)])[0]["cart"] == 3
    with pytest.raises(UnstatedError, match="a kept span of frontend"):
        counted(stated([trace.encode()]))


@pytest.mark.parametrize("percentage", [1.0, 10.0, 50.0])
def test_an_estimator_of_a_known_share_is_right(percentage: float) -> None:
    """Over many rounds the model's estimates lie around the truth, as closely as chance allows."""
    results = measure("model", Mix("some", (policy("probabilistic", sampling_percentage=percentage),)), 2000, 20)
    whole = results[0]
    assert whole.service == "all" and abs(whole.z) < 4 and whole.kept == pytest.approx(percentage / 100, rel=0.2)


def test_a_wrong_threshold_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where spans state 12 % and 10 % were kept, the verdict is a bias."""
    mix = Mix("lies", (policy("probabilistic", sampling_percentage=10.0),))

    def lying(mix: Mix, arrivals: object) -> object:
        kept = Model(mix.policies).run(arrivals)
        return counted((name, n, threshold_of(12)) for trace, _ in kept for name, n in trace.shape.spans.items())

    monkeypatch.setitem(probability.SUBJECTS, "liar", lying)
    right, said = verdict(measure("liar", mix, 2000, 20))
    assert not right and said.endswith("BIASED")


def test_mixes_that_cannot_be_right_are_not_judged() -> None:
    """They are shown for what they do."""
    good = Result("core", "a", True, "all", 10, 10, 1, 0.0, 0.1, 0.3)
    bad = Result("core", "b", False, "all", 10, 5, 1, -0.5, 0.1, -50.0)
    assert verdict([good, bad])[0]


def test_standard_errors() -> None:
    """An error that is always the same is infinitely far from chance; one of rounding is none."""
    assert in_standard_errors(0.01, 0.05, 25) == pytest.approx(1.0)
    assert in_standard_errors(-0.01, 0.0, 25) == -math.inf and in_standard_errors(1e-16, 0.0, 25) == 0.0


def test_no_threshold_of_the_model_is_unreachable() -> None:
    """Whatever the mix, what is kept has randomness at or above its threshold."""
    for mix in MIXES:
        for trace, threshold in Model(mix.policies).run(arriving(300, seed=3).arrivals()):
            assert isinstance(trace, Trace) and 0 <= threshold <= trace.randomness < NEVER


@pytest.mark.parametrize("subject", ["core", "model"])
def test_a_tiny_run(subject: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mix is run, and every result written."""
    written = tmp_path / "results.json"
    assert probability.main(["--tiny", "--subjects", subject, "--json", str(written)]) == 0
    assert "\nchecksum" in capsys.readouterr().out
    found = json.loads(written.read_text())
    assert {result["mix"] for result in found["results"]} == {mix.name for mix in MIXES}
