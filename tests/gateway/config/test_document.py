"""gateway.config.document"""

from __future__ import annotations

import pytest

from gateway.config import load, tier_of
from gateway.config.tree import plain, value_mark
from gateway.errors import ConfigError

BELOW = "exporters:\n  otlp: {endpoint: a, headers: {x: one}}\nlist: [1, 2]\n"
ABOVE = "exporters:\n  otlp: {endpoint: b, headers: {y: two}}\n  debug:\nlist: [3]\n"


def test_files_merge_in_order() -> None:
    """Mappings merge, lists and single values of a later file replace."""
    document = load([("a.yaml", BELOW), ("b.yaml", ABOVE)], {})
    assert plain(document.root) == {
        "exporters": {"otlp": {"endpoint": "b", "headers": {"x": "one", "y": "two"}}, "debug": None},
        "list": [3],
    }


def test_what_is_merged_keeps_its_file() -> None:
    """After a merge every value still knows the file it came from."""
    root = load([("a.yaml", BELOW), ("b.yaml", ABOVE)], {}).root
    assert value_mark(root, ("exporters", "otlp", "endpoint")).file == "b.yaml"
    assert value_mark(root, ("exporters", "otlp", "headers", "x")).file == "a.yaml"


def test_nothing_replaces_a_mapping() -> None:
    """A later file takes a block back to its defaults by naming it with nothing under it, as in the Collector."""
    root = load([("a.yaml", "a: {b: {c: 1}}"), ("b.yaml", "a: {b: }")], {}).root
    assert plain(root) == {"a": {"b": None}}


def test_an_overridden_variable_need_not_be_set() -> None:
    """Variables are looked up after files have been merged."""
    document = load([("a.yaml", "a: ${X}"), ("b.yaml", "a: 1")], {})
    assert document.mistakes == () and plain(document.root) == {"a": 1}


def test_mistakes_that_allow_reading_on_are_carried() -> None:
    """A duplicate key and an unset variable wait for the mistakes of meaning, so that all are told at once."""
    document = load([("a.yaml", "a: 1\na: 2\nb: ${X}")], {})
    assert [mistake.line for mistake in document.mistakes] == [2, 3]


def test_every_unreadable_file_is_named() -> None:
    """The mistakes of all files come together."""
    with pytest.raises(ConfigError) as caught:
        load(
            [
                (
                    "a.yaml",
                    "a: [",
                ),
                ("b.yaml", "- a"),
                ("c.yaml", "a: 1\na: 2"),
            ],
            {},
        )
    assert [mistake.file for mistake in caught.value.mistakes] == ["a.yaml", "b.yaml", "c.yaml"]


@pytest.mark.parametrize(
    ("exporters", "tier"),
    [
        ("[load_balancing]", "loadbalancer"),
        ("[debug, loadbalancing/2]", "loadbalancer"),
        ("[otlp]", "sampler"),
        ("5", "sampler"),
    ],
)
def test_a_pipeline_that_balances_is_a_load_balancers(exporters: str, tier: str) -> None:
    """The tier shows in what the pipeline exports to."""
    text = f"service: {{pipelines: {{traces: {{exporters: {exporters}}}}}}}"
    assert tier_of(load([("f.yaml", text)], {})) == tier


def test_a_variable_can_choose_the_tier() -> None:
    """An exporter named by a variable counts like any other."""
    text = 'service: {pipelines: {traces: {exporters: ["${env:EXPORTER}"]}}}'
    assert tier_of(load([("f.yaml", text)], {"EXPORTER": "load_balancing"})) == "loadbalancer"


def test_a_definition_alone_chooses_no_tier() -> None:
    """A load_balancing exporter that no pipeline names does not make a load balancer."""
    assert tier_of(load([("f.yaml", "exporters: {load_balancing: }")], {})) == "sampler"
