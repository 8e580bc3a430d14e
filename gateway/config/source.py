"""The text of one YAML file to a tree, strictly.

Owns what we take as YAML: one document, keys that are text and stand once, the scalars of YAML 1.2 (`no` and `on` are text,
`1e3` is a number), anchors and merge keys within bounds. Knows no variables and not what any key means.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import yaml

from gateway.config.tree import UNKNOWN, Entry, Items, Mark, Node, Path, Plain, Scalar, Section, Unknown, dotted
from gateway.errors import ConfigError, Mistake

TEXT_CHARS_MAX = 1 << 20  # a file of 500 policies has 50,000
NODES_MAX = 100_000  # with every alias counted as often as it is used: ten lines can otherwise mean a billion
NESTING_MAX = 50  # the deepest documented key has 9 above it
NUMBER_CHARS_MAX = 64

_NULL = frozenset(("", "~", "null", "Null", "NULL"))
_BOOL = {text: text.lower() == "true" for text in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT = re.compile(r"[-+]?[0-9]+")
_OTHER_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_TAG = "tag:yaml.org,2002:"


def compose(file: str, text: str) -> tuple[Node, list[Mistake]]:
    """The tree of a file's text, and the mistakes that did not hinder reading on. An empty file is null.

    Raises ConfigError, with those mistakes as well, when the text cannot be understood to its end.
    """
    if len(text) > TEXT_CHARS_MAX:
        raise ConfigError([Mistake(file, 1, 1, f"longer than {TEXT_CHARS_MAX} characters")])
    composer = _Composer(file, text)
    try:
        return composer.document(), composer.mistakes
    except _StopError as stop:
        composer.mistakes.append(stop.mistake)
    except yaml.MarkedYAMLError as error:
        composer.mistakes.append(_syntax(file, text, error))
    except yaml.reader.ReaderError as error:
        composer.mistakes.append(_unreadable(file, text, error))
    except (ValueError, OverflowError):
        # PyYAML turns an escape such as "\UFFFFFFFF" or an endless %YAML version into a number without looking.
        composer.mistakes.append(
            composer.mistake(composer.last, (), "not YAML: a number or an escape out of range near here")
        )
    raise ConfigError(composer.mistakes)


class _StopError(Exception):
    """A mistake after which the rest cannot be understood."""

    def __init__(self, mistake: Mistake) -> None:
        super().__init__(mistake.message)
        self.mistake = mistake


def _syntax(file: str, text: str, error: yaml.MarkedYAMLError) -> Mistake:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    message = f"not YAML: {error.problem or error.context or 'it cannot be read'}"
    lines = text.splitlines()
    if line < len(lines) and "${" in lines[line]:
        message += '; inside {} and [] write "${...}" in quotes'
    return Mistake(file, line + 1, column + 1, message)


def _unreadable(file: str, text: str, error: yaml.reader.ReaderError) -> Mistake:
    before = text[: error.position]
    column = len(before) - (before.rfind("\n") + 1)
    return Mistake(file, before.count("\n") + 1, column + 1, "not YAML: a character that YAML does not allow")


class _Composer:
    """Builds nodes from the parser's events, one call a node, counting what the tree would hold if aliases were copies."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.text = text
        self.events: Iterator[yaml.Event] = yaml.parse(text, Loader=yaml.SafeLoader)
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.mistakes: list[Mistake] = []
        self.nodes = 0
        self.last = Mark(file, 1, 1)

    def next(self) -> yaml.Event:
        try:
            event = next(self.events)
        except (ValueError, OverflowError) as error:
            # PyYAML turns an escape such as "\\UFFFFFFFF" or an endless %YAML version into a number without looking.
            raise _StopError(
                self.mistake(self.last, (), "not YAML: a number or an escape out of range after this")
            ) from error
        self.last = self.mark(event)
        return event

    def mark(self, event: yaml.Event) -> Mark:
        assert event.start_mark is not None, "the parser marks every event"
        return Mark(self.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def raw(self, event: yaml.ScalarEvent) -> str:
        """How the text writes a scalar."""
        assert event.start_mark is not None and event.end_mark is not None, "the parser marks every event"
        return self.text[event.start_mark.index : event.end_mark.index]

    def mistake(self, mark: Mark, path: Path, message: str) -> Mistake:
        return Mistake(*mark, message, dotted(path))

    def note(self, mark: Mark, path: Path, message: str) -> None:
        self.mistakes.append(self.mistake(mark, path, message))

    def document(self) -> Node:
        """The one document of the stream."""
        self.next()  # the start of the stream
        if isinstance(self.next(), yaml.StreamEndEvent):
            return Scalar(Mark(self.file, 1, 1), None)
        node = self.node(self.next(), ())
        self.next()  # the end of the document
        after = self.next()
        if not isinstance(after, yaml.StreamEndEvent):
            self.note(self.mark(after), (), "a second YAML document; a file holds one")
        return node

    def node(self, event: yaml.Event, path: Path) -> Node:
        """The node that begins with this event."""
        mark = self.mark(event)
        if len(path) > NESTING_MAX:
            raise _StopError(self.mistake(mark, (), f"nested more than {NESTING_MAX} levels deep"))
        if isinstance(event, yaml.AliasEvent):
            return self.alias(event, path)
        before = self.nodes
        self.count(1, mark)
        assert isinstance(event, (yaml.ScalarEvent, yaml.CollectionStartEvent)), "nothing else begins a node"
        match event:
            case yaml.MappingStartEvent():
                self.collection_tag(event, "map", path)
                node: Node = self.section(mark, path)
            case yaml.CollectionStartEvent():
                self.collection_tag(event, "seq", path)
                node = self.items(mark, path)
            case yaml.ScalarEvent():
                node = Scalar(mark, self.scalar(event, path), self.raw(event))
        if event.anchor is not None:
            self.anchors[event.anchor] = node, self.nodes - before
        return node

    def count(self, nodes: int, mark: Mark) -> None:
        self.nodes += nodes
        if self.nodes > NODES_MAX:
            raise _StopError(self.mistake(mark, (), f"more than {NODES_MAX} values, aliases counted as often as used"))

    def alias(self, event: yaml.AliasEvent, path: Path) -> Node:
        if event.anchor not in self.anchors:
            self.note(self.mark(event), path, f"no anchor &{event.anchor} is complete before this alias")
            return Scalar(self.mark(event), UNKNOWN)
        node, nodes = self.anchors[event.anchor]
        self.count(nodes, self.mark(event))
        return node

    def collection_tag(self, event: yaml.CollectionStartEvent, kind: str, path: Path) -> None:
        if event.tag not in (None, "!", _TAG + kind):
            self.note(self.mark(event), path, f"the tag {_shown_tag(event.tag)} is not supported")

    def items(self, mark: Mark, path: Path) -> Items:
        items: list[Node] = []
        while not isinstance(event := self.next(), yaml.SequenceEndEvent):
            items.append(self.node(event, (*path, len(items))))
        return Items(mark, tuple(items))

    def section(self, mark: Mark, path: Path) -> Section:
        entries: dict[str, Entry] = {}
        merged: list[tuple[Mark, Node]] = []
        while not isinstance(event := self.next(), yaml.MappingEndEvent):
            key_mark, key = self.mark(event), self.key(event, path)
            value = self.node(self.next(), path if key is None else (*path, key))
            if key is None:
                continue
            if key == "<<" and getattr(event, "style", None) is None:
                merged.append((key_mark, value))
            elif key in entries:
                first = entries[key].key
                self.note(key_mark, (*path, key), f"duplicate key; it is already there in line {first.line}")
            else:
                entries[key] = Entry(key_mark, value)
        for merge_mark, value in merged:
            self.merge(entries, merge_mark, value, path)
        return Section(mark, entries)

    def key(self, event: yaml.Event, path: Path) -> str | None:
        """The text of a key; None, with a mistake noted, if it is not text."""
        mark = self.mark(event)
        node = self.node(event, path)
        if isinstance(node, Scalar) and isinstance(node.value, str):
            if "${" in node.value:
                self.note(mark, (*path, node.value), "variables are not substituted in keys")
            return node.value
        if not (isinstance(node, Scalar) and isinstance(node.value, Unknown)):
            self.note(mark, path, "a key must be text; write it in quotes")
        return None

    def merge(self, entries: dict[str, Entry], mark: Mark, value: Node, path: Path) -> None:
        """`<<`: what the section does not say itself, it takes from these; the first of several wins."""
        sources = value.items if isinstance(value, Items) else (value,)
        for source in sources:
            if isinstance(source, Scalar) and source.value is UNKNOWN:
                continue
            if not isinstance(source, Section):
                self.note(mark, (*path, "<<"), "a merge key takes a mapping or a list of mappings")
                continue
            for key, entry in source.entries.items():
                entries.setdefault(key, entry)

    def scalar(self, event: yaml.ScalarEvent, path: Path) -> Plain | Unknown:
        """The value of a scalar; Unknown, with a mistake noted, if it has none."""
        try:
            return _value(event)
        except _NoValueError as problem:
            self.note(self.mark(event), path, str(problem))
            return UNKNOWN


class _NoValueError(ValueError):
    """Why a scalar has no value, in words."""


def _shown_tag(tag: str) -> str:
    return f"!!{tag.removeprefix(_TAG)}" if tag.startswith(_TAG) else tag


def _value(event: yaml.ScalarEvent) -> Plain:
    text: str = event.value
    if any("\ud800" <= char <= "\udfff" for char in text):
        raise _NoValueError("half a surrogate pair is no character")
    if event.tag is not None:
        return _tagged(event.tag, text)
    return resolve(text) if event.style is None else text


def _tagged(tag: str, text: str) -> Plain:
    """The value of a scalar with an explicit tag."""
    if tag in ("!", _TAG + "str"):
        return text
    kinds: dict[str, tuple[type, ...]] = {"null": (type(None),), "bool": (bool,), "int": (int,), "float": (int, float)}
    kind = kinds.get(tag.removeprefix(_TAG))
    if kind is None:
        raise _NoValueError(f"the tag {_shown_tag(tag)} is not supported")
    value = resolve(text)
    if not isinstance(value, kind) or (isinstance(value, bool) and bool not in kind):
        raise _NoValueError(f"this is no {_shown_tag(tag)}")
    return float(value) if tag == _TAG + "float" and value is not None else value


def resolve(text: str) -> Plain:
    """What an unquoted scalar means in the core schema of YAML 1.2 (section 10.3.2). Raises ValueError with the words for it."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INFINITE.fullmatch(text):
        return float(text.replace(".", "").lower())
    if not (_FLOAT.fullmatch(text) or _OTHER_INT.fullmatch(text)):
        return text
    if len(text) > NUMBER_CHARS_MAX:
        raise _NoValueError(f"a number of more than {NUMBER_CHARS_MAX} digits; write it in quotes if it is text")
    if _LEADING_ZERO.fullmatch(text):
        raise _NoValueError(
            "a number with a leading zero is octal to some and decimal to others; write 0o17, 15 or quotes"
        )
    if _INT.fullmatch(text):
        return int(text)
    return int(text, 0) if _OTHER_INT.fullmatch(text) else float(text)
