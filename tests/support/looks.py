"""What a Look finds in each span, by the official parser: the other side of the comparison with gateway.kernel.match.

The official messages are given a schema of their own here, in which what a look gives raw is plain bytes and presence is
known: an attribute is bytes, its value is bytes, and so is a status.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError

from gateway.kernel.names import RESOURCE, SCOPE, SPAN, Envelope, Look, Plan, Probe, Values
from tests.support import wire

_KINDS = descriptor_pb2.FieldDescriptorProto
_ONE, _MANY = _KINDS.LABEL_OPTIONAL, _KINDS.LABEL_REPEATED
_SHAPES: dict[str, dict[int, tuple[Any, Any]]] = {
    "Resource": {1: (_MANY, _KINDS.TYPE_BYTES), 2: (_ONE, _KINDS.TYPE_UINT64), 3: (_MANY, _KINDS.TYPE_BYTES)},
    "Scope": {
        1: (_ONE, _KINDS.TYPE_BYTES),
        2: (_ONE, _KINDS.TYPE_BYTES),
        3: (_MANY, _KINDS.TYPE_BYTES),
        4: (_ONE, _KINDS.TYPE_UINT64),
    },
    "Span": {
        **dict.fromkeys((1, 2, 3, 4, 5, 15), (_ONE, _KINDS.TYPE_BYTES)),
        **dict.fromkeys((6, 10, 12, 14), (_ONE, _KINDS.TYPE_UINT64)),
        **dict.fromkeys((7, 8), (_ONE, _KINDS.TYPE_FIXED64)),
        **dict.fromkeys((9, 11, 13), (_MANY, _KINDS.TYPE_BYTES)),
        16: (_ONE, _KINDS.TYPE_FIXED32),
    },
    "Envelope": {1: (_MANY, _KINDS.TYPE_BYTES)},
    "KeyValue": {1: (_ONE, _KINDS.TYPE_BYTES), 2: (_ONE, _KINDS.TYPE_BYTES)},
}
ATTRIBUTES = {RESOURCE: 1, SCOPE: 3, SPAN: 9}
FIELDS = {where: tuple(_SHAPES[name]) for where, name in ((RESOURCE, "Resource"), (SCOPE, "Scope"), (SPAN, "Span"))}
"""Every field that there is to look at."""


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="tests/looks.proto", package="looks", syntax="proto2")
    for name, fields in _SHAPES.items():
        shape = file.message_type.add(name=name)
        for number, (label, kind) in fields.items():
            shape.field.add(name=f"f{number}", number=number, label=label, type=kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"looks.{name}")) for name in _SHAPES}


_CLASSES = _classes()
_NAMES = {RESOURCE: "Resource", SCOPE: "Scope", SPAN: "Span"}


def found(look: Look, message: bytes) -> object:
    """What the look is at in this Resource, Scope or Span: bytes, a number, or of repeated fields a list; None if nothing.

    Raises DecodeError where official parsers cannot read the message, or one of its attributes when one is looked for.
    """
    parsed = _CLASSES[_NAMES[look.where]].FromString(message)
    if look.key:
        pairs = [_CLASSES["KeyValue"].FromString(pair) for pair in getattr(parsed, f"f{look.field}")]
        return next((pair.f2 for pair in pairs if pair.f1 == look.key.encode()), None)
    if _SHAPES[_NAMES[look.where]][look.field][0] == _MANY:
        return list(getattr(parsed, f"f{look.field}")) or None
    return getattr(parsed, f"f{look.field}") if parsed.HasField(f"f{look.field}") else None


def understood(look: Look, raw: bytes | None) -> object:
    """The same of the raw value that the kernel gave for the look."""
    if raw is None or look.key:
        return raw
    label, kind = _SHAPES[_NAMES[look.where]][look.field]
    if label == _MANY:
        return found(look, raw)
    if kind == _KINDS.TYPE_BYTES:
        return raw
    wire_type = {_KINDS.TYPE_UINT64: wire.VARINT, _KINDS.TYPE_FIXED64: wire.FIXED64, _KINDS.TYPE_FIXED32: wire.FIXED32}
    return found(look, wire.tag(look.field, wire_type[kind]) + raw)


def merged(envelope: bytes) -> bytes:
    """The Resource among the fields of ResourceSpans, or the Scope among those of ScopeSpans. Given twice, they merge, which
    is what becomes of messages one after the other; each must be readable by itself, or this raises DecodeError."""
    given = list(_CLASSES["Envelope"].FromString(envelope).f1)
    for each in given:
        _CLASSES["Envelope"].FromString(each)
    return b"".join(given)


def expected(looks: tuple[Look, ...], envelope: Envelope, span: bytes) -> tuple[object, ...] | None:
    """What all looks are at; None where official parsers cannot read one of the messages that they look into."""
    try:
        messages = {RESOURCE: merged(envelope[0]), SCOPE: merged(envelope[1]), SPAN: span}
        return tuple(found(look, messages[look.where]) for look in looks)
    except DecodeError:
        return None


class Listener:
    """Probes that mark each span with what they were told of it: `told` finds it again in the marks.

    Each probe has a lane of LANE bits, in which stands the number of the values.
    """

    LANE = 24

    def __init__(self, *asked: tuple[Look, ...], memo: bool = True) -> None:
        self._told: list[Values] = []
        self._numbers: dict[Values, int] = {}
        self.calls = 0
        probes = [Probe(looks, self._judge_of(lane), memo) for lane, looks in enumerate(asked)]
        self.plan = Plan(self.LANE * len(asked), tuple(probes))

    def told(self, mask: int) -> list[Values]:
        """What each probe was told of the span with these marks."""
        lanes = [mask >> self.LANE * lane & (1 << self.LANE) - 1 for lane in range(len(self.plan.probes))]
        return [self._told[number - 1] for number in lanes]

    def _judge_of(self, lane: int) -> Any:
        def judge(values: Values) -> int:
            self.calls += 1
            if values not in self._numbers:
                self._told.append(values)
                self._numbers[values] = len(self._told)
            return self._numbers[values] << self.LANE * lane

        return judge
