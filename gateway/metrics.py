"""Every instrument, declared in one table, and the tally that cores count in.

A core counts with plain dictionary additions, a few per request; publishing is the shell's business (gateway.net.admin).
Names carry the prefix `tailgate_` and the glossary's nouns; counters end in `_total`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass


class Kind(enum.Enum):
    """What a number means over time."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, eq=False)
class Instrument:
    """One metric: its full name, kind, label names in order, and what it says."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()


def _counter(name: str, help: str, *labels: str) -> Instrument:
    return Instrument(f"tailgate_{name}_total", Kind.COUNTER, help, labels)


def _gauge(name: str, help: str, *labels: str) -> Instrument:
    return Instrument(f"tailgate_{name}", Kind.GAUGE, help, labels)


REQUESTS_RECEIVED = _counter("requests_received", "Export requests received, whatever became of them.")
REQUESTS_REJECTED = _counter("requests_rejected", "Export requests refused whole; the client was told.", "reason")
SPANS_RECEIVED = _counter("spans_received", "Spans in requests that could be read.")
SPANS_ACCEPTED = _counter("spans_accepted", "Spans acknowledged to the client.")
SPANS_REJECTED = _counter("spans_rejected", "Spans refused; the client was told in a partial success.", "reason")
SPANS_FORWARDED = _counter("spans_forwarded", "Spans acknowledged by a sampler.", "member")
FORWARDS_FAILED = _counter("forwards_failed", "Forwarded requests that a sampler did not accept.", "member", "failure")
PARTS_REROUTED = _counter("parts_rerouted", "Parts of requests sent again, by the newest view, after a failure.")
SPANS_DROPPED = _counter("spans_dropped", "Spans decided against by the policies, late ones included.")
SPANS_EXPORTED = _counter("spans_exported", "Spans a backend has accepted.", "exporter")
SPANS_LOST = _counter("spans_lost", "Spans accepted, then neither exported nor dropped. Alert on any.", "reason")
SPANS_LATE = _counter("spans_late", "Spans of traces already decided; they follow the decision.", "decision")
SPANS_DUPLICATE = _counter("spans_duplicate", "Spans received again and discarded.")
EXPORTS_FAILED = _counter("exports_failed", "Export requests that a backend did not accept.", "exporter", "failure")
EXPORT_REJECTED = _counter("export_spans_rejected", "Spans a backend refused in a partial success.", "exporter")
TRACES_RECEIVED = _counter("traces_received", "New traces taken into the buffer.")
TRACES_DECIDED = _counter("traces_decided", "Traces decided; policy is the deciding one.", "decision", "policy")
TRACES_EVICTED = _counter("traces_evicted", "Traces decided early because a bound was reached.", "bound")
POLICY_ERRORS = _counter(
    "policy_errors", "Verdicts that a policy could not give; it had no say in the decision.", "policy"
)
VIEWS_CHANGED = _counter("views_changed", "Views taken into force.")
LEASE_FAILURES = _counter("lease_store_failures", "Calls to the lease store that failed.")
WORKER_RESTARTS = _counter("worker_restarts", "Times the parent process started a worker again.", "worker")

BUFFER_BYTES = _gauge("buffer_bytes", "Bytes held by undecided traces, bookkeeping included.")
BUFFER_BYTES_MAX = _gauge("buffer_bytes_max", "The buffer's budget.")
BUFFER_TRACES = _gauge("buffer_traces", "Undecided traces.")
BUFFER_SPANS = _gauge("buffer_spans", "Undecided spans.")
DECISIONS_REMEMBERED = _gauge("decisions_remembered", "Past decisions remembered for late spans.", "decision")
OUTBOX_BYTES = _gauge("outbox_bytes", "Bytes waiting for, or in flight to, a destination.", "destination")
OUTBOX_SPANS = _gauge("outbox_spans", "Spans waiting for, or in flight to, a destination.", "destination")
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


class Tally:
    """Counts and gauges of one process, by instrument and label values. Label values are given in the declared order."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        self._values: dict[tuple[Instrument, tuple[str, ...]], float] = {}

    def add(self, instrument: Instrument, amount: float = 1, *labels: str) -> None:
        """Raise a counter."""
        assert instrument.kind is Kind.COUNTER and len(labels) == len(instrument.labels), instrument.name
        key = (instrument, labels)
        self._values[key] = self._values.get(key, 0) + amount

    def set(self, instrument: Instrument, value: float, *labels: str) -> None:
        """Set a gauge."""
        assert instrument.kind is Kind.GAUGE and len(labels) == len(instrument.labels), instrument.name
        self._values[instrument, labels] = value

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

    def __iter__(self) -> Iterator[tuple[Instrument, tuple[str, ...], float]]:
        for (instrument, labels), value in self._values.items():
            yield instrument, labels, value
