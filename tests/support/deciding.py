"""The sampler's core as a decider of traces: requests in, journal records out, at the times a test says.

Also the policies of a test in few words, as the configuration would give them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from unittest import mock

import pytest

from gateway import kernel, limits
from gateway.config.settings import Batch, PolicySettings, TailSampling
from gateway.core import Accepted
from gateway.kernel.names import SKIPPED, Record
from gateway.metrics import Tally
from sampler.sampler import Sampler
from tests.support.naive import Decision
from tests.support.samplers import Driven, otlp
from tests.support.spans import spans_of

WAIT = 0.25  # decision_wait; a trace is decided when a test says so, at any time later than that


def policy(kind: str, name: str = "p", /, **values: object) -> PolicySettings:
    """A policy of this type; lists become tuples."""
    return PolicySettings(
        name, kind, tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in values.items())
    )


@contextmanager
def kernel_form(form: str) -> Iterator[None]:
    """Samplers made in here use this form of the kernel; the test is skipped where it is not built."""
    try:
        made = kernel.load(form)
    except kernel.NotBuiltError as error:
        pytest.skip(str(error))
    with mock.patch.object(kernel, "chosen", made):
        yield


@dataclass
class Decider:
    """A sampler's core under these settings. Nothing is decided before `decide` is called."""

    settings: TailSampling
    seen: int = 0

    def __post_init__(self) -> None:
        tally = Tally()
        made = Sampler(self.settings, (otlp(),), Batch(linger=0.0), tally, budget=1 << 30, alone=True)
        self.driven = Driven(made, tally)

    def receive(self, request: bytes, at: float) -> None:
        """Take in a request, of which nothing may be refused."""
        self.driven.now = at
        assert self.driven.receive(request) == Accepted()

    def decide(self, at: float) -> list[Record]:
        """Decide everything whose time has come, now: the records of it, in order."""
        self.driven.now = at
        self.driven.advance(at)
        return self._new()

    def decide_apart(self, at: float, apart: float) -> list[Record]:
        """Decide everything whose time has come, one after the other, so many seconds apart."""
        records: list[Record] = []
        with mock.patch.object(limits, "DECIDE_AT_ONCE", 1):
            while (due_at := self.driven.sampler.next_deadline()) is not None and due_at <= at:
                self.driven._perform(self.driven.sampler.tick(at))
                records += self._new()
                at += apart
        return records

    def _new(self) -> list[Record]:
        journal = self.driven.sampler.journal
        records = journal.since(self.seen)
        self.seen = journal.written
        return list(records)

    @property
    def exported(self) -> set[bytes]:
        """The ids of the traces that have left."""
        return {span.trace_id for send in self.driven.delivered for span in spans_of(send.request)}

    def decision(self, record: Record) -> Decision:
        """What the record says, its policies numbered as in the settings."""
        names = [each.name for each in self.driven.sampler.policies]
        votes = dict(zip(names, record.votes, strict=True))
        order = [each.name for each in self.settings.policies]
        index = order.index(names[record.policy]) if record.policy >= 0 else -1
        child = self._child(record) if record.child >= 0 else -1
        return Decision(tuple(votes.get(name, SKIPPED) for name in order), record.keep, index, child)

    def _child(self, record: Record) -> int:
        """The composite's child that kept the trace, numbered as in the settings."""
        deciding = self.driven.sampler.policies[record.policy]
        (values,) = [dict(each.values) for each in self.settings.policies if each.name == deciding.name]
        subs = values["composite_sub_policy"]
        assert isinstance(subs, tuple)
        return [each.name for each in subs].index(deciding.children[record.child])
