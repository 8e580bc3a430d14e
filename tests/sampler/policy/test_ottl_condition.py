"""sampler.policy.ottl_condition: the conditions of a policy, and in which order they count."""

from __future__ import annotations

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.kernel.names import JUDGED, MARKED, Look, Node
from sampler.policy import BadPolicyError
from sampler.policy.marks import Marks
from sampler.policy.ottl_condition import ottl_condition

HOLDS, FAILS = 'name == "x"', 'attributes["text"]["key"] == "value"'  # a string has no keys
EVENT_HOLDS, EVENT_FAILS = 'name == "e"', FAILS
NOT = 'name == "other"'


def span(*events: str, name: str = "x", text: bool = True) -> Span:
    """A span with such events; one named "!" has the attribute that cannot be indexed."""
    made = Span(name=name)
    if text:
        made.attributes.add(key="text", value=AnyValue(string_value="t"))
    for event in events:
        added = made.events.add(name=event)
        if event == "!":
            added.attributes.add(key="text", value=AnyValue(string_value="t"))
    return made


def value_of(made: Span, look: Look) -> bytes | None:
    """What the kernel finds there."""
    if look.key:
        found = [each.value for each in made.attributes if each.key == look.key]
        return found[0].SerializeToString() if found else None
    match look.field:
        case 5:
            return made.name.encode() or None
        case 9:
            return Span(attributes=made.attributes).SerializeToString() or None
        case 11:
            return Span(events=made.events).SerializeToString() or None
        case _:
            return None


def asked(made: Span, span: tuple[str, ...] = (), spanevent: tuple[str, ...] = (), error_mode: str = "silent") -> int:
    """The marks that the span sets, with those of a pair folded as a trace does: 1 for a keep, 2 for an error."""
    marks = Marks()
    node = ottl_condition(marks, span, spanevent, error_mode)
    assert node == Node(JUDGED if error_mode == "propagate" else MARKED, 0)
    mask = 0
    for probe in marks.plan().probes:
        mask |= probe.judge(tuple(value_of(made, look) for look in probe.looks))
    return mask


@pytest.mark.parametrize("mode", ["silent", "ignore", "propagate"])
def test_one_condition_that_holds_is_enough(mode: str) -> None:
    """Conditions on the span and on each of its events are alternatives."""
    assert asked(span(), (NOT, HOLDS), (), mode) == 1
    assert asked(span(), (NOT,), (), mode) == 0
    assert asked(span("a", "e"), (), (NOT, EVENT_HOLDS), mode) == 1
    assert asked(span("a"), (NOT,), (EVENT_HOLDS,), mode) == 0
    assert asked(span("e"), (NOT,), (EVENT_HOLDS,), mode) == 1
    assert asked(span(), (), (EVENT_HOLDS,), mode) == 0, "without events there is nothing to ask about"


@pytest.mark.parametrize("mode", ["silent", "ignore"])
def test_what_cannot_be_evaluated_does_not_hold(mode: str) -> None:
    """Unless errors are propagated, the next condition is asked, and the next event."""
    assert asked(span(), (FAILS,), (), mode) == 0
    assert asked(span(), (FAILS, HOLDS), (), mode) == 1
    assert asked(span("e"), (FAILS,), (EVENT_HOLDS,), mode) == 1
    assert asked(span("!", "e"), (), (f"{EVENT_FAILS} or {EVENT_HOLDS}", NOT), mode) == 1


def test_unset_is_silent() -> None:
    """Without an error mode errors do not count, as in the Collector."""
    marks = Marks()
    assert ottl_condition(marks, (FAILS, HOLDS)) == Node(MARKED, 0)


def test_propagated_errors_end_the_asking() -> None:
    """With propagate the first that holds or fails decides: conditions in order, the span's before those on its events."""
    assert asked(span(), (FAILS, HOLDS), (), "propagate") == 2
    assert asked(span(), (HOLDS, FAILS), (), "propagate") == 1
    assert asked(span("e"), (FAILS,), (EVENT_HOLDS,), "propagate") == 2
    assert asked(span("e", text=False), (NOT,), (EVENT_HOLDS,), "propagate") == 1
    assert asked(span("e"), (HOLDS,), (EVENT_FAILS,), "propagate") == 1


def test_events_come_one_after_the_other() -> None:
    """All conditions are asked about an event before the next event is looked at."""
    assert asked(span("!", "e"), (), (EVENT_HOLDS, EVENT_FAILS), "propagate") == 2
    assert asked(span("e", "!"), (), (EVENT_HOLDS, EVENT_FAILS), "propagate") == 1
    assert asked(span("e", "!"), (), (EVENT_FAILS, EVENT_HOLDS), "propagate") in (1, 2)


def test_no_condition_is_a_mistake() -> None:
    """A policy has something to ask."""
    with pytest.raises(BadPolicyError, match="names no condition"):
        ottl_condition(Marks())


@pytest.mark.parametrize(
    ("spans", "events", "path"), [((HOLDS, "name =="), (), ("span", 1)), ((), ("nam == 1",), ("spanevent", 0))]
)
def test_a_bad_condition_is_placed(
    spans: tuple[str, ...], events: tuple[str, ...], path: tuple[str | int, ...]
) -> None:
    """A condition that cannot be read is named, with line and column in its text."""
    with pytest.raises(BadPolicyError) as caught:
        ottl_condition(Marks(), spans, events)
    assert caught.value.path == path and caught.value.line == 1 and caught.value.column >= 1
