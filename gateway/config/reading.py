"""A whole document judged, as far as both tiers judge alike.

Owns: every definition examined, references that lead somewhere, the one traces pipeline, ports that do not clash. A tier's
config module adds its own rules with `note`, and closes with `close`, which raises every mistake there is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.config import settings
from gateway.config.block import Block, examine
from gateway.config.catalogue import BY_SECTION, SHELVES, Shelf
from gateway.config.document import Document, text_of, type_of
from gateway.config.extensions import HealthCheck
from gateway.config.pipelines import Service, Telemetry
from gateway.config.receivers import OtlpReceiver
from gateway.config.scalars import not_built
from gateway.config.settings import Endpoint
from gateway.config.tree import Items, Mark, Node, Path, Scalar, Section, Unknown, dotted, key_mark, value_mark
from gateway.config.words import meant, shown
from gateway.errors import ConfigError, Mistake

_TOP = (*BY_SECTION, "service")
_TYPE = re.compile(r"[A-Za-z][0-9A-Za-z_]{0,62}")
_NAME = re.compile(r"[^\s/\x00-\x1f][^\x00-\x1f]{0,1023}")

Found = TypeVar("Found", bound=Block)


@dataclass(frozen=True, slots=True)
class Component:
    """One definition. `block` is None if there is a mistake in it; `model` is None if its type is not known."""

    id: str
    path: Path
    model: type[Block] | None = None
    block: Block | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """A component named in the service section. `component` is None if there is none of that id."""

    id: str
    path: Path
    component: Component | None

    def is_a(self, model: type[Block]) -> bool:
        """Whether it is defined and of that kind, rightly or wrongly."""
        return self.component is not None and self.component.model is model


@dataclass
class Reading:
    """What both tiers read from a document, and the mistakes so far."""

    document: Document
    mistakes: list[Mistake]
    components: dict[str, dict[str, Component]] = field(default_factory=dict)
    service: Service | None = None
    telemetry: Telemetry | None = None
    pipeline: str = ""  # the id of the one traces pipeline, "" if there is none

    def note(self, path: Path, message: str, at_key: bool = False) -> None:
        """Add a mistake about what is at a path."""
        mark = (key_mark if at_key else value_mark)(self.document.root, path)
        self.mistakes.append(Mistake(*mark, message, dotted(path)))

    def references(self, section: str) -> list[Reference]:
        """What the pipeline names of a section; for extensions, what the service names. Each is noted if it is not defined."""
        return list(
            self._references(section, ("service", "extensions") if section == "extensions" else self._step(section))
        )

    def _step(self, section: str) -> Path:
        return ("service", "pipelines", self.pipeline, section)

    def _references(self, section: str, path: Path) -> Iterator[Reference]:
        for index, item in enumerate(_items(self.document.root, path)):
            name = text_of(item)
            if name:
                yield Reference(name, (*path, index), self.components[section].get(name.strip()))

    def blocks(self, section: str, model: type[Found]) -> list[tuple[str, Found]]:
        """The right ones of a kind that the service names, with their ids."""
        named = [reference.component for reference in self.references(section)]
        return [(one.id, one.block) for one in named if one is not None and isinstance(one.block, model)]

    def close(self) -> None:
        """Raise every mistake as one ConfigError, if there is any."""
        if self.mistakes:
            raise ConfigError(sorted(set(self.mistakes)))


def read(document: Document) -> Reading:
    """Judge what both tiers judge alike."""
    reading = Reading(document, list(document.mistakes))
    _top(reading)
    for shelf in SHELVES:
        reading.components[shelf.section] = dict(_components(reading, shelf))
    _service(reading)
    _pipelines(reading)
    for section in ("extensions", *(("receivers", "processors", "exporters") if reading.pipeline else ())):
        _resolve(reading, section)
    _one_of_each_extension(reading)
    _ports(reading)
    return reading


def _items(root: Section, path: Path) -> tuple[Node, ...]:
    node = _find(root, path)
    return node.items if isinstance(node, Items) else ()


def _find(root: Section, path: Path) -> Node | None:
    node: Node | None = root
    for step in path:
        node = node.get(str(step)) if isinstance(node, Section) else None
    return node


def _top(reading: Reading) -> None:
    root = reading.document.root
    for key in root.entries:
        if key == "connectors":
            reading.note((key,), not_built("a process runs one pipeline"), at_key=True)
        elif key not in _TOP:
            reading.note((key,), f"unknown key{meant(key, _TOP)}", at_key=True)
    for key in ("receivers", "exporters", "service"):
        if key not in root.entries:
            reading.note((), f'the key "{key}" is missing', at_key=True)


def _components(reading: Reading, shelf: Shelf) -> Iterator[tuple[str, Component]]:
    node = reading.document.root.get(shelf.section)
    if isinstance(node, Section):
        for name in node.entries:
            yield name.strip(), _component(reading, shelf, name)
    elif node is not None and not (
        isinstance(node, Scalar) and (node.value is None or isinstance(node.value, Unknown))
    ):
        reading.note((shelf.section,), f"expected a mapping of {shelf.section}")


def _component(reading: Reading, shelf: Shelf, name: str) -> Component:
    path: Path = (shelf.section, name)
    kind, slash, suffix = name.partition("/")
    kind = kind.strip()
    model = shelf.models.get(kind)
    if not _TYPE.fullmatch(kind) or (slash and not _NAME.fullmatch(suffix.strip())):
        reading.note(path, "expected type or type/name as the id of a component", at_key=True)
    elif kind in shelf.unbuilt:
        reading.note(path, f'the {shelf.noun} "{kind}" is {not_built(shelf.unbuilt[kind])}', at_key=True)
    elif model is None:
        reading.note(path, f'there is no {shelf.noun} "{kind}"{meant(kind, shelf.models)}', at_key=True)
    else:
        block, mistakes = examine(model, reading.document.root, path)
        reading.mistakes += mistakes
        return Component(name.strip(), path, model, block)
    return Component(name.strip(), path)


def _service(reading: Reading) -> None:
    if reading.document.root.get("service") is None:
        return
    reading.service, mistakes = examine(Service, reading.document.root, ("service",))
    reading.mistakes += mistakes
    reading.telemetry = reading.service.telemetry if reading.service else None


def _pipelines(reading: Reading) -> None:
    """Find the one pipeline, and say why there is no other."""
    node = _find(reading.document.root, ("service", "pipelines"))
    if not isinstance(node, Section):
        return
    for name in node.entries:
        path: Path = ("service", "pipelines", name)
        signal, slash, suffix = name.partition("/")
        if signal in ("metrics", "logs", "profiles"):
            reading.note(path, f"a pipeline of {signal} is {not_built('only traces are sampled')}", at_key=True)
        elif signal != "traces" or (slash and not suffix):
            reading.note(path, 'a pipeline is named "traces" or "traces/name"', at_key=True)
        elif reading.pipeline:
            text = f"a second pipeline beside {reading.pipeline}; a process runs one: give it a process and file of its own"
            reading.note(path, text, at_key=True)
        else:
            reading.pipeline = name
    if not node.entries:
        reading.note(("service", "pipelines"), "names no pipeline: traces", at_key=True)


def _resolve(reading: Reading, section: str) -> None:
    """Every reference of a section leads to a definition, and stands once."""
    defined = reading.components[section]
    seen: set[str] = set()
    for reference in reading.references(section):
        noun = BY_SECTION[section].noun
        if reference.component is None:
            where = f" under {section}" if defined else f"; there is no section {section}"
            reading.note(
                reference.path, f"no {noun} {shown(reference.id)} is defined{where}{meant(reference.id, defined)}"
            )
        elif reference.id in seen:
            reading.note(reference.path, f"the {noun} {shown(reference.id)} is named twice")
        seen.add(reference.id)


def _one_of_each_extension(reading: Reading) -> None:
    first: dict[str, str] = {}
    for reference in reading.references("extensions"):
        kind = type_of(reference.id)
        if reference.component is not None and first.setdefault(kind, reference.id) != reference.id:
            reading.note(reference.path, f"a second {kind} is {not_built('')}; {first[kind]} is there")


# ---------------------------------------------------------------- ports


def _ports(reading: Reading) -> None:
    """No two listeners want the same port."""
    taken: list[tuple[Endpoint, Path]] = []
    for endpoint, path in _listeners(reading):
        for other, other_path in taken:
            if _clash(endpoint, other):
                at = _place(reading, other_path)
                reading.note(path, f"{endpoint} is taken already: {dotted(other_path)} in line {at.line} is {other}")
                break
        taken.append((endpoint, path))


def _place(reading: Reading, path: Path) -> Mark:
    return value_mark(reading.document.root, path)


def _listeners(reading: Reading) -> Iterator[tuple[Endpoint, Path]]:
    for reference in _once(reading.references("receivers") if reading.pipeline else []):
        if isinstance(reference.block, OtlpReceiver):
            for key in ("grpc", "http"):
                server = getattr(reference.block.protocols, key)
                if server is not None:
                    yield server.endpoint, (*reference.path, "protocols", key, "endpoint")
    for reference in _once(reading.references("extensions")):
        if isinstance(reference.block, HealthCheck):
            yield reference.block.endpoint, (*reference.path, "endpoint")
    if reading.telemetry is not None:
        metrics = reading.telemetry.metrics
        where = metrics.settings()
        if where is not None:
            yield where, ("service", "telemetry", "metrics", *metrics.where())


def _once(references: list[Reference]) -> list[Component]:
    named = {reference.id: reference.component for reference in references}
    return [component for component in named.values() if component is not None]


_EVERYWHERE = ("0.0.0.0", "::")


def _clash(one: Endpoint, other: Endpoint) -> bool:
    if one.port != other.port or one.port == 0:
        return False
    hosts = {"127.0.0.1" if host in ("localhost", "::1") else host.lower() for host in (one.host, other.host)}
    return len(hosts) == 1 or any(host in _EVERYWHERE for host in (one.host, other.host))


# ---------------------------------------------------------------- what both tiers take over


def receivers(reading: Reading) -> tuple[settings.Receiver, ...]:
    """The settings of the pipeline's receivers."""
    return tuple(block.settings(name) for name, block in reading.blocks("receivers", OtlpReceiver))


def health(reading: Reading) -> settings.HealthCheck | None:
    """The settings of the health check, if one runs."""
    return next((block.settings() for _, block in reading.blocks("extensions", HealthCheck)), None)


def needs(reading: Reading, section: str, what: str) -> None:
    """Note it if the pipeline names nothing of a section."""
    path: Path = ("service", "pipelines", reading.pipeline, section)
    node = _find(reading.document.root, path)
    absent = (
        node is None
        or (isinstance(node, Items) and not node.items)
        or (isinstance(node, Scalar) and node.value is None)
    )
    if reading.pipeline and absent:
        reading.note(path if node is not None else path[:-1], f"the pipeline needs {what}", at_key=True)
