"""A balancer's core in the hands of a test: driven by a fake clock, its samplers played in a few ways, all written down."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from unittest import mock

from gateway import metrics, ring
from gateway.core import (
    Action,
    Cancel,
    Delivered,
    Draining,
    Event,
    Failed,
    Failure,
    Outcome,
    Received,
    Reply,
    Send,
    ViewChanged,
)
from gateway.membership import Member, State, View, ViewStamp, make_view
from gateway.metrics import Tally
from loadbalancer.balancer import Balancer

TICKS_MAX = 10_000


@contextmanager
def quick_rings() -> Iterator[None]:
    """Tables of the same members are built once: properties change views thousands of times."""
    with mock.patch.object(ring, "_maglev", lru_cache(maxsize=None)(ring._maglev)):
        yield


def member(name: str, **other: object) -> Member:
    """A member whose id is its name, at NAME:4317."""
    return Member(name, f"{name}:4317", **other)  # type: ignore[arg-type]


def members(*words: str) -> list[Member]:
    """Members by their names; `s1:draining` gives a state."""
    pairs = [word.partition(":") for word in words]
    return [member(name, state=State(state or "active")) for name, _, state in pairs]


@dataclass
class Driven:
    """A balancer with a clock. A sampler is up (answers at once), silent, down (unreachable), busy, refusing or rejecting."""

    balancer: Balancer
    tally: Tally
    now: float = 0.0
    modes: dict[str, str] = field(default_factory=dict)
    flying: dict[int, tuple[float, Send]] = field(default_factory=dict)  # with when they are given up
    actions: list[tuple[float, Action]] = field(default_factory=list)
    outcomes: dict[object, Outcome] = field(default_factory=dict)
    delivered: list[Send] = field(default_factory=list)

    def receive(self, token: object, request: bytes, patience: float | None = None) -> None:
        """Hand in a request from an agent that waits `patience` seconds."""
        deadline_at = None if patience is None else self.now + patience
        self.handle(Received(token, request, deadline_at))

    def view(self, epoch: int, *words: str) -> View:
        view = make_view(epoch, members(*words))
        self.handle(ViewChanged(view))
        return view

    def drain(self, grace: float) -> None:
        self.handle(Draining(self.now + grace))

    def mode(self, name: str, mode: str) -> None:
        """From now on the sampler is so; what is in flight to it is answered so."""
        self.modes[name] = mode
        self._answer()

    def handle(self, event: Event) -> None:
        self._perform(self.balancer.handle(event, self.now))
        self._answer()

    def advance(self, to: float) -> None:
        """Let the time go by: tick whenever it is asked for, and give up attempts that take too long."""
        for _ in range(TICKS_MAX):
            tick_at = self.balancer.next_deadline()
            timeouts = [at for at, _ in self.flying.values()]
            at = min([*timeouts, *([] if tick_at is None else [tick_at])], default=to)
            if at > to or not (timeouts or tick_at is not None):
                break
            self.now = max(self.now, at)
            self._tick()
            for number in [number for number, (until, _) in self.flying.items() if until <= self.now]:
                self.flying.pop(number)
                self.handle(Failed(number, Failure.NO_ANSWER, "DEADLINE_EXCEEDED"))
        else:
            raise AssertionError(f"the deadline {at} comes again and again")
        self.now = to
        self._tick()

    def settle(self, within: float = 60.0) -> None:
        """Everything that waits comes to its end."""
        self.advance(self.now + within)

    @property
    def held(self) -> int:
        """Bytes held, as the metric has it."""
        self.balancer.publish()
        return int(self.tally.get(metrics.BALANCER_BYTES))

    def _tick(self) -> None:
        self._perform(self.balancer.tick(self.now))
        self._answer()

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            self.actions.append((self.now, action))
            match action:
                case Reply(token, outcome):
                    assert token not in self.outcomes, f"{token} is answered twice"
                    self.outcomes[token] = outcome
                case Send():
                    assert action.attempt not in self.flying, "attempt numbers are never used again"
                    self.flying[action.attempt] = (self.now + action.timeout, action)
                case Cancel(attempt):
                    del self.flying[attempt]
                case _:
                    pass

    def _answer(self) -> None:
        """Let the samplers answer what is in flight to them, each in its way."""
        progress = True
        while progress:
            progress = False
            for number, (_, send) in list(self.flying.items()):
                event = self._event(number, send)
                if event is not None and number in self.flying:
                    del self.flying[number]
                    progress = True
                    self._perform(self.balancer.handle(event, self.now))

    def _event(self, number: int, send: Send) -> Event | None:
        """What the sampler in its mode makes of the request; None if it keeps silent."""
        name = send.destination.partition(":")[0]
        mode, _, more = self.modes.get(name, "up").partition(":")
        if mode == "once":  # so for one request, then silent
            self.modes[name] = "silent"
            mode, _, more = (more or "up").partition(":")
        match mode:
            case "silent":
                return None
            case "down":
                return Failed(number, Failure.UNREACHABLE, "connection refused")
            case "busy":
                return Failed(number, Failure.RETRYABLE, "UNAVAILABLE: busy", float(more) if more else None)
            case "refuses":  # every request, or only one that holds these bytes
                if more.encode() in send.request and send.request:
                    return Failed(number, Failure.REFUSED, "INVALID_ARGUMENT: no")
            case "rejects":
                self.delivered.append(send)
                return Delivered(number, int(more), "bad spans")
            case "newer":
                self.delivered.append(send)
                return Delivered(number, peer_view=ViewStamp(int(more), "elsewhere"))
            case _:
                assert mode == "up", mode
        self.delivered.append(send)
        return Delivered(number)


def drive(**settings: float) -> Driven:
    """A balancer without a view, at time 0."""
    tally = Tally()
    return Driven(Balancer(tally, **settings), tally)  # type: ignore[arg-type]
