"""The Collector's names for what is counted here: existing dashboards and alerts go on working. Pure.

Owns the table: each of the Collector's metrics is read from our own instruments when somebody scrapes, and nothing is counted for
it. One that has no honest equivalent is in LEFT_OUT with the reason. Names are those of Collector v0.161.0; how they are written
to the page is gateway.net.admin's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gateway import metrics
from gateway.metrics import Histogram, Instrument, Kind, Tally

Series = Iterable[tuple[tuple[str, ...], float]]
"""Label values and value of each series."""

_MS = 1000.0  # a Collector's unit of latencies; ours is the second


@dataclass(frozen=True, slots=True)
class Alias:
    """A counter or gauge under the Collector's name, without any suffix. `read` gives its series."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    read: Callable[[Tally], Series]


@dataclass(frozen=True, slots=True)
class HistogramAlias:
    """A histogram under the Collector's name: `source` with values `scale` times as large.

    `groups` are the places of the labels of `source` that stay; series that differ only in the others are put together.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    source: Instrument
    scale: float = 1.0
    groups: tuple[int, ...] = ()

    @property
    def bounds(self) -> tuple[float, ...]:
        """The bounds, in the Collector's unit."""
        return tuple([round(bound * self.scale, 9) for bound in self.source.bounds])

    def read(self, tally: Tally) -> list[tuple[tuple[str, ...], Histogram]]:
        """Label values and content of each series."""
        merged: dict[tuple[str, ...], Histogram] = {}
        for labels, found in tally.histograms(self.source):
            key = tuple([labels[place] for place in self.groups])
            known = merged.get(key)
            counts = found.counts if known is None else tuple(map(sum, zip(known.counts, found.counts, strict=True)))
            merged[key] = Histogram(counts, found.sum * self.scale + (0.0 if known is None else known.sum))
        return list(merged.items())


Aliases = tuple[Alias | HistogramAlias, ...]

# ---------------------------------------------------------------- how they are read


def _total(instrument: Instrument) -> Callable[[Tally], Series]:
    """One series: the sum of all of ours."""
    return lambda tally: [((), tally.total(instrument))]


def _same(instrument: Instrument) -> Callable[[Tally], Series]:
    """Ours, label by label."""
    return lambda tally: tally.series(instrument)


def _under(labels: tuple[str, ...], read: Callable[[Tally], float]) -> Callable[[Tally], Series]:
    """One series with these label values."""
    return lambda tally: [(labels, read(tally))]


def _sums(named: Iterable[tuple[tuple[str, ...], float]]) -> Series:
    """Series of the same labels, added up."""
    sums: dict[tuple[str, ...], float] = {}
    for labels, value in named:
        sums[labels] = sums.get(labels, 0) + value
    return sums.items()


_VOTES = {"keep": ("true", "sampled"), "no": ("false", "not_sampled"), "drop": ("false", "dropped")}


def _votes(tally: Tally) -> Series:
    return [
        ((policy, *_VOTES[vote]), value)
        for (policy, vote), value in tally.series(metrics.POLICY_VOTES)
        if vote in _VOTES
    ]


def _decisions(tally: Tally) -> Series:
    """Who was dropped by a policy is told from whom no policy wanted by the policy's name."""
    decided = tally.series(metrics.TRACES_DECIDED)
    return _sums((_VOTES["keep" if said == "keep" else "drop" if by else "no"], n) for (said, by), n in decided)


def _executions(tally: Tally) -> Series:
    votes = tally.series(metrics.POLICY_VOTES)
    return _sums(((policy,), value) for (policy, vote), value in votes if vote != "skipped")


def _unsent(tally: Tally) -> Series:
    return _sums([*tally.series(metrics.EXPORT_GIVEN_UP), *tally.series(metrics.EXPORT_REJECTED)])


def _late(tally: Tally) -> Series:
    return [(("true" if said == "keep" else "false",), value) for (said,), value in tally.series(metrics.SPANS_LATE)]


def _never_enqueue_failed(tally: Tally) -> Series:
    return [(exporter, 0.0) for exporter, _ in tally.series(metrics.OUTBOX_REQUESTS)]


def _traces_of(instrument: Instrument) -> Callable[[Tally], Series]:
    """Ours by destination, with the data type that a Collector adds."""
    return lambda tally: [(("traces", name), value) for (name,), value in tally.series(instrument)]


def _outcomes(tally: Tally) -> Series:
    found = tally.histograms(metrics.FORWARD_SECONDS)
    return [((member, "true" if said == "accepted" else "false"), seen.count) for (member, said), seen in found]


def _resolutions(resolver: str) -> Callable[[Tally], Series]:
    def read(tally: Tally) -> Series:
        calls, failed = tally.get(metrics.LEASE_CALLS), tally.get(metrics.LEASE_FAILURES)
        if resolver == "static":  # resolved once, when the first and only view is made
            return [((resolver, "true"), tally.get(metrics.VIEWS_CHANGED))]
        return [((resolver, "true"), calls - failed), ((resolver, "false"), failed)]

    return read


# ---------------------------------------------------------------- the table


def _counter(name: str, help: str, read: Callable[[Tally], Series], *labels: str) -> Alias:
    return Alias(f"otelcol_{name}", Kind.COUNTER, help, labels, read)


def _gauge(name: str, help: str, read: Callable[[Tally], Series], *labels: str) -> Alias:
    return Alias(f"otelcol_{name}", Kind.GAUGE, help, labels, read)


_RECEIVERS: Aliases = (
    _counter(
        "receiver_accepted_spans", "Spans acknowledged.", _same(metrics.RECEIVER_ACCEPTED), "receiver", "transport"
    ),
    _counter("receiver_refused_spans", "Spans refused.", _same(metrics.RECEIVER_REFUSED), "receiver", "transport"),
)

_TAIL_SAMPLING: Aliases = (
    _counter(
        "processor_tail_sampling_count_traces_sampled",
        "Votes of each policy.",
        _votes,
        *("policy", "sampled", "decision"),
    ),
    _counter(
        "processor_tail_sampling_global_count_traces_sampled", "Traces decided.", _decisions, "sampled", "decision"
    ),
    _counter(
        "processor_tail_sampling_early_releases_from_cache_decision", "Late spans, by the decision.", _late, "sampled"
    ),
    _counter(
        "processor_tail_sampling_new_trace_id_received",
        "New traces taken into the buffer.",
        _total(metrics.TRACES_RECEIVED),
    ),
    HistogramAlias(
        "otelcol_processor_tail_sampling_sampling_decision_timer_latency",
        "One turn of deciding and sending, in ms.",
        (),
        metrics.TICK_SECONDS,
        _MS,
    ),
    HistogramAlias(
        "otelcol_processor_tail_sampling_sampling_late_span_age",
        "How long after the decision late spans came, in s.",
        (),
        metrics.LATE_SPAN_AGE,
    ),
    _counter(
        "processor_tail_sampling_sampling_policy_evaluation_error",
        "Votes that a policy could not give.",
        _total(metrics.POLICY_ERRORS),
    ),
    _counter(
        "processor_tail_sampling_sampling_policy_execution_count",
        "How often each policy was asked.",
        _executions,
        "policy",
    ),
    _counter(
        "processor_tail_sampling_sampling_trace_dropped_too_early",
        "Traces decided early because a bound was reached; none is dropped undecided.",
        _total(metrics.TRACES_EVICTED),
    ),
    _gauge("processor_tail_sampling_sampling_traces_on_memory", "Undecided traces.", _total(metrics.BUFFER_TRACES)),
    _counter(
        "processor_tail_sampling_traces_dropped_too_large",
        "Traces dropped because of their size.",
        _total(metrics.TRACES_TOO_LARGE),
    ),
)

_EXPORTERS: Aliases = (
    _counter("exporter_sent_spans", "Spans a backend has accepted.", _same(metrics.SPANS_EXPORTED), "exporter"),
    _counter("exporter_send_failed_spans", "Spans a backend did not take.", _unsent, "exporter"),
    _counter(
        "exporter_enqueue_failed_spans",
        "Always 0: before a queue is full, new spans are refused.",
        _never_enqueue_failed,
        "exporter",
    ),
    _gauge(
        "exporter_queue_size",
        "Requests waiting or in flight.",
        _traces_of(metrics.OUTBOX_REQUESTS),
        *("data_type", "exporter"),
    ),
    _gauge(
        "exporter_queue_capacity",
        "The bound of the queue.",
        _traces_of(metrics.OUTBOX_REQUESTS_MAX),
        *("data_type", "exporter"),
    ),
    _gauge(
        "exporter_in_flight_requests",
        "Requests in flight.",
        _traces_of(metrics.OUTBOX_IN_FLIGHT),
        *("data_type", "exporter"),
    ),
)

_FORWARDER = "load_balancing"
"""The label `exporter` of what a balancer forwards."""


def sampler() -> Aliases:
    """What a Collector with a tail_sampling pipeline shows."""
    return (*_RECEIVERS, *_TAIL_SAMPLING, *_EXPORTERS)


def loadbalancer(resolver: str) -> Aliases:
    """What a Collector with the load_balancing exporter shows; `resolver` is the label's value, "redis" or "static"."""
    return (
        *_RECEIVERS,
        _counter(
            "exporter_sent_spans",
            "Spans acknowledged by samplers.",
            _under((_FORWARDER,), lambda tally: tally.total(metrics.SPANS_FORWARDED)),
            "exporter",
        ),
        _counter(
            "exporter_send_failed_spans",
            "Spans refused by samplers; the client was told.",
            _under((_FORWARDER,), lambda tally: tally.get(metrics.SPANS_REJECTED, "sampler")),
            "exporter",
        ),
        _gauge(
            "exporter_in_flight_requests",
            "Requests in flight to samplers.",
            _under(("traces", _FORWARDER), lambda tally: tally.total(metrics.OUTBOX_IN_FLIGHT)),
            *("data_type", "exporter"),
        ),
        _counter(
            "loadbalancer_num_resolutions", "Readings of the view.", _resolutions(resolver), "resolver", "success"
        ),
        _gauge(
            "loadbalancer_num_backends",
            "Members that own traces.",
            _under((resolver,), lambda tally: tally.get(metrics.VIEW_MEMBERS, "active")),
            "resolver",
        ),
        _counter(
            "loadbalancer_num_backend_updates",
            "Views taken into force.",
            _under((resolver,), lambda tally: tally.get(metrics.VIEWS_CHANGED)),
            "resolver",
        ),
        HistogramAlias(
            "otelcol_loadbalancer_backend_latency",
            "From sending to an answer, in ms.",
            ("endpoint",),
            metrics.FORWARD_SECONDS,
            _MS,
            (0,),
        ),
        _counter("loadbalancer_backend_outcome", "Requests by what came of them.", _outcomes, "endpoint", "success"),
    )


PROCESS: tuple[tuple[str, Kind, str], ...] = (
    ("otelcol_process_cpu_seconds", Kind.COUNTER, "process_cpu_seconds"),
    ("otelcol_process_memory_rss", Kind.GAUGE, "process_resident_memory_bytes"),
    (
        "otelcol_process_uptime",
        Kind.COUNTER,
        "process_start_time_seconds",
    ),  # an instant: the uptime is what has passed since
)
"""What the process's own metrics are called by a Collector: its name, its kind, ours (without `_total`)."""

LEFT_OUT: dict[str, str] = {
    "processor_tail_sampling_sampling_trace_removal_age": "a trace leaves at its deadline; those evicted: traces_evicted_total",
    "processor_tail_sampling_count_spans_sampled": "behind a feature gate in a Collector; spans_{dropped,exported}_total",
    "processor_tail_sampling_count_bytes_sampled": "behind a feature gate in a Collector",
    "processor_tail_sampling_sampling_policy_execution_time_sum": "to time one policy would cost more than the policy",
    "receiver_failed_spans": "an error of our own ends the process; everything else is refused or accepted",
    "receiver_requests": "requests_received_total and requests_rejected_total{reason}",
    "exporter_enqueue_size": "what is queued is a trace, and its size no subject of alerts",
    "exporter_enqueue_size_bytes": "as exporter_enqueue_size; outbox_bytes is what a queue holds",
    "exporter_queue_batch_send_size": "shown by a Collector at level detailed only",
    "exporter_queue_batch_send_size_bytes": "shown by a Collector at level detailed only",
    "processor_incoming_items": "a Collector does not show it for tail_sampling either",
    "processor_outgoing_items": "a Collector does not show it for tail_sampling either",
    "processor_internal_duration": "a Collector does not show it for tail_sampling either",
    "processor_memory_limiter_accepted_spans": "there is one way in: otelcol_receiver_accepted_spans",
    "processor_memory_limiter_refused_spans": 'otelcol_receiver_refused_spans; requests_rejected_total{reason="memory"}',
    "processor_batch_batch_send_size": "batches are made in the exporter's queue",
    "processor_batch_batch_send_size_bytes": "batches are made in the exporter's queue",
    "processor_batch_batch_size_trigger_send": "batches are made in the exporter's queue",
    "processor_batch_timeout_trigger_send": "batches are made in the exporter's queue",
    "processor_batch_metadata_cardinality": "batches are made in the exporter's queue, whatever the metadata",
    "receiver.consumed.items": "shown by a Collector at level detailed only",
    "receiver.consumed.size": "shown by a Collector at level detailed only",
    "receiver.produced.items": "shown by a Collector at level detailed only",
    "receiver.produced.size": "shown by a Collector at level detailed only",
    "processor.consumed.items": "shown by a Collector at level detailed only",
    "processor.consumed.size": "shown by a Collector at level detailed only",
    "processor.produced.items": "shown by a Collector at level detailed only",
    "processor.produced.size": "shown by a Collector at level detailed only",
    "exporter.consumed.items": "shown by a Collector at level detailed only",
    "exporter.consumed.size": "shown by a Collector at level detailed only",
    "exporter.produced.items": "shown by a Collector at level detailed only",
    "exporter.produced.size": "shown by a Collector at level detailed only",
    "connector.consumed.items": "there are no connectors",
    "connector.consumed.size": "there are no connectors",
    "connector.produced.items": "there are no connectors",
    "connector.produced.size": "there are no connectors",
    "process_runtime_heap_alloc_bytes": "Go's heap; process_resident_memory_bytes is what the process takes",
    "process_runtime_total_alloc_bytes": "Go's allocator",
    "process_runtime_total_sys_memory_bytes": "Go's allocator; process_virtual_memory_bytes is what was asked of the system",
}
"""The Collector's metrics that are not shown, without their prefix, and why; metrics of ours without theirs."""
