"""Kept spans on their way to the exporters: one outbox each, and what becomes of what does not arrive. Pure.

A kept span goes to every exporter, and is counted exported or lost once for each of them. What a backend cannot take now is
tried again for as long as its retry settings say; a request that a backend refuses for good is cut in halves until the part
it objects to is alone, so that one bad trace costs no other. Nothing here knows why a trace was kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway import limits, metrics
from gateway.config.settings import Batch, Exporter, OtlpExporter, Queue, Retry
from gateway.core import Action, Cancel, Delivered, Failed, Failure, Level, Note, Send
from gateway.metrics import Tally
from gateway.outbox import Attempt, Outbox, Part
from sampler.kept import Piece

PART_BYTES = 280  # beside a part's body: the part, its place in the queue, its trace id, the body's head
_IDS_SHOWN = 5  # trace ids named in a note

_LOCAL_QUEUE = Queue(in_flight_max=1)  # lines of a file or a terminal come one after the other
_LOCAL_RETRY = Retry(elapsed_max=0.0)


class _Destination:
    """One exporter's outbox and bounds. A part's owner is its trace id."""

    __slots__ = ("name", "outbox", "requests_max", "timeout")

    def __init__(self, exporter: Exporter, batch: Batch) -> None:
        match exporter:
            case OtlpExporter():
                queue, retry, self.timeout = exporter.client.queue, exporter.client.retry, exporter.client.timeout
            case _:
                queue, retry, self.timeout = _LOCAL_QUEUE, _LOCAL_RETRY, limits.EXPORT_TIMEOUT
        self.name = exporter.name
        self.requests_max = queue.requests_max
        self.outbox: Outbox[bytes] = Outbox(
            exporter.name,
            in_flight_max=queue.in_flight_max,
            request_bytes_max=limits.EXPORT_REQUEST_BYTES_MAX,
            request_spans=batch.spans,
            request_spans_max=batch.spans_max,
            linger=batch.linger,
            retry=retry,
        )


class Exports:
    """All exporters of a sampler. Methods that can lose or send something return the actions to perform."""

    def __init__(self, exporters: Sequence[Exporter], batch: Batch, tally: Tally) -> None:
        assert exporters, "the configuration names at least one exporter"
        self._destinations = [_Destination(exporter, batch) for exporter in exporters]
        self._flying: dict[int, tuple[_Destination, int]] = {}  # by attempt, with the size of its copy
        self._flying_bytes = 0
        self._tally = tally
        self._attempt = 0
        self._parts = 0
        self.lost = 0
        """Spans given up so far."""

    @property
    def held(self) -> int:
        """Bytes held, bookkeeping included. A body shared by several exporters counts for each, and one that flies
        joined with others once more."""
        return (
            sum([destination.outbox.bytes for destination in self._destinations])
            + self._parts * PART_BYTES
            + self._flying_bytes
        )

    def full(self) -> str:
        """The name of an exporter that must not be given more; "" if there is none."""
        for destination in self._destinations:
            # a request has a part at least, and counting parts costs nothing
            if self._parts >= destination.requests_max and destination.outbox.requests >= destination.requests_max:
                return destination.name
        return ""

    def idle(self) -> bool:
        """Whether nothing is held."""
        return not self._parts

    def put(self, trace_id: bytes, pieces: Sequence[Piece], now: float) -> None:
        """Queue a kept trace's pieces for every exporter."""
        for destination in self._destinations:
            for body, spans in pieces:
                destination.outbox.put(Part(body, spans, trace_id), now)
        self._parts += len(pieces) * len(self._destinations)

    def send(self, now: float, *, flush: bool = False) -> list[Action]:
        """Everything that may leave now; with `flush` nothing waits for company."""
        actions: list[Action] = []
        for destination in self._destinations:
            while (attempt := destination.outbox.take(now, self._attempt + 1, flush=flush)) is not None:
                self._attempt = attempt.number
                copied = attempt.size if len(attempt.parts) > 1 else 0  # joined parts are there twice while they fly
                self._flying[attempt.number] = destination, copied
                self._flying_bytes += copied
                actions.append(
                    Send(attempt.number, destination.name, attempt.request, attempt.spans, destination.timeout)
                )
        return actions

    def _landed(self, attempt: int) -> _Destination | None:
        destination, size = self._flying.pop(attempt, (None, 0))
        self._flying_bytes -= size
        return destination

    def delivered(self, event: Delivered) -> list[Action]:
        """A backend has answered. Unknown attempts, given up before, change nothing."""
        destination = self._landed(event.attempt)
        if destination is None:
            return []
        attempt = destination.outbox.delivered(event.attempt)
        assert attempt is not None, "an attempt in flight is known to its outbox"
        self._parts -= len(attempt.parts)
        rejected = min(event.rejected_spans, attempt.spans)
        self._tally.add(metrics.SPANS_EXPORTED, attempt.spans - rejected, destination.name)
        if not rejected:
            return []
        self._tally.add(metrics.EXPORT_REJECTED, rejected, destination.name)
        fields: dict[str, object] = {"exporter": destination.name, "message": event.message}
        return [self._count_lost(rejected, "rejected_by_backend", [], fields)]

    def hasten(self, now: float) -> None:
        """The process is about to end: nothing rests for long any more."""
        for destination in self._destinations:
            destination.outbox.hasten(now, limits.DRAIN_RETRY_MAX)

    def failed(self, event: Failed, now: float) -> list[Action]:
        """A backend has not taken it: try again later, find what it objects to, or give up."""
        destination = self._landed(event.attempt)
        if destination is None:
            return []
        self._tally.add(metrics.EXPORTS_FAILED, 1, destination.name, event.failure.value)
        match event.failure:
            case Failure.REFUSED:
                return self._refused(destination, event, now)
            case Failure.UNREACHABLE | Failure.NO_ANSWER | Failure.RETRYABLE:
                attempt = destination.outbox.failed(event.attempt, now, event.retry_after)
                return self._give_up(destination, attempt, "retries_exhausted", event.reason) if attempt else []

    def _refused(self, destination: _Destination, event: Failed, now: float) -> list[Action]:
        attempt = destination.outbox.withdraw(event.attempt)
        assert attempt is not None, "an attempt in flight is known to its outbox"
        parts = attempt.parts
        if len(parts) == 1:
            return self._give_up(destination, attempt, "refused", event.reason)
        half = len(parts) // 2
        destination.outbox.requeue_apart([parts[:half], parts[half:]], now)
        return []

    def _give_up(self, destination: _Destination, attempt: Attempt[bytes], reason: str, message: str) -> list[Action]:
        self._parts -= len(attempt.parts)
        self._tally.add(metrics.EXPORT_GIVEN_UP, attempt.spans, destination.name)
        fields: dict[str, object] = {"reason": reason, "exporter": destination.name, "message": message}
        return [self._count_lost(attempt.spans, reason, [part.owner for part in attempt.parts], fields)]

    def unreadable(self, trace_id: bytes, spans: int) -> list[Action]:
        """Count kept spans that no backend could read, once for every exporter."""
        fields: dict[str, object] = {"reason": "unreadable", "message": "no backend could parse these spans"}
        lost = spans * len(self._destinations)
        return [self._count_lost(lost, "unreadable", [trace_id], fields)] if spans else []

    def abandon(self) -> list[Action]:
        """The time is over: everything still held is lost; nobody waits for what is in flight."""
        cancels: list[Action] = [Cancel(number) for number in self._flying]
        held = [(destination.name, destination.outbox.empty()) for destination in self._destinations]
        for name, parts in held:
            self._tally.add(metrics.EXPORT_GIVEN_UP, sum([part.spans for part in parts]), name)
        spans = sum([part.spans for _, parts in held for part in parts])
        owners = [part.owner for _, parts in held for part in parts]
        self._flying.clear()
        self._flying_bytes = 0
        self._parts = 0
        fields: dict[str, object] = {"reason": "drain", "exporters": [name for name, parts in held if parts]}
        return [*cancels, self._count_lost(spans, "drain", owners, fields)] if spans else cancels

    def _count_lost(self, spans: int, reason: str, owners: list[bytes], fields: dict[str, object]) -> Note:
        self.lost += spans
        self._tally.add(metrics.SPANS_LOST, spans, reason)
        traces = dict.fromkeys(owners)
        shown = [trace_id.hex() for trace_id in list(traces)[:_IDS_SHOWN]]
        return Note(Level.ERROR, "spans_lost", {**fields, "spans": spans, "traces": len(traces), "trace_ids": shown})

    def next_deadline(self) -> float | None:
        """When `send` may have something that it has not now."""
        times = [at for destination in self._destinations if (at := destination.outbox.next_deadline()) is not None]
        return min(times, default=None)

    def publish(self) -> None:
        """Set the gauges."""
        for destination in self._destinations:
            outbox = destination.outbox
            self._tally.set(metrics.OUTBOX_BYTES, outbox.bytes, destination.name)
            self._tally.set(metrics.OUTBOX_SPANS, outbox.spans, destination.name)
            self._tally.set(metrics.OUTBOX_IN_FLIGHT, outbox.in_flight, destination.name)
            self._tally.set(metrics.OUTBOX_REQUESTS, outbox.requests, destination.name)
            self._tally.set(metrics.OUTBOX_REQUESTS_MAX, destination.requests_max, destination.name)
