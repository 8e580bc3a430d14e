"""One destination: what waits for it, what is in flight, when a failed attempt is tried again. Pure.

Parts accumulate while the destination is busy and leave together: no added delay when it is idle, large requests under load.
The outbox knows nothing of OTLP but that requests concatenate, and nothing of what a part means to its owner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

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
        return b"".join([part.body for part in self.parts])


class Outbox(Generic[T]):
    """The queue, the attempts in flight and the attempts waiting to be tried again, for one destination."""

    bytes: int  # of all parts held: waiting, in flight or waiting to be tried again
    spans: int
    in_flight: int

    def __init__(
        self,
        name: str,
        *,
        in_flight_max: int,
        request_bytes_max: int,
        request_spans: int = 0,  # with linger: leave at once when so many spans wait; 0: no such trigger
        request_spans_max: int = 0,  # never more spans than this in a request, unless one part has more; 0: no bound
        linger: float = 0.0,  # how long a part may wait for company while nothing forces it out
        retry: Retry | None = None,  # None: a failed attempt goes back to the caller at once
    ) -> None:
        raise NotImplementedError

    def put(self, part: Part[T], now: float) -> None:
        """Queue a part. Bounds are the caller's to check (`bytes`, `requests`) before it accepts what it puts here."""
        raise NotImplementedError

    @property
    def requests(self) -> int:
        """How many requests are held, the waiting parts counted as the requests they would make."""
        raise NotImplementedError

    def take(self, now: float, number: int, *, flush: bool = False) -> Attempt[T] | None:
        """The next request to send now, as attempt `number`; None if nothing may leave. Call again until None.

        Attempts due to be tried again go first, under a new number. `flush` ignores the linger (drain).
        """
        raise NotImplementedError

    def delivered(self, number: int) -> Attempt[T] | None:
        """The attempt succeeded and is forgotten; None if it is not known (any more)."""
        raise NotImplementedError

    def failed(self, number: int, now: float, retry_after: float | None = None) -> Attempt[T] | None:
        """The attempt failed but may be tried again. Returns it when it is given up: the caller answers for its parts.

        Otherwise it waits for its back-off (at least `retry_after`) and None is returned.
        """
        raise NotImplementedError

    def withdraw(self, number: int) -> Attempt[T] | None:
        """Take the attempt out, whatever happened to it; None if it is not known."""
        raise NotImplementedError

    def requeue_apart(self, groups: list[list[Part[T]]], now: float) -> None:
        """Queue each group as a request of its own, ahead of all others: parts that must not share a request again."""
        raise NotImplementedError

    def empty(self) -> list[Part[T]]:
        """Take everything out: waiting, in flight, waiting to be tried again."""
        raise NotImplementedError

    def next_deadline(self) -> float | None:
        """When `take` may have something that it has not now."""
        raise NotImplementedError
