"""gateway.config.catalogue"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.block import Block, inner
from gateway.config.catalogue import ALIASES, BY_SECTION, SHELVES
from gateway.config.pipelines import Service
from gateway.config.reference import rows


def models() -> Iterator[type[Block]]:
    yield Service
    for shelf in SHELVES:
        yield from shelf.models.values()


def test_nothing_is_both_built_and_not_built() -> None:
    """A type, or a key of a component, is either there or refused."""
    for shelf in SHELVES:
        assert not shelf.models.keys() & shelf.unbuilt.keys()
    for model in models():
        for field in (model, *(inner(field.annotation) for field in model.model_fields.values())):
            if isinstance(field, type) and issubclass(field, Block):
                known = field.model_fields.keys()
                assert not known & field.unbuilt.keys() and not known & field.refused.keys()


def test_aliases_are_the_same_component() -> None:
    """Both names of an exporter lead to the same keys."""
    exporters = BY_SECTION["exporters"].models
    for alias, name in ALIASES.items():
        assert exporters[alias] is exporters[name]


def test_every_key_says_what_it_does() -> None:
    """No key is without a meaning, which is what the documentation is written from."""
    for model in models():
        assert model.__doc__
        for row in rows(model):
            assert row.meaning.endswith("."), f"{model.__name__}.{row.key}"
