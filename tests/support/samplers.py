"""A sampler's core in the hands of a test: made with few words, driven by a fake clock, answered by a fake backend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gateway import metrics
from gateway.config.settings import (
    Batch,
    DebugExporter,
    Endpoint,
    Exporter,
    OtlpClient,
    OtlpExporter,
    PolicySettings,
    Queue,
    Retry,
    TailSampling,
)
from gateway.core import (
    Action,
    Cancel,
    Delivered,
    Draining,
    Event,
    Failed,
    Failure,
    Finished,
    Level,
    Note,
    Outcome,
    Received,
    Reply,
    Send,
    ViewChanged,
)
from gateway.membership import Member, ViewStamp, make_view
from gateway.metrics import Tally
from sampler.sampler import Sampler

KEEP_ALL = (PolicySettings("all", "always_sample"),)
KEEP_ERRORS = (PolicySettings("errors", "status_code", (("status_codes", ("ERROR",)),)),)
KEEP_NONE = (PolicySettings("never", "probabilistic", (("sampling_percentage", 0.0),)),)


def otlp(name: str = "backend", *, requests_max: int = 1000, retry: Retry | None = None) -> OtlpExporter:
    """An OTLP exporter; the retries have no jitter, so that a test can name their times."""
    client = OtlpClient(
        endpoint=Endpoint("127.0.0.1", 4317),
        retry=retry or Retry(initial=1.0, max=8.0, multiplier=2.0, jitter=0.0, elapsed_max=60.0),
        queue=Queue(requests_max=requests_max),
    )
    return OtlpExporter(name, client)


def make_sampler(
    policies: tuple[PolicySettings, ...] = KEEP_ALL,
    *,
    tally: Tally | None = None,
    exporters: tuple[Exporter, ...] | None = None,
    decision_wait: float = 10.0,
    num_traces: int = 50_000,
    budget: int = 1 << 30,
    alone: bool = False,
    batch: Batch | None = None,
    duplicate_window: float = 60.0,
    **settings: Any,
) -> Sampler:
    """A sampler; by default it keeps everything and exports without linger to one backend. `settings` are further ones of
    TailSampling."""
    return Sampler(
        TailSampling(policies, decision_wait=decision_wait, num_traces=num_traces, **settings),
        (otlp(),) if exporters is None else exporters,
        batch or Batch(linger=0.0),
        tally or Tally(),
        budget=budget,
        alone=alone,
        duplicate_window=duplicate_window,
    )


@dataclass
class Driven:
    """A sampler with a clock, and a backend that is up, down (unreachable), silent (in flight for ever) or refusing."""

    sampler: Sampler
    tally: Tally
    backend: str = "up"
    now: float = 0.0
    flying: list[Send] = field(default_factory=list)
    sent: list[tuple[float, Send]] = field(default_factory=list)
    delivered: list[Send] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    actions: list[tuple[float, Action]] = field(default_factory=list)

    @property
    def finished(self) -> list[Finished]:
        return [action for _, action in self.actions if isinstance(action, Finished)]

    def receive(self, request: bytes, stamp: ViewStamp | None = None) -> Outcome:
        """Hand in a request; the client's answer."""
        before = len(self.outcomes)
        self.handle(Received(object(), request, peer_view=stamp))
        assert len(self.outcomes) == before + 1, "a request is answered once, and at once"
        return self.outcomes[-1]

    def view(self, epoch: int, *names: str) -> ViewStamp:
        """A newer view comes into force; its stamp."""
        view = make_view(epoch, [Member(name, f"{name}:4317") for name in names or ("s1",)])
        self.handle(ViewChanged(view))
        return view.stamp

    def drain(self, finish_at: float) -> None:
        self.handle(Draining(finish_at))

    def handle(self, event: Event) -> None:
        self._perform(self.sampler.handle(event, self.now))

    def advance(self, to: float) -> None:
        """Let the time go by, calling tick whenever it is asked for."""
        for _ in range(10_000):
            at = self.sampler.next_deadline()
            if at is None or at > to:
                break
            self.now = max(self.now, at)
            self._perform(self.sampler.tick(self.now))
        else:
            raise AssertionError(f"the deadline {at} comes again and again")
        self.now = to
        self._perform(self.sampler.tick(to))

    def _perform(self, actions: list[Action]) -> None:
        for action in actions:
            self.actions.append((self.now, action))
            match action:
                case Reply():
                    self.outcomes.append(action.outcome)
                case Send():
                    self.sent.append((self.now, action))
                    self.flying.append(action)
                case Note():
                    self.notes.append(action)
                case Cancel():
                    self.flying = [send for send in self.flying if send.attempt != action.attempt]
                case _:
                    pass
        self.answer()

    def answer(self) -> None:
        """Let the backend answer what is in flight, in its way."""
        while self.flying and self.backend != "silent":
            send = self.flying.pop(0)
            match self.backend:
                case "up":
                    self.delivered.append(send)
                    self.handle(Delivered(send.attempt))
                case "down":
                    self.handle(Failed(send.attempt, Failure.UNREACHABLE, "connection refused"))
                case "refusing":
                    self.handle(Failed(send.attempt, Failure.REFUSED, "not today"))

    def count(self, instrument: metrics.Instrument) -> int:
        """A counter over all its labels."""
        return int(self.tally.total(instrument))


def drive(policies: tuple[PolicySettings, ...] = KEEP_ALL, **options: object) -> Driven:
    """A driven sampler; options as for make_sampler."""
    tally = Tally()
    return Driven(make_sampler(policies, tally=tally, **options), tally)  # type: ignore[arg-type]


__all__ = ["KEEP_ALL", "KEEP_ERRORS", "KEEP_NONE", "DebugExporter", "Driven", "Level", "drive", "make_sampler", "otlp"]
