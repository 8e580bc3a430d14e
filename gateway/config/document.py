"""Several files to one document: composed, merged in order, variables substituted.

Owns the order of these steps and how files merge. Reads no disk and no environment, and knows just enough of the language to
say which tier a document is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.config.source import compose
from gateway.config.substitution import substitute
from gateway.config.tree import Items, Node, Scalar, Section, Substituted
from gateway.errors import ConfigError, Mistake

BALANCING_TYPES = ("load_balancing", "loadbalancing")


@dataclass(frozen=True, slots=True)
class Document:
    """What the files say together. `mistakes` are those found so far, to be reported with all others by a tier's `parse`."""

    root: Section
    mistakes: tuple[Mistake, ...] = ()


def load(files: Sequence[tuple[str, str]], env: Mapping[str, str]) -> Document:
    """The document of these files, each (name for messages, text), merged in order: maps merge, lists and scalars replace.

    Raises ConfigError if a file cannot be read as YAML; every other mistake is left to a tier's `parse` to report.
    """
    assert files, "the command asks for at least one file"
    roots: list[Section] = []
    mistakes: list[Mistake] = []
    for name, text in files:
        try:
            node, found = compose(name, text)
            roots.append(_root(node))
            mistakes += found
        except ConfigError as error:
            mistakes += error.mistakes
    if len(roots) < len(files):
        raise ConfigError(mistakes)
    root: Node = roots[0]
    for over in roots[1:]:
        root = merge(root, over)
    root, unset = substitute(root, env)
    assert isinstance(root, Section)
    return Document(root, (*mistakes, *unset))


def _root(node: Node) -> Section:
    if isinstance(node, Section):
        return node
    if isinstance(node, Scalar) and node.value is None:
        return Section(node.mark)
    raise ConfigError([Mistake(*node.mark, "expected a mapping with receivers, exporters and service at the top")])


def merge(below: Node, above: Node) -> Node:
    """The two as one: sections key by key, anything else replaced by what is above. Every node keeps its own place."""
    if not (isinstance(below, Section) and isinstance(above, Section)):
        return above
    entries = dict(below.entries)
    for key, entry in above.entries.items():
        under = entries.get(key)
        both = under is not None and isinstance(under.value, Section) and isinstance(entry.value, Section)
        entries[key] = under._replace(value=merge(under.value, entry.value)) if under and both else entry
    return Section(below.mark, entries)


def type_of(component_id: str) -> str:
    """The type in a component's id: the part before the slash."""
    return component_id.partition("/")[0].strip()


def tier_of(document: Document) -> Literal["loadbalancer", "sampler"]:
    """Which tier this document is for: a load balancer's pipeline exports to load_balancing, any other is a sampler's."""
    exporters = (name for pipeline in _pipelines(document.root) for name in _texts(pipeline.get("exporters")))
    balances = any(type_of(name) in BALANCING_TYPES for name in exporters)
    return "loadbalancer" if balances else "sampler"


def _pipelines(root: Section) -> Iterator[Section]:
    service = root.get("service")
    pipelines = service.get("pipelines") if isinstance(service, Section) else None
    if isinstance(pipelines, Section):
        yield from (entry.value for entry in pipelines.entries.values() if isinstance(entry.value, Section))


def _texts(node: Node | None) -> Iterator[str]:
    for item in node.items if isinstance(node, Items) else ():
        text = text_of(item)
        if text is not None:
            yield text


def text_of(node: Node) -> str | None:
    """The text of a scalar that is text; None for anything else."""
    if not isinstance(node, Scalar):
        return None
    value = node.value.text if isinstance(node.value, Substituted) else node.value
    return value if isinstance(value, str) else None
