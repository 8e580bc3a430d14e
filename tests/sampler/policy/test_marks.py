"""sampler.policy.marks: what policies ask of single spans, numbered."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway import limits
from gateway.kernel.names import RESOURCE, SPAN, Look, Values
from sampler.policy import BadPolicyError
from sampler.policy.marks import ERROR, NO, YES, Marks

NAME, KIND, EVENTS = Look(SPAN, 5), Look(SPAN, 6), Look(SPAN, 11)


@dataclass(frozen=True)
class Answers:
    """Says NO, or what it was made for, as the first value asks for it."""

    look: Look
    answer: int

    @property
    def looks(self) -> tuple[Look, ...]:
        return (self.look,)

    def __call__(self, values: Values) -> int:
        return self.answer if values[0] else NO


def test_predicates_of_the_same_looks_share_a_probe() -> None:
    """What is read is read once, and every question has its mark."""
    marks = Marks()
    assert marks.any_span(Answers(NAME, YES)) == 0
    assert marks.any_span(Answers(KIND, YES)) == 1
    assert marks.any_span(Answers(NAME, NO)) == 2
    plan = marks.plan()
    assert plan.marks == 3 and [probe.looks for probe in plan.probes] == [(NAME,), (KIND,)]
    assert [probe.judge((b"x",)) for probe in plan.probes] == [0b001, 0b010]
    assert [probe.judge((None,)) for probe in plan.probes] == [0, 0]


def test_equal_questions_are_one() -> None:
    """The same alternatives, in any order, have one mark."""
    marks = Marks()
    one, other = Answers(NAME, YES), Answers(KIND, YES)
    assert marks.any_span(one, other) == marks.any_span(other, one) == 0
    assert marks.any_span(one) == 1
    assert marks.plan().marks == 2


def test_alternatives_set_the_same_mark() -> None:
    """One that says yes is enough; one that cannot answer counts as no."""
    marks = Marks()
    assert marks.any_span(Answers(NAME, ERROR), Answers(KIND, YES)) == 0
    assert [probe.judge((b"x",)) for probe in marks.plan().probes] == [0, 1]


def test_errors_have_a_mark_of_their_own() -> None:
    """Where errors count, a pair of marks in one word is taken, of which the first to come stands."""
    marks = Marks()
    marks.any_span(Answers(KIND, YES))
    assert marks.any_span(Answers(NAME, ERROR), errors=True) == 2
    assert marks.any_span(Answers(NAME, YES), errors=True) == 4
    plan = marks.plan()
    assert plan.marks == 6 and plan.pairs == 0b10100
    assert plan.probes[1].judge((b"x",)) == 0b11000, "mark 3 for the error, mark 4 for the yes"


def test_intervals_are_shared() -> None:
    """Equal intervals have one mark."""
    marks = Marks()
    assert (marks.interval(1, 5), marks.interval(1, 6), marks.interval(1, 5)) == (0, 1, 0)
    assert marks.plan().intervals == ((1, 5, 0), (1, 6, 1))


@pytest.mark.parametrize(
    ("look", "memo"), [(NAME, True), (EVENTS, False), (Look(SPAN, 9, "k"), True), (Look(SPAN, 9), False)]
)
def test_answers_are_remembered_where_values_come_again(look: Look, memo: bool) -> None:
    """What differs from span to span is not worth remembering."""
    marks = Marks()
    marks.any_span(Answers(look, YES))
    assert marks.plan().probes[0].memo is memo


def test_questions_are_bounded() -> None:
    """Every mark costs memory for each trace, so there is a most."""
    marks = Marks()
    for number in range(limits.MARKS_MAX):
        marks.any_span(Answers(Look(RESOURCE, 1, str(number)), YES))
    with pytest.raises(BadPolicyError, match=f"more than {limits.MARKS_MAX}"):
        marks.interval(1, 2)
