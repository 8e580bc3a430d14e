"""gateway.config.tree"""

from __future__ import annotations

from gateway.config.source import compose
from gateway.config.tree import Mark, dotted, find, key_mark, plain, value_mark

TEXT = """\
exporters:
  otlp:
    endpoint: tempo:4317
policies:
  - name: a
"""
TREE, _ = compose("f.yaml", TEXT)


def test_every_key_and_value_knows_its_place() -> None:
    """A key and its value each have a line and column, counted from 1."""
    assert key_mark(TREE, ("exporters", "otlp", "endpoint")) == Mark("f.yaml", 3, 5)
    assert value_mark(TREE, ("exporters", "otlp", "endpoint")) == Mark("f.yaml", 3, 15)


def test_an_item_of_a_list_is_placed_where_it_begins() -> None:
    """An item has no key; it is pointed at where its value begins."""
    assert key_mark(TREE, ("policies", 0)) == Mark("f.yaml", 5, 5)


def test_what_is_not_there_is_placed_at_the_nearest_key_above() -> None:
    """A missing key is pointed at through the block it is missing from."""
    assert key_mark(TREE, ("exporters", "otlp", "tls", "insecure")) == Mark("f.yaml", 2, 3)
    assert value_mark(TREE, ("policies", 7, "name")) == Mark("f.yaml", 4, 1)
    assert find(TREE, ("policies", 7)) is None


def test_a_tree_is_plain_data_too() -> None:
    """Without its marks a tree is what any YAML reader would give."""
    assert plain(TREE) == {"exporters": {"otlp": {"endpoint": "tempo:4317"}}, "policies": [{"name": "a"}]}


def test_paths_read_as_people_write_them() -> None:
    """Keys are joined by dots and positions stand in brackets."""
    assert (
        dotted(("processors", "tail_sampling/2", "policies", 2, "name"))
        == "processors.tail_sampling/2.policies[2].name"
    )
    assert dotted(()) == ""
