"""A compiled condition: a pure question about one span, asked of the raw fields that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.kernel.names import Look, Values
from sampler.ottl import compile as compiler
from sampler.ottl import events, paths
from sampler.ottl.parser import parse
from sampler.ottl.types import Fail, Judge, Row
from sampler.policy.marks import ERROR, NO, YES


@dataclass(frozen=True, slots=True)
class Condition:
    """Conditions of the same text and context are equal and answer alike.

    `looks` are the fields it reads; called with their raw values it answers NO, YES or ERROR, whatever the bytes are. One of
    events is true of a span if it is of any of its events: the first that is true or fails answers. One that is `lenient` never
    answers ERROR: what fails does not hold, and the next event is asked about.
    """

    text: str
    context: paths.Context
    lenient: bool
    looks: tuple[Look, ...] = field(compare=False)
    _judge: Judge = field(compare=False, repr=False)
    _places: tuple[int | paths.EventLook, ...] = field(compare=False, repr=False)

    def __call__(self, values: Values) -> int:
        """NO, YES or ERROR, of the values of its looks."""
        judge = self._judge
        try:
            if self.context == "span":
                return YES if judge(values) else NO
            return YES if any(map(judge, events.rows(values, self._places))) else NO
        except Fail:
            return ERROR


def compile_condition(text: str, context: paths.Context, *, lenient: bool = False) -> Condition:
    """The condition that this text is, about spans or about their events.

    Raises OttlError with the place of what is wrong: the grammar, an unknown path, function or enum, arguments of the wrong
    type or number, a pattern that is none, and whatever else would fail for every span.
    """
    slots = paths.Slots(context)
    judge = compiler.judge(parse(text), slots)
    return _condition(text, slots, _without_failing(judge) if lenient else judge, lenient)


def compile_any(texts: Sequence[str], context: paths.Context) -> Condition:
    """One for all of them: each span, or event, is asked about in their order, and the first that is true or fails answers.

    Raises OttlError as compile_condition does; which of the texts it is about is not said.
    """
    slots = paths.Slots(context)
    judges = tuple(compiler.judge(parse(text), slots) for text in texts)
    # No single condition has a semicolon outside of strings: their text is never that of another one.
    return _condition("; ".join(texts), slots, lambda row: any(judge(row) for judge in judges), lenient=False)


def _condition(text: str, slots: paths.Slots, judge: Judge, lenient: bool) -> Condition:
    looks = tuple(look for look in slots.asked if isinstance(look, Look))
    places = tuple(looks.index(each) if isinstance(each, Look) else each for each in slots.asked)
    return Condition(text, slots.context, lenient, looks, judge, places)


def _without_failing(judge: Judge) -> Judge:
    def holds(row: Row) -> bool:
        try:
            return judge(row)
        except Fail:
            return False

    return holds
