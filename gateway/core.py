"""The seam between deciding and doing.

A core is a plain object that owns a tier's state. It is told what happened (events) and answers with what it wants done
(actions). It has no clock, socket, dice or log; instants are float seconds on a monotonic clock that the shell hands in.
One event per request, never an object per span. The shell (gateway.net.driver) feeds events, performs actions in order, and
calls `tick` when `next_deadline` has come.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Protocol

from gateway.membership import View, ViewStamp

# ---------------------------------------------------------------- outcomes: what a client is told


@dataclass(frozen=True, slots=True)
class Accepted:
    """Every span was taken but `rejected_spans` of them; a message with 0 rejected is a warning (OTLP partial success)."""

    rejected_spans: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class Invalid:
    """Nothing was taken and nothing will be if it is sent again: INVALID_ARGUMENT / 400."""

    message: str


@dataclass(frozen=True, slots=True)
class Overloaded:
    """Nothing may be lost: send it again after `retry_after` seconds. UNAVAILABLE + RetryInfo / 503 + Retry-After."""

    message: str
    retry_after: float = 1.0


Outcome = Accepted | Invalid | Overloaded


# ---------------------------------------------------------------- events: what happened


@dataclass(slots=True)
class Received:
    """One export request came in. `token` is opaque to the core and goes back in the Reply.

    `request` is the decompressed protobuf message. `deadline_at` is when the client gives up, None if it named no deadline.
    `peer_view` is the view the sender stamped on it, None if it is not one of ours.
    """

    token: object
    request: bytes
    deadline_at: float | None = None
    peer_view: ViewStamp | None = None


@dataclass(slots=True)
class Delivered:
    """The destination accepted the request of `attempt`, but for `rejected_spans`."""

    attempt: int
    rejected_spans: int = 0
    message: str = ""
    peer_view: ViewStamp | None = None


class Failure(enum.Enum):
    """Why an attempt failed, as far as the next step depends on it."""

    UNREACHABLE = "unreachable"  # connection refused or broken before an answer: direct evidence about the destination
    NO_ANSWER = "no_answer"  # nothing came within the attempt's timeout: the outcome is unknown
    RETRYABLE = "retryable"  # the destination said: not now (OTLP's retryable codes)
    REFUSED = "refused"  # the destination said: never (all other codes)


@dataclass(slots=True)
class Failed:
    """The attempt failed. `retry_after` is the destination's wish in seconds, None if it named none."""

    attempt: int
    failure: Failure
    reason: str
    retry_after: float | None = None
    peer_view: ViewStamp | None = None


@dataclass(slots=True)
class ViewChanged:
    """A newer view is in force."""

    view: View


@dataclass(slots=True)
class Draining:
    """The process was asked to end. The core finishes what it holds and then answers with Finished.

    `finish_at` is when the process must be done. What is left then is lost: counted, and named in a Note.
    """

    finish_at: float


Event = Received | Delivered | Failed | ViewChanged | Draining


# ---------------------------------------------------------------- actions: what the core wants done


@dataclass(slots=True)
class Reply:
    """Answer the client of `token`. Exactly one per Received.

    `spans` is how many were in the request, rejected ones included; 0 if it was refused unread.
    """

    token: object
    outcome: Outcome
    spans: int = 0


@dataclass(slots=True)
class Send:
    """Deliver `request` (protobuf bytes) to `destination`; the answer comes back as Delivered or Failed with `attempt`.

    `destination` is a member's endpoint for a balancer, an exporter's name for a sampler. After `timeout` seconds without an
    answer the shell reports Failed(NO_ANSWER). `stamp` is the sender's view, carried as metadata between the tiers.
    """

    attempt: int
    destination: str
    request: bytes
    spans: int
    timeout: float
    stamp: ViewStamp | None = None


@dataclass(slots=True)
class Cancel:
    """Nobody waits for this attempt any more; no Delivered or Failed must follow for it."""

    attempt: int


@dataclass(slots=True)
class ReadView:
    """A peer has shown a newer view: read the lease store now, without waiting for the next poll."""


class Level(enum.Enum):
    """How loud a Note is."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(slots=True)
class Note:
    """Something an operator wants to read. `event` is snake_case; the shell logs it, at a bounded rate for each event."""

    level: Level
    event: str
    fields: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Finished:
    """The drain is over; the shell may exit, with status 1 if `lost_spans` is not 0."""

    lost_spans: int = 0


Action = Reply | Send | Cancel | ReadView | Note | Finished


class Core(Protocol):
    """What the driver drives."""

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in one event; return what is to be done, in order."""
        ...

    def tick(self, now: float) -> list[Action]:
        """Do what is due at `now`; harmless when nothing is."""
        ...

    def next_deadline(self) -> float | None:
        """When `tick` wants to be called next; None if nothing is pending."""
        ...
