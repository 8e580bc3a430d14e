"""sampler.policy: how verdicts make a decision."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway.otlp.facts import Facts
from sampler.policy import Decision, Needs, Policy, Verdict, combine, decide, needs_of
from sampler.policy.always_sample import AlwaysSample
from sampler.policy.latency import Latency

KEEP, DROP, NO, ERROR = Verdict.KEEP, Verdict.DROP, Verdict.NO, Verdict.ERROR


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], Decision(False)),
        ([NO, NO], Decision(False)),
        ([NO, KEEP, KEEP], Decision(True, "1")),
        ([KEEP, DROP], Decision(False, "1")),
        ([DROP, KEEP], Decision(False, "0")),
        ([ERROR], Decision(False, "", ("0",))),
        ([ERROR, KEEP, ERROR], Decision(True, "1", ("0", "2"))),
        ([ERROR, NO, DROP], Decision(False, "2", ("0",))),
    ],
)
def test_drop_beats_keep_beats_no(verdicts: list[Verdict], expected: Decision) -> None:
    """A drop outweighs any keep, a keep any no; an error has no say; the first policy with the winning verdict is named."""
    assert combine((str(index), verdict) for index, verdict in enumerate(verdicts)) == expected


@dataclass(frozen=True)
class Scripted:
    name: str
    verdict: Verdict
    asked: list[str]

    @property
    def needs(self) -> Needs:
        return Needs()

    def vote(self, facts: Facts, trace_id: bytes) -> Verdict:
        self.asked.append(self.name)
        return self.verdict


def test_policies_are_asked_in_order_up_to_the_first_drop() -> None:
    """Policies behind one that drops are not asked."""
    asked: list[str] = []
    policies = [Scripted("a", KEEP, asked), Scripted("b", DROP, asked), Scripted("c", KEEP, asked)]
    assert decide(policies, Facts(), bytes(16)) == Decision(False, "b")
    assert asked == ["a", "b"]


def test_needs_are_the_union_of_what_policies_need() -> None:
    """The buffer folds a fact when at least one policy needs it."""
    plain: list[Policy] = [AlwaysSample("a"), Latency("b", 5)]
    assert needs_of(plain) == Needs()
    assert needs_of([*plain, Latency("c", 5, 10)]) == Needs(prefixes=True)
    assert needs_of([]) == Needs()
