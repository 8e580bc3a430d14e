"""Policies: each votes on one trace by its facts; one function makes a decision of the votes.

A policy is one file: its parameters, the facts it needs, and a pure vote. Nothing here knows how spans are stored or sent;
`build` alone knows the configuration's names. Votes and precedence follow the OpenTelemetry Collector's tail_sampling v0.161.0.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from gateway.errors import TailgateError
from gateway.otlp.facts import Facts


class BadPolicyError(TailgateError):
    """A policy's values make no sense. Whoever reads the configuration knows the place and turns this into a mistake."""


class Verdict(enum.Enum):
    """What one policy says of one trace."""

    KEEP = "keep"
    DROP = "drop"  # against it, whatever the others say
    NO = "no"  # no reason to keep it
    ERROR = "error"  # could not be evaluated; has no say


class Needs(NamedTuple):
    """The facts a policy asks for beyond those that every trace carries."""

    prefixes: bool = False  # Facts.durations


class Policy(Protocol):
    """What the sampler asks of a policy. `name` is the operator's; it labels metrics."""

    @property
    def name(self) -> str:
        """The name in the configuration."""
        ...

    @property
    def needs(self) -> Needs:
        """The facts `vote` reads."""
        ...

    def vote(self, facts: Facts, trace_id: bytes) -> Verdict:
        """The verdict on the trace of these facts. Pure."""
        ...


class Decision(NamedTuple):
    """What becomes of a trace. `policy` names the first policy whose verdict won; "" if none asked for anything."""

    keep: bool
    policy: str = ""
    errors: tuple[str, ...] = ()  # the policies that could not be evaluated


def needs_of(policies: Sequence[Policy]) -> Needs:
    """The facts that some policy needs."""
    return Needs(prefixes=any(policy.needs.prefixes for policy in policies))


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
