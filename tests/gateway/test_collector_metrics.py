"""gateway.collector_metrics: a Collector's names for our counts, and which of them are left out."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import collector_metrics, metrics
from gateway.collector_metrics import Alias, Aliases, HistogramAlias
from gateway.metrics import Kind, Tally

OPERATING = Path(__file__).resolve().parents[2] / "docs" / "OPERATING.md"
PREFIX = "processor_tail_sampling_"

# Every metric that Collector v0.161.0 shows for such pipelines, at any level and behind any feature gate.
TAIL_SAMPLING = """
    count_traces_sampled count_spans_sampled count_bytes_sampled global_count_traces_sampled
    early_releases_from_cache_decision new_trace_id_received sampling_decision_timer_latency sampling_late_span_age
    sampling_policy_evaluation_error sampling_policy_execution_count sampling_policy_execution_time_sum
    sampling_trace_dropped_too_early sampling_trace_removal_age sampling_traces_on_memory traces_dropped_too_large
"""
OTHERS = """
    loadbalancer_num_resolutions loadbalancer_num_backends loadbalancer_num_backend_updates loadbalancer_backend_latency
    loadbalancer_backend_outcome receiver_accepted_spans receiver_refused_spans receiver_failed_spans receiver_requests
    exporter_sent_spans exporter_send_failed_spans exporter_enqueue_failed_spans exporter_queue_size
    exporter_queue_capacity exporter_in_flight_requests exporter_enqueue_size exporter_enqueue_size_bytes
    exporter_queue_batch_send_size exporter_queue_batch_send_size_bytes processor_incoming_items
    processor_outgoing_items processor_internal_duration processor_memory_limiter_accepted_spans
    processor_memory_limiter_refused_spans processor_batch_batch_send_size processor_batch_batch_send_size_bytes
    processor_batch_batch_size_trigger_send processor_batch_timeout_trigger_send processor_batch_metadata_cardinality
    receiver.consumed.items receiver.consumed.size receiver.produced.items receiver.produced.size
    processor.consumed.items processor.consumed.size processor.produced.items processor.produced.size
    exporter.consumed.items exporter.consumed.size exporter.produced.items exporter.produced.size
    connector.consumed.items connector.consumed.size connector.produced.items connector.produced.size
    process_cpu_seconds process_memory_rss process_runtime_heap_alloc_bytes process_runtime_total_alloc_bytes
    process_runtime_total_sys_memory_bytes process_uptime
"""
ALL = [*(PREFIX + name for name in TAIL_SAMPLING.split()), *OTHERS.split()]
BOTH: Aliases = (*collector_metrics.sampler(), *collector_metrics.loadbalancer("redis"))
SHOWN = {alias.name for alias in BOTH} | {name for name, *_ in collector_metrics.PROCESS}


def alias(name: str, aliases: Aliases = BOTH) -> Alias:
    found = next(each for each in aliases if each.name == f"otelcol_{name}")
    assert isinstance(found, Alias)
    return found


def histogram(name: str) -> HistogramAlias:
    found = next(each for each in BOTH if each.name == f"otelcol_{name}")
    assert isinstance(found, HistogramAlias)
    return found


def read(name: str, tally: Tally, aliases: Aliases = BOTH) -> dict[tuple[str, ...], float]:
    return dict(alias(name, aliases).read(tally))


@pytest.mark.parametrize("name", ALL)
def test_every_metric_of_a_collector_is_shown_or_left_out_with_a_reason(name: str) -> None:
    """There is no third way: a name is shown by a tier, or the table of those left out says why not, and docs say the same."""
    assert (f"otelcol_{name}" in SHOWN) != (name in collector_metrics.LEFT_OUT)
    assert f"| `{name}` |" in OPERATING.read_text()


def test_the_documentation_has_the_reasons() -> None:
    """docs/OPERATING.md gives each metric that is left out with its reason, word for word."""
    text = OPERATING.read_text()
    for name, reason in collector_metrics.LEFT_OUT.items():
        assert f"| `{name}` | – | {reason} |" in text


def test_nothing_is_named_twice() -> None:
    """Within a tier each name is there once, and nothing is both shown and left out or unknown to a Collector."""
    for aliases in (collector_metrics.sampler(), collector_metrics.loadbalancer("static")):
        names = [each.name for each in aliases]
        assert len(names) == len(set(names))
    assert {name.removeprefix("otelcol_") for name in SHOWN} | set(collector_metrics.LEFT_OUT) == set(ALL)


@pytest.mark.parametrize("each", BOTH, ids=lambda each: each.name)
def test_every_alias_fits_its_labels(each: Alias | HistogramAlias) -> None:
    """Whatever was counted, a series has a value for each of its labels, and counters never show less than nothing."""
    tally = Tally()
    for instrument in metrics.TABLE:
        labels = tuple(f"{instrument.name}-{label}" for label in instrument.labels)
        if instrument.kind is Kind.COUNTER:
            tally.add(instrument, 3, *labels)
        elif instrument.kind is Kind.GAUGE:
            tally.set(instrument, 3, *labels)
        else:
            tally.observe(instrument, 3, *labels)
    for labels, value in each.read(tally):
        assert len(labels) == len(each.labels)
        assert isinstance(each, HistogramAlias) or value >= 0  # type: ignore[operator]


def test_votes_and_decisions() -> None:
    """A vote and a decision are sampled, not sampled or dropped; who was asked without voting is not counted."""
    tally = Tally()
    for vote, times in (("keep", 5), ("no", 4), ("drop", 3), ("error", 2)):
        tally.add(metrics.POLICY_VOTES, times, "p", vote)
    tally.add(metrics.TRACES_DECIDED, 5, "keep", "p")
    tally.add(metrics.TRACES_DECIDED, 2, "keep", "q")
    tally.add(metrics.TRACES_DECIDED, 4, "drop", "")
    tally.add(metrics.TRACES_DECIDED, 3, "drop", "p")
    assert read(PREFIX + "count_traces_sampled", tally) == {
        ("p", "true", "sampled"): 5,
        ("p", "false", "not_sampled"): 4,
        ("p", "false", "dropped"): 3,
    }
    assert read(PREFIX + "sampling_policy_execution_count", tally) == {("p",): 14}
    assert read(PREFIX + "global_count_traces_sampled", tally) == {
        ("true", "sampled"): 7,
        ("false", "not_sampled"): 4,
        ("false", "dropped"): 3,
    }


def test_late_spans() -> None:
    """Late spans are early releases by the decision that they follow."""
    tally = Tally()
    tally.add(metrics.SPANS_LATE, 3, "keep")
    tally.add(metrics.SPANS_LATE, 2, "drop")
    assert read(PREFIX + "early_releases_from_cache_decision", tally) == {("true",): 3, ("false",): 2}


def test_counts_without_labels_are_there_from_the_start() -> None:
    """What an alert may rest on is 0 before anything has happened."""
    for name in ("new_trace_id_received", "sampling_trace_dropped_too_early", "sampling_traces_on_memory"):
        assert read(PREFIX + name, Tally()) == {(): 0}
    ((labels, empty),) = histogram(PREFIX + "sampling_decision_timer_latency").read(Tally())
    assert (labels, empty.count) == ((), 0)


def test_latencies_are_in_milliseconds() -> None:
    """A Collector's latencies are in ms, with its bounds; outcomes of one endpoint are one latency."""
    tally = Tally()
    tally.observe(metrics.FORWARD_SECONDS, 0.004, "s1", "accepted", count=3)
    tally.observe(metrics.FORWARD_SECONDS, 1.5, "s1", "failed")
    latency = histogram("loadbalancer_backend_latency")
    assert latency.bounds == (5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
    ((labels, found),) = latency.read(tally)
    assert labels == ("s1",)
    assert found.counts == (3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0)
    assert found.sum == pytest.approx(1512.0)
    assert read("loadbalancer_backend_outcome", tally) == {("s1", "true"): 3, ("s1", "false"): 1}
    ticks = histogram(PREFIX + "sampling_decision_timer_latency").bounds
    assert (len(ticks), ticks[0], ticks[-1]) == (23, 1, 50000)


def test_resolutions() -> None:
    """Each call of the lease store is a resolution, by its success; a static list is resolved once."""
    tally = Tally()
    tally.add(metrics.LEASE_CALLS, 5)
    tally.add(metrics.LEASE_FAILURES, 2)
    tally.add(metrics.VIEWS_CHANGED)
    tally.set(metrics.VIEW_MEMBERS, 3, "active")
    assert read("loadbalancer_num_resolutions", tally) == {("redis", "true"): 3, ("redis", "false"): 2}
    static = collector_metrics.loadbalancer("static")
    assert read("loadbalancer_num_resolutions", tally, static) == {("static", "true"): 1}
    assert read("loadbalancer_num_backends", tally, static) == {("static",): 3}
    assert read("loadbalancer_num_backend_updates", tally) == {("redis",): 1}


def test_exporters() -> None:
    """What a backend did not take failed to be sent, whole or in part; nothing ever fails to be queued."""
    tally = Tally()
    tally.add(metrics.SPANS_EXPORTED, 9, "otlp")
    tally.add(metrics.EXPORT_GIVEN_UP, 4, "otlp")
    tally.add(metrics.EXPORT_REJECTED, 1, "otlp")
    tally.set(metrics.OUTBOX_REQUESTS, 2, "otlp")
    tally.set(metrics.OUTBOX_REQUESTS_MAX, 1000, "otlp")
    assert read("exporter_sent_spans", tally, collector_metrics.sampler()) == {("otlp",): 9}
    assert read("exporter_send_failed_spans", tally) == {("otlp",): 5}
    assert read("exporter_enqueue_failed_spans", tally) == {("otlp",): 0}
    assert read("exporter_queue_size", tally) == {("traces", "otlp"): 2}
    assert read("exporter_queue_capacity", tally) == {("traces", "otlp"): 1000}
    balancer = collector_metrics.loadbalancer("redis")
    tally.add(metrics.SPANS_FORWARDED, 3, "s1")
    tally.add(metrics.SPANS_FORWARDED, 4, "s2")
    assert read("exporter_sent_spans", tally, balancer) == {("load_balancing",): 7}
