"""sampler.policy: how verdicts make a decision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from gateway.kernel.names import STATUS_IN
from gateway.otlp.facts import Facts, Interval
from sampler.policy import MARKS_MAX, BadPolicyError, Decision, Policy, Test, Verdict, combine, decide, marks_of
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
    def intervals(self) -> tuple[Interval, ...]:
        return ()

    def test(self, marks: Sequence[Interval]) -> Test:
        return STATUS_IN, 0, 0

    def vote(self, facts: Facts, trace_id: bytes) -> Verdict:
        self.asked.append(self.name)
        return self.verdict


def test_policies_are_asked_in_order_up_to_the_first_drop() -> None:
    """Policies behind one that drops are not asked."""
    asked: list[str] = []
    policies = [Scripted("a", KEEP, asked), Scripted("b", DROP, asked), Scripted("c", KEEP, asked)]
    assert decide(policies, Facts(), bytes(16)) == Decision(False, "b")
    assert asked == ["a", "b"]


def test_marks_are_the_intervals_that_policies_ask_about() -> None:
    """Each interval that some policy asks about has one mark, however many ask; without an upper bound there is none."""
    plain: list[Policy] = [AlwaysSample("a"), Latency("b", 5)]
    assert marks_of(plain) == marks_of([]) == ()
    assert marks_of([Latency("c", 7, 9), *plain, Latency("d", 5, 10), Latency("e", 7, 9)]) == ((7, 9), (5, 10))


def test_a_trace_has_so_many_marks() -> None:
    """More different intervals than a trace has marks for are refused."""
    policies: list[Policy] = [Latency(str(ms), ms, 1000) for ms in range(MARKS_MAX)]
    assert len(marks_of(policies)) == MARKS_MAX
    with pytest.raises(BadPolicyError, match="65 latency policies"):
        marks_of([*policies, Latency("one more", 2000, 3000)])
