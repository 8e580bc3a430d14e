"""gateway.core: the words that cores and the shell share."""

from __future__ import annotations

import dataclasses
import typing

import pytest

from gateway import core
from gateway.metrics import Tally
from loadbalancer.balancer import Balancer
from tests.support.samplers import make_sampler

OUTCOMES = typing.get_args(core.Outcome)
EVENTS = typing.get_args(core.Event)
ACTIONS = typing.get_args(core.Action)


def test_both_tiers_are_cores() -> None:
    """The balancer and the sampler have the three calls by which the driver drives them, and need no tick when new."""
    cores: list[core.Core] = [Balancer(Tally()), make_sampler()]
    for each in cores:
        assert each.tick(0.0) == []
        assert each.next_deadline() is None


@pytest.mark.parametrize("kind", [*OUTCOMES, *EVENTS, *ACTIONS], ids=lambda kind: kind.__name__)
def test_words_are_values(kind: type) -> None:
    """Events, actions and outcomes compare by what they say and carry nothing else: transcripts are equalities."""
    assert dataclasses.is_dataclass(kind)
    assert kind.__dataclass_params__.eq  # type: ignore[attr-defined]
    assert "__dict__" not in dir(kind)


def test_outcomes_cannot_be_changed() -> None:
    """An answer that was given stays as it was."""
    outcome: typing.Any = core.Accepted(1, "one")
    with pytest.raises(dataclasses.FrozenInstanceError):
        outcome.rejected_spans = 2


def test_a_word_is_an_event_or_an_action() -> None:
    """What happened and what is to be done are different things."""
    assert not set(EVENTS) & set(ACTIONS)


def test_failures_have_names_for_metrics() -> None:
    """Every kind of failure has its own lower-case word."""
    words = [failure.value for failure in core.Failure]
    assert len(set(words)) == len(words)
    assert all(word.replace("_", "").islower() for word in words)
