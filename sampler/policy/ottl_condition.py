"""Policy `ottl_condition`: a trace is kept when a condition in OTTL holds for one of its spans, or for an event of a span.

The language is sampler.ottl's subject; here conditions become what is asked of each span.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.kernel.names import JUDGED, MARKED, Look, Node, Values
from sampler.ottl import Condition, OttlError, compile_any, compile_condition
from sampler.ottl.paths import Context
from sampler.policy.errors import BadPolicyError
from sampler.policy.marks import NO, Marks, Predicate

_PROPAGATE = "propagate"

_SPAN: Context = "span"
_EVENT: Context = "spanevent"


@dataclass(frozen=True, slots=True)
class FirstAnswer:
    """Predicates one after the other; the first that does not say NO answers."""

    predicates: tuple[Predicate, ...]

    @property
    def looks(self) -> tuple[Look, ...]:
        """What they read, one after the other."""
        return tuple(look for predicate in self.predicates for look in predicate.looks)

    def __call__(self, values: Values) -> int:
        """NO, YES or ERROR."""
        at = 0
        for predicate in self.predicates:
            end = at + len(predicate.looks)
            answer = predicate(values[at:end])
            if answer != NO:
                return answer
            at = end
        return NO


def ottl_condition(
    marks: Marks, span: Sequence[str] = (), spanevent: Sequence[str] = (), error_mode: str = "silent"
) -> Node:
    """With the error mode `propagate` a trace is kept, or the policy has no say on it, by whichever comes first: a condition
    that holds or one that cannot be evaluated, in the order of spans, and in a span its conditions before those on its events.
    In the other modes a condition that cannot be evaluated does not hold.

    Raises BadPolicyError where there is no condition, or one that is not right.
    """
    if not span and not spanevent:
        raise BadPolicyError("names no condition; expected one or more under span or spanevent")
    lenient = error_mode != _PROPAGATE
    conditions = [*_compile(span, _SPAN, lenient), *_compile(spanevent, _EVENT, lenient)]
    if lenient:
        return Node(MARKED, marks.any_span(*conditions))
    whole = [compile_any(texts, context) for texts, context in ((span, _SPAN), (spanevent, _EVENT)) if texts]
    return Node(JUDGED, marks.any_span(FirstAnswer(tuple(whole)) if len(whole) > 1 else whole[0], errors=True))


def _compile(texts: Sequence[str], context: Context, lenient: bool) -> list[Condition]:
    made = []
    for index, text in enumerate(texts):
        try:
            made.append(compile_condition(text, context, lenient=lenient))
        except OttlError as error:
            raise BadPolicyError(error.message, (context, index), error.line, error.column) from error
    return made
