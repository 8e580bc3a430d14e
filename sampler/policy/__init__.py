"""Policies: each votes on one trace by its facts; one function makes a decision of the votes.

A policy is one file: its parameters, the facts it needs, and a pure vote. Nothing here knows how spans are stored or sent;
`build` alone knows the configuration's names. Votes and precedence follow the OpenTelemetry Collector's tail_sampling v0.161.0.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from gateway.errors import TailgateError
from gateway.otlp.facts import Facts, Interval


class BadPolicyError(TailgateError):
    """A policy's values make no sense. Whoever reads the configuration knows the place and turns this into a mistake."""


class Verdict(enum.Enum):
    """What one policy says of one trace."""

    KEEP = "keep"
    DROP = "drop"  # against it, whatever the others say
    NO = "no"  # no reason to keep it
    ERROR = "error"  # could not be evaluated; has no say


MARKS_MAX = 64  # the kernel keeps a word of them for each trace

Test = tuple[int, int, int]
"""A policy as the kernel evaluates it: see gateway.kernel.traces.Program."""


class Policy(Protocol):
    """What the sampler asks of a policy. `name` is the operator's; it labels metrics."""

    @property
    def name(self) -> str:
        """The name in the configuration."""
        ...

    @property
    def intervals(self) -> tuple[Interval, ...]:
        """The intervals that `vote` asks about in Facts.inside."""
        ...

    def vote(self, facts: Facts, trace_id: bytes) -> Verdict:
        """The verdict on the trace of these facts. Pure: what the policy means."""
        ...

    def test(self, marks: Sequence[Interval]) -> Test:
        """The same for the kernel, true where `vote` says KEEP. Mark N of a trace stands for the interval marks[N]."""
        ...


class Decision(NamedTuple):
    """What becomes of a trace. `policy` names the first policy whose verdict won; "" if none asked for anything."""

    keep: bool
    policy: str = ""
    errors: tuple[str, ...] = ()  # the policies that could not be evaluated


def marks_of(policies: Sequence[Policy]) -> tuple[Interval, ...]:
    """The intervals that some policy asks about, each once. Raises BadPolicyError if there are more than MARKS_MAX."""
    marks = tuple(dict.fromkeys(interval for policy in policies for interval in policy.intervals))
    if len(marks) > MARKS_MAX:
        raise BadPolicyError(
            f"{len(marks)} latency policies with different bounds; at most {MARKS_MAX} may have an upper one"
        )
    return marks


def decide(policies: Sequence[Policy], facts: Facts, trace_id: bytes) -> Decision:
    """Ask the policies in order, and decide."""
    return combine(_votes(policies, facts, trace_id))


def combine(votes: Iterable[tuple[str, Verdict]]) -> Decision:
    """The decision of these (policy, verdict) pairs: drop beats keep beats no; errors are left out.

    Votes are drawn one at a time and no further than the first drop: policies behind it are not asked.
    """
    keeper: str | None = None
    errors: list[str] = []
    for name, verdict in votes:
        match verdict:
            case Verdict.DROP:
                return Decision(False, name, tuple(errors))
            case Verdict.KEEP:
                keeper = name if keeper is None else keeper
            case Verdict.ERROR:
                errors.append(name)
            case Verdict.NO:
                pass
    return Decision(keeper is not None, keeper or "", tuple(errors))


def _votes(policies: Sequence[Policy], facts: Facts, trace_id: bytes) -> Iterator[tuple[str, Verdict]]:
    for policy in policies:
        yield policy.name, policy.vote(facts, trace_id)
