"""gateway.config.policy_types

The exact messages are golden files: tests/golden/config/tail_*.expected.
"""

from __future__ import annotations

import pytest

from gateway.config import load
from gateway.config.block import Block, examine, keys_of
from gateway.config.policies import LEAVES, POLICY_TYPES, Policy, block_of
from gateway.config.policy_types import NumericAttribute, OttlCondition, SpanCount, StringAttribute


def block(model: type[Block], text: str) -> tuple[Block | None, list[str]]:
    found, mistakes = examine(model, load([("f", text)], {}).root, ())
    return found, [mistake.message for mistake in mistakes]


@pytest.mark.parametrize("kind", POLICY_TYPES)
def test_every_type_has_words_and_an_example_of_itself(kind: str) -> None:
    """What a type means and how it is written stand with it; every key is described."""
    model = block_of(Policy, kind)
    found, mistakes = examine(Policy, load([("f", model.example)], {}).root, ())
    assert found is not None and not mistakes and found.type == kind
    assert model.__doc__ and all(field.description for _, field in keys_of(model).values())


def test_only_two_types_have_no_keys() -> None:
    """always_sample and trace_flags are told nothing."""
    assert [kind for kind, model in LEAVES.items() if not keys_of(model)] == ["always_sample", "trace_flags"]


def test_bounds_of_0_count_only_where_they_are_told_to() -> None:
    """As in the Collector a bound that is 0 is one that is absent, unless zero counts."""
    found, _ = block(NumericAttribute, "{key: k, min_value: 0, max_value: 5}")
    assert isinstance(found, NumericAttribute)
    assert found.bounds(zero_counts=False) == (None, 5)
    assert found.bounds(zero_counts=True) == (0, 5)
    found, _ = block(NumericAttribute, "{key: k, max_value: -5}")
    assert isinstance(found, NumericAttribute)
    assert found.bounds(zero_counts=True) == (None, -5)


def test_a_range_may_lie_below_0() -> None:
    """Bounds are compared only where both count."""
    assert block(NumericAttribute, "{key: k, min_value: -9, max_value: -5}")[1] == []
    assert block(NumericAttribute, "{key: k, min_value: 9, max_value: 0}")[1] == []
    assert block(SpanCount, "{min_spans: 9, max_spans: 0}")[1] == []


def test_what_the_collector_takes_is_taken() -> None:
    """Empty lists of values and caches of any size do no harm; error modes may be in capitals."""
    assert block(StringAttribute, "{key: k, values: , cache_max_size: -1}")[1] == []
    found, _ = block(OttlCondition, "{error_mode: IGNORE, span: [name == 1]}")
    assert isinstance(found, OttlCondition) and found.error_mode == "ignore"
