"""Variables in the values of a tree: ${env:VAR}, ${env:VAR:-default}, ${VAR}; $$ is a dollar.

Owns the grammar of references and what a value that came from a variable means. Reads no environment: it is handed in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.source import compose
from gateway.config.tree import UNKNOWN, Entry, Items, Mark, Node, Path, Scalar, Section, Substituted, Unknown, dotted
from gateway.errors import ConfigError, Mistake

NESTING_MAX = 10  # of defaults within defaults

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):(?!-)")


def substitute(node: Node, env: Mapping[str, str]) -> tuple[Node, list[Mistake]]:
    """The tree with every reference replaced, and what could not be. Such a value becomes UNKNOWN.

    A value that consists of one reference and nothing else takes the type its text has as YAML; within a longer text a reference
    stands for its text. What a variable holds is taken as it is: no references and no $$ are looked for in it.
    """
    work = _Substitution(env)
    return work.node(node, ()), work.mistakes


@dataclass(frozen=True, slots=True)
class _Reference:
    """${name} or ${name:-default}; the default is parsed like any text."""

    source: str
    name: str
    default: list[str | _Reference] | None


class _RefusedError(ValueError):
    """Why a text cannot be substituted, in words."""


class _Substitution:
    def __init__(self, env: Mapping[str, str]) -> None:
        self.env = env
        self.mistakes: list[Mistake] = []

    def node(self, node: Node, path: Path) -> Node:
        match node:
            case Scalar(mark, str(text), raw) if "$" in text:
                return self.text(mark, text, raw, path)
            case Scalar():
                return node
            case Items(mark, items):
                return Items(mark, tuple(self.node(item, (*path, index)) for index, item in enumerate(items)))
            case Section(mark, entries):
                return Section(
                    mark,
                    {key: Entry(entry.key, self.node(entry.value, (*path, key))) for key, entry in entries.items()},
                )

    def text(self, mark: Mark, text: str, raw: str, path: Path) -> Node:
        try:
            parts = _parse(text)
            match parts:
                case [_Reference() as reference]:
                    return _typed(mark, reference.source, self.value(reference))
                case _:
                    joined = self.join(parts)
        except _RefusedError as refusal:
            self.mistakes.append(Mistake(*mark, str(refusal), dotted(path)))
            return Scalar(mark, UNKNOWN)
        if not any(isinstance(part, _Reference) for part in parts):
            return Scalar(mark, joined, raw)
        return Scalar(mark, Substituted(text, joined, joined))

    def join(self, parts: list[str | _Reference]) -> str:
        return "".join(part if isinstance(part, str) else self.value(part) for part in parts)

    def value(self, reference: _Reference) -> str:
        held = self.env.get(reference.name)
        if held is not None:
            return held  # also an empty one, as in the Collector: the default is for a variable that is not set
        if reference.default is None:
            raise _RefusedError(
                f"the variable {reference.name} is not set; ${{env:{reference.name}:-default}} gives it a default"
            )
        return self.join(reference.default)


def _typed(mark: Mark, source: str, text: str) -> Node:
    """What a variable's text says as YAML, all of it placed where the reference stands; plain text if it says nothing."""
    try:
        node, mistakes = compose("", text)
    except ConfigError:
        mistakes = [Mistake("", 1, 1, "not YAML")]
    if mistakes:
        return Scalar(mark, Substituted(source, text, text))
    return _placed(mark, source, text, node)


def _placed(mark: Mark, source: str, text: str, node: Node) -> Node:
    match node:
        case Scalar(_, value):
            assert not isinstance(value, Substituted), "only a file's tree is substituted, and only once"
            return Scalar(mark, value if isinstance(value, Unknown) else Substituted(source, text, value))
        case Items(_, items):
            return Items(mark, tuple(_inner(mark, source, item) for item in items), Substituted(source, text, None))
        case Section(_, entries):
            placed = {key: Entry(mark, _inner(mark, source, entry.value)) for key, entry in entries.items()}
            return Section(mark, placed, Substituted(source, text, None))


def _inner(mark: Mark, source: str, node: Node) -> Node:
    """A value inside a list or mapping that came from a variable. Its own text is known only if it is text."""
    if isinstance(node, Scalar) and not isinstance(node.value, str):
        return Scalar(mark, node.value)
    return _placed(mark, source, str(node.value) if isinstance(node, Scalar) else "", node)


def _parse(text: str, depth: int = 0) -> list[str | _Reference]:
    """The parts of a text in order, $$ already made one dollar."""
    parts: list[str | _Reference] = []
    here = 0
    while (dollar := text.find("$", here)) >= 0:
        if dollar > here:
            parts.append(text[here:dollar])
        if text.startswith("$$", dollar):
            parts.append("$")
            here = dollar + 2
        elif text.startswith("${", dollar):
            here = _end(text, dollar)
            parts.append(_reference(text[dollar:here], depth))
        else:
            parts.append("$")
            here = dollar + 1
    if here < len(text):
        parts.append(text[here:])
    return parts


def _end(text: str, start: int) -> int:
    """The position behind the } that closes the reference at `start`."""
    open_braces = 0
    here = start
    while here < len(text):
        if text.startswith("${", here):
            open_braces += 1
            here += 1
        elif text[here] == "}":
            open_braces -= 1
            if open_braces == 0:
                return here + 1
        here += 1
    raise _RefusedError("${ without its }; write $${ for a dollar and a brace")


def _reference(source: str, depth: int) -> _Reference:
    inside = source[2:-1]
    if depth == NESTING_MAX:
        raise _RefusedError(f"references nested more than {NESTING_MAX} deep")
    scheme = _SCHEME.match(inside)
    if scheme and scheme[1] != "env":
        raise _RefusedError(f'the source "{scheme[1]}" in ${{{scheme[1]}:...}} is not built yet; there is ${{env:VAR}}')
    name, dash, default = (inside[len("env:") :] if scheme else inside).partition(":-")
    if not _NAME.fullmatch(name):
        raise _RefusedError(f'"{name}" in {_short(source)} is no name of a variable; write $$ for a plain dollar')
    return _Reference(source, name, _parse(default, depth + 1) if dash else None)


def _short(source: str) -> str:
    return source if len(source) <= 40 else f"{source[:37]}..."
