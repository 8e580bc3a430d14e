"""One destination: what waits for it, what is in flight, when a failed attempt is tried again. Pure.

Parts accumulate while the destination is busy and leave together: no added delay when it is idle, large requests under load.
The outbox knows nothing of OTLP but that requests concatenate, and nothing of what a part means to its owner.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from typing import Generic, TypeVar

from xxhash import xxh3_64_intdigest

from gateway import limits
from gateway.config.settings import Retry

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Part(Generic[T]):
    """Bytes that stay together. `owner` is the caller's own; the outbox hands it back and never looks at it."""

    body: bytes
    spans: int
    owner: T


@dataclass(slots=True, eq=False)
class Attempt(Generic[T]):
    """Parts on their way as one request."""

    number: int
    parts: list[Part[T]]
    size: int
    spans: int
    first_at: float  # when these parts were first sent
    sent_at: float
    tries: int = 1

    @property
    def request(self) -> bytes:
        """The request's bytes."""
        return self.parts[0].body if len(self.parts) == 1 else b"".join([part.body for part in self.parts])


class Outbox(Generic[T]):
    """The queue, the attempts in flight and the attempts waiting to be tried again, for one destination.

    `request_spans` lets waiting parts leave before their `linger` is over; `request_spans_max` bounds the spans of a request
    (0: no bound). A part larger than a bound leaves alone. Without `retry` a failed attempt goes back to the caller at once.
    """

    def __init__(
        self,
        name: str,
        *,
        in_flight_max: int,
        request_bytes_max: int,
        request_spans: int = 0,
        request_spans_max: int = 0,
        linger: float = 0.0,
        retry: Retry | None = None,
    ) -> None:
        assert in_flight_max >= 1 and request_bytes_max >= 1
        self.name = name
        self.bytes = 0  # of all parts held: waiting, in flight or waiting to be tried again
        self.spans = 0
        self._in_flight_max = in_flight_max
        self._request_bytes_max = request_bytes_max
        self._request_spans = request_spans
        self._request_spans_max = request_spans_max
        self._linger = linger
        self._retry = retry
        self._apart: deque[list[Part[T]]] = deque()  # groups that leave as they are, before all others
        self._waiting: deque[tuple[float, Part[T]]] = deque()  # (when it may leave at the latest, part)
        self._waiting_bytes = 0
        self._waiting_spans = 0
        self._flying: dict[int, Attempt[T]] = {}
        self._resting: dict[int, Attempt[T]] = {}  # failed attempts, by the number under which they failed
        self._pause_max = math.inf
        self._due: list[tuple[float, int]] = []  # heap: when each of them is tried again

    @property
    def in_flight(self) -> int:
        """How many requests are on the wire."""
        return len(self._flying)

    @property
    def requests(self) -> int:
        """How many requests are held, the waiting parts counted as the requests they would make."""
        by_bytes = -(-self._waiting_bytes // self._request_bytes_max)
        by_spans = -(-self._waiting_spans // self._request_spans_max) if self._request_spans_max else 0
        return len(self._flying) + len(self._resting) + len(self._apart) + max(by_bytes, by_spans)

    def put(self, part: Part[T], now: float) -> None:
        """Queue a part. Bounds are the caller's to check (`bytes`, `requests`) before it accepts what it puts here."""
        self.bytes += len(part.body)
        self.spans += part.spans
        self._waiting_bytes += len(part.body)
        self._waiting_spans += part.spans
        self._waiting.append((now + self._linger, part))

    def requeue_apart(self, groups: list[list[Part[T]]], now: float) -> None:
        """Queue each group as a request of its own, ahead of all others: parts that must not share a request again."""
        for group in groups:
            self.bytes += sum(len(part.body) for part in group)
            self.spans += sum(part.spans for part in group)
            self._apart.append(group)

    def take(self, now: float, number: int, *, flush: bool = False) -> Attempt[T] | None:
        """The next request to send now, as attempt `number`; None if nothing may leave. Call again until None.

        Attempts due to be tried again go first, under a new number. `flush` ignores the linger (drain).
        """
        if len(self._flying) >= self._in_flight_max:
            return None
        attempt = self._due_again(now, number) or self._next(now, number, flush)
        if attempt is not None:
            self._flying[number] = attempt
        return attempt

    def _due_again(self, now: float, number: int) -> Attempt[T] | None:
        at, old = self._first_resting()
        if at > now:
            return None
        attempt = self._resting.pop(old)
        attempt.number, attempt.sent_at, attempt.tries = number, now, attempt.tries + 1
        return attempt

    def _first_resting(self) -> tuple[float, int]:
        """When the next failed attempt is due, and its number; (infinity, 0) if none rests."""
        while self._due and self._due[0][1] not in self._resting:  # withdrawn meanwhile
            heappop(self._due)
        return self._due[0] if self._due else (math.inf, 0)

    def _next(self, now: float, number: int, flush: bool) -> Attempt[T] | None:
        if self._apart:
            parts = self._apart.popleft()
        elif self._waiting and (flush or self._waiting[0][0] <= now or self._full()):
            parts = self._gather()
        else:
            return None
        size, spans = sum([len(part.body) for part in parts]), sum([part.spans for part in parts])
        return Attempt(number, parts, size, spans, now, now)

    def _full(self) -> bool:
        enough = bool(self._request_spans) and self._waiting_spans >= self._request_spans
        return enough or self._waiting_bytes >= self._request_bytes_max

    def _gather(self) -> list[Part[T]]:
        parts: list[Part[T]] = []
        size = spans = 0
        while self._waiting:
            part = self._waiting[0][1]
            over = size + len(part.body) > self._request_bytes_max
            over = over or 0 < self._request_spans_max < spans + part.spans
            if parts and over:
                break
            self._waiting.popleft()
            parts.append(part)
            size += len(part.body)
            spans += part.spans
            if self._linger and self._request_spans and spans >= self._request_spans:
                break
        self._waiting_bytes -= size
        self._waiting_spans -= spans
        return parts

    def delivered(self, number: int) -> Attempt[T] | None:
        """The attempt succeeded and is forgotten; None if it is not known (any more)."""
        return self._release(self._flying.pop(number, None))

    def failed(self, number: int, now: float, retry_after: float | None = None) -> Attempt[T] | None:
        """The attempt failed but may be tried again. Returns it when it is given up: the caller answers for its parts.

        Otherwise it waits for its back-off, at least for `retry_after`, at most until the time for retries is over, when it is
        tried once more; None is returned.
        """
        attempt = self._flying.pop(number, None)
        if attempt is None:
            return None
        retry = self._retry
        if retry is None or not retry.enabled:
            return self._release(attempt)
        left = attempt.first_at + retry.elapsed_max - now if retry.elapsed_max else limits.RETRY_ELAPSED_MAX
        if left <= 0:
            return self._release(attempt)
        pause = min(max(self._pause(retry, attempt), retry_after or 0.0), left, self._pause_max)
        self._resting[number] = attempt
        heappush(self._due, (now + pause, number))
        return None

    def _pause(self, retry: Retry, attempt: Attempt[T]) -> float:
        pause = retry.initial
        for _ in range(attempt.tries - 1):
            pause = min(pause * retry.multiplier, retry.max)
            if pause == retry.max:
                break
        # Jitter without dice: spread by a hash of who tries what for the how-manieth time. (A CRC bunches consecutive numbers.)
        spread = xxh3_64_intdigest(f"{self.name}/{attempt.number}/{attempt.tries}".encode()) / 0xFFFFFFFFFFFFFFFF
        return pause * (1 + retry.jitter * (2 * spread - 1))

    def hasten(self, now: float, pause_max: float) -> None:
        """From now on no attempt rests longer than `pause_max`: there is little time left to deliver anything."""
        self._pause_max = pause_max
        self._due = [(min(at, now + pause_max), number) for at, number in self._due]
        heapify(self._due)

    def withdraw(self, number: int) -> Attempt[T] | None:
        """Take the attempt out, whatever happened to it; None if it is not known."""
        attempt = self._flying.pop(number, None)
        if attempt is None and number in self._resting:
            attempt = self._resting.pop(number)
        return self._release(attempt)

    def discard(self, unwanted: Callable[[T], bool]) -> list[Part[T]]:
        """Take out the waiting parts whose owner is unwanted, also of groups apart; what is in flight is not touched."""
        apart = [part for group in self._apart for part in group if unwanted(part.owner)]
        waiting = [part for _, part in self._waiting if unwanted(part.owner)]
        if apart:
            groups = [[part for part in group if not unwanted(part.owner)] for group in self._apart]
            self._apart = deque(group for group in groups if group)
        if waiting:
            self._waiting = deque((at, part) for at, part in self._waiting if not unwanted(part.owner))
            self._waiting_bytes -= sum(len(part.body) for part in waiting)
            self._waiting_spans -= sum(part.spans for part in waiting)
        for part in apart + waiting:
            self.bytes -= len(part.body)
            self.spans -= part.spans
        return apart + waiting

    def empty(self) -> list[Part[T]]:
        """Take everything out: waiting, in flight, waiting to be tried again."""
        attempts = [*self._flying.values(), *self._resting.values()]
        parts = [part for attempt in attempts for part in attempt.parts]
        parts += [part for group in self._apart for part in group]
        parts += [part for _, part in self._waiting]
        self._flying.clear()
        self._resting.clear()
        self._apart.clear()
        self._waiting.clear()
        self.bytes = self.spans = self._waiting_bytes = self._waiting_spans = 0
        return parts

    def next_deadline(self) -> float | None:
        """When `take` may have something that it has not now; None while only an answer can change that."""
        if len(self._flying) >= self._in_flight_max:
            return None
        at = min(self._first_resting()[0], self._waiting[0][0] if self._waiting else math.inf)
        return None if at == math.inf else at

    def _release(self, attempt: Attempt[T] | None) -> Attempt[T] | None:
        if attempt is not None:
            self.bytes -= attempt.size
            self.spans -= attempt.spans
        return attempt
