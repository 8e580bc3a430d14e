"""Every instrument, declared in one table, and the tally that cores count in.

A core counts with plain dictionary additions, a few per request; publishing is the shell's business (gateway.net.admin).
Names carry the prefix `tailgate_` and the glossary's nouns; counters end in `_total`. What a Collector calls the same numbers is
gateway.collector_metrics' subject: nothing is counted under its names.
"""

from __future__ import annotations

import enum
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass


class Kind(enum.Enum):
    """What a number means over time."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One metric: its full name, kind, label names in order, and what it says.

    `bounds` are a histogram's: rising, each the largest value of its bucket; one more bucket holds what is larger.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()


def _counter(name: str, help: str, *labels: str) -> Instrument:
    return Instrument(f"tailgate_{name}_total", Kind.COUNTER, help, labels)


def _gauge(name: str, help: str, *labels: str) -> Instrument:
    return Instrument(f"tailgate_{name}", Kind.GAUGE, help, labels)


def _histogram(name: str, help: str, bounds: tuple[float, ...], *labels: str) -> Instrument:
    return Instrument(f"tailgate_{name}", Kind.HISTOGRAM, help, labels, bounds)


# Seconds. Where a Collector has a histogram of the same thing, its bounds are among ours, so that its queries go on working.
_FORWARD_BOUNDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_TICK_BOUNDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75),
    *(1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0, 30.0, 50.0),
)
_AGE_BOUNDS = (
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0),
    *(1000.0, 2500.0, 5000.0, 7500.0, 10000.0),
)


REQUESTS_RECEIVED = _counter("requests_received", "Export requests received, whatever became of them.")
REQUESTS_REJECTED = _counter("requests_rejected", "Export requests refused whole; the client was told.", "reason")
SPANS_RECEIVED = _counter("spans_received", "Spans in requests that could be read.")
SPANS_ACCEPTED = _counter("spans_accepted", "Spans acknowledged to the client.")
SPANS_REJECTED = _counter("spans_rejected", "Spans refused; the client was told in a partial success.", "reason")
SPANS_FORWARDED = _counter("spans_forwarded", "Spans acknowledged by a sampler.", "member")
FORWARDS_FAILED = _counter("forwards_failed", "Forwarded requests that a sampler did not accept.", "member", "failure")
FORWARD_SECONDS = _histogram(
    "forward_seconds",
    "From sending a request to a sampler until it answered or was given up.",
    _FORWARD_BOUNDS,
    "member",
    "outcome",
)
PARTS_REROUTED = _counter("parts_rerouted", "Parts of requests sent again, by the newest view, after a failure.")
SPANS_DROPPED = _counter("spans_dropped", "Spans decided against by the policies, late ones included.")
SPANS_EXPORTED = _counter("spans_exported", "Spans a backend has accepted.", "exporter")
SPANS_LOST = _counter("spans_lost", "Spans accepted, then neither exported nor dropped. Alert on any.", "reason")
SPANS_LATE = _counter("spans_late", "Spans of traces already decided; they follow the decision.", "decision")
LATE_SPAN_AGE = _histogram(
    "late_span_age_seconds", "How long after its trace's decision a late span came.", _AGE_BOUNDS
)
SPANS_DUPLICATE = _counter("spans_duplicate", "Spans received again and discarded.")
EXPORTS_FAILED = _counter("exports_failed", "Export requests that a backend did not accept.", "exporter", "failure")
EXPORT_REJECTED = _counter("export_spans_rejected", "Spans a backend refused in a partial success.", "exporter")
EXPORT_GIVEN_UP = _counter("export_spans_given_up", "Spans lost because a backend did not take them.", "exporter")
RECEIVER_ACCEPTED = _counter("receiver_spans_accepted", "Spans acknowledged, by way in.", "receiver", "transport")
RECEIVER_REFUSED = _counter(
    "receiver_spans_refused",
    "Spans refused, by way in; a request refused unread counts as one.",
    "receiver",
    "transport",
)
TRACES_RECEIVED = _counter("traces_received", "New traces taken into the buffer.")
TRACES_DECIDED = _counter(
    "traces_decided",
    "Traces decided; policy is the deciding one, empty where none wanted the trace.",
    "decision",
    "policy",
)
TRACES_TOO_LARGE = _counter("traces_too_large", "Traces dropped because they outgrew maximum_trace_size_bytes.")
POLICY_VOTES = _counter("policy_votes", "What each policy said to the traces it was asked about.", "policy", "vote")
TICK_SECONDS = _histogram(
    "tick_seconds", "One turn at a deadline: deciding what is due and sending what may leave.", _TICK_BOUNDS
)
TRACES_EVICTED = _counter("traces_evicted", "Traces decided early because a bound was reached.", "bound")
POLICY_ERRORS = _counter(
    "policy_errors", "Votes that a policy could not give; it had no say in the decision.", "policy"
)
VIEWS_CHANGED = _counter("views_changed", "Views taken into force.")
LEASE_CALLS = _counter("lease_store_calls", "Calls of the lease store.")
LEASE_FAILURES = _counter("lease_store_failures", "Calls to the lease store that failed.")
WORKER_RESTARTS = _counter("worker_restarts", "Times the parent process started a worker again.", "worker")

BUFFER_BYTES = _gauge("buffer_bytes", "Bytes held by undecided traces, bookkeeping included.")
BUFFER_BYTES_MAX = _gauge("buffer_bytes_max", "The buffer's budget.")
BUFFER_TRACES = _gauge("buffer_traces", "Undecided traces.")
BUFFER_SPANS = _gauge("buffer_spans", "Undecided spans.")
DECISIONS_REMEMBERED = _gauge("decisions_remembered", "Past decisions remembered for late spans.", "decision")
OUTBOX_BYTES = _gauge("outbox_bytes", "Bytes waiting for, or in flight to, a destination.", "destination")
OUTBOX_SPANS = _gauge("outbox_spans", "Spans waiting for, or in flight to, a destination.", "destination")
OUTBOX_REQUESTS = _gauge("outbox_requests", "Requests waiting for, or in flight to, a destination.", "destination")
OUTBOX_REQUESTS_MAX = _gauge("outbox_requests_max", "The bound of outbox_requests.", "destination")
OUTBOX_IN_FLIGHT = _gauge("outbox_in_flight", "Requests in flight to a destination.", "destination")
BALANCER_BYTES = _gauge("balancer_bytes", "Bytes held between receipt and acknowledgement.")
BALANCER_BYTES_MAX = _gauge("balancer_bytes_max", "The bound of balancer_bytes.")
MEMBERS_AVOIDED = _gauge("members_avoided", "Members of the view that are routed around on direct evidence.")
VIEW_EPOCH = _gauge("view_epoch", "Epoch of the view in force.")
VIEW_INFO = _gauge("view_info", "Always 1; the digest of the view in force. Alert when replicas differ.", "digest")
VIEW_MEMBERS = _gauge("view_members", "Members of the view in force.", "state")
LEASE_AGE = _gauge("lease_age_seconds", "Seconds since the lease store last answered.")
READY = _gauge("ready", "1 when readiness would answer 200.")
WORKER_UP = _gauge("worker_up", "1 if the worker answered the parent process for this scrape.", "worker")
BUILD_INFO = _gauge("build_info", "Always 1; the version and the kernel in use.", "version", "kernel", "tier")

TABLE: tuple[Instrument, ...] = tuple(value for value in list(globals().values()) if isinstance(value, Instrument))


@dataclass(frozen=True, slots=True)
class Histogram:
    """What was observed: how many values in each bucket (one more than the instrument's bounds), and their sum."""

    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)


class _Cells:
    """One histogram while it is counted in."""

    __slots__ = ("counts", "sum")

    def __init__(self, buckets: int) -> None:
        self.counts = [0] * buckets
        self.sum = 0.0


class Tally:
    """Counts and gauges of one process, by instrument and label values. Label values are given in the declared order."""

    __slots__ = ("_cells", "_values")

    def __init__(self) -> None:
        self._values: dict[tuple[Instrument, tuple[str, ...]], float] = {}
        self._cells: dict[tuple[Instrument, tuple[str, ...]], _Cells] = {}

    def add(self, instrument: Instrument, amount: float = 1, *labels: str) -> None:
        """Raise a counter."""
        assert instrument.kind is Kind.COUNTER and len(labels) == len(instrument.labels), instrument.name
        key = (instrument, labels)
        self._values[key] = self._values.get(key, 0) + amount

    def set(self, instrument: Instrument, value: float, *labels: str) -> None:
        """Set a gauge."""
        assert instrument.kind is Kind.GAUGE and len(labels) == len(instrument.labels), instrument.name
        self._values[instrument, labels] = value

    def observe(self, instrument: Instrument, value: float, *labels: str, count: int = 1) -> None:
        """Count a value in a histogram, `count` times."""
        assert instrument.kind is Kind.HISTOGRAM and len(labels) == len(instrument.labels), instrument.name
        cells = self._cells.get((instrument, labels))
        if cells is None:
            cells = self._cells[instrument, labels] = _Cells(len(instrument.bounds) + 1)
        cells.counts[bisect_left(instrument.bounds, value)] += count
        cells.sum += value * count

    def clear(self, instrument: Instrument) -> None:
        """Forget a gauge's values, before setting it for other labels."""
        for key in [key for key in self._values if key[0] is instrument]:
            del self._values[key]

    def get(self, instrument: Instrument, *labels: str) -> float:
        """The value now; 0 if never counted."""
        return self._values.get((instrument, labels), 0)

    def total(self, instrument: Instrument) -> float:
        """The sum over all label values."""
        return sum(value for (which, _), value in self._values.items() if which is instrument)

    def series(self, instrument: Instrument) -> list[tuple[tuple[str, ...], float]]:
        """Label values and value of each series of a counter or gauge."""
        return [(labels, value) for (which, labels), value in self._values.items() if which is instrument]

    def histograms(self, instrument: Instrument) -> list[tuple[tuple[str, ...], Histogram]]:
        """Label values and content of each series of a histogram; one without labels is there from the start."""
        found = [
            (labels, Histogram(tuple(cells.counts), cells.sum))
            for (which, labels), cells in self._cells.items()
            if which is instrument
        ]
        if not found and not instrument.labels:
            found.append(((), Histogram((0,) * (len(instrument.bounds) + 1), 0.0)))
        return found

    def __iter__(self) -> Iterator[tuple[Instrument, tuple[str, ...], float]]:
        """Every series of the counters and gauges."""
        for (instrument, labels), value in self._values.items():
            yield instrument, labels, value
