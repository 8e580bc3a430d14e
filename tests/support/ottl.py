"""A span with something of every kind in it, and what conditions in OTTL say of it. By the official classes, but for the
splitting of messages into fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

from gateway.kernel.names import RESOURCE, SCOPE, SPAN, Look, Values
from sampler.ottl import OttlError, compile_condition
from sampler.policy.marks import ERROR, NO, YES
from tests.support import wire

Python = None | bool | int | float | str | bytes | Sequence["Python"] | Mapping[str, "Python"]
Context = Literal["span", "spanevent"]

ANSWERS = {NO: "NO", YES: "YES", ERROR: "ERROR"}
_REPEATED = {(SPAN, 9), (SPAN, 11), (SPAN, 13), (RESOURCE, 1), (SCOPE, 3)}

ATTRIBUTES: dict[str, Python] = {
    "s": "hello",
    "e": "",
    "i": 42,
    "neg": -7,
    "big": 2**63 - 1,
    "z": 0,
    "d": 1.5,
    "d2": 42.0,
    "tiny": 1e-9,
    "huge": 1e25,
    "inf": float("inf"),
    "nan": float("nan"),
    "t": True,
    "f": False,
    "b": b"\x01\xff",
    "eb": b"",
    "nil": None,
    "num": "123",
    "flt": "1.5e3",
    "uni": "héllo wörld ß İ",
    "key": "s",
    "url": "a/b/c",
    "http.status_code": 503,
    "ctl": '<a>&\n\x01\x7f"\\ \u2028',
    "boolt": "T",
    "hex": "0102030405060708",
    "": "emptykey",
    "c": "Straße",
    "list": ["a", "b", 1, None, 2.5, [1], {"k": 1}],
    "el": [],
    "ls": ["a", "b"],
    "li": [1, 2],
    "lm": [{"a": 1}],
    "lst2": ["x", b"\x01"],
    "m": {"k": "v", "n": {"x": [1, 2]}, "nil": None, "": "empty"},
    "em": {},
}


def any_value(value: Python) -> AnyValue:
    """The value as OTLP has it."""
    match value:
        case None:
            return AnyValue()
        case bool():
            return AnyValue(bool_value=value)
        case int():
            return AnyValue(int_value=value)
        case float():
            return AnyValue(double_value=value)
        case str():
            return AnyValue(string_value=value)
        case bytes():
            return AnyValue(bytes_value=value)
    made = AnyValue()
    if isinstance(value, Mapping):
        made.kvlist_value.SetInParent()
        made.kvlist_value.values.extend(pairs(value))
    else:
        made.array_value.SetInParent()
        made.array_value.values.extend(map(any_value, value))
    return made


def pairs(values: Mapping[str, Python]) -> list[KeyValue]:
    """Attributes; Python's types are OTLP's."""
    return [KeyValue(key=key, value=any_value(value)) for key, value in values.items()]


def sample() -> ResourceSpans:
    """One span in its envelopes, all of whose fields say something."""
    span = Span(
        trace_id=bytes(range(1, 17)),
        span_id=bytes(range(1, 9)),
        trace_state="a=1,b=2",
        name="GET /x",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=1_700_000_000_000_000_000,
        end_time_unix_nano=1_700_000_002_500_000_001,
        attributes=pairs(ATTRIBUTES),
        dropped_attributes_count=7,
        dropped_events_count=1,
        status=Status(code=Status.STATUS_CODE_ERROR, message="boom"),
        flags=257,
        links=[Span.Link(trace_id=bytes(16))],
    )
    events: dict[str, dict[str, Python]] = {"first": {"x": 1}}
    events["exception"] = {"exception.type": "ValueError", "x": 2, "l": ["q"]}
    for name, values in events.items():
        event = span.events.add(name=name, time_unix_nano=1_700_000_001_000_000_000, dropped_attributes_count=4)
        event.attributes.extend(pairs(values))
    envelope = ResourceSpans(schema_url="u")
    envelope.resource.attributes.extend(pairs({"service.name": "x", "n": 5}))
    envelope.resource.dropped_attributes_count = 3
    scope = envelope.scope_spans.add()
    scope.scope.name, scope.scope.version, scope.scope.dropped_attributes_count = "lib", "1.2", 2
    scope.scope.attributes.extend(pairs({"a": 1}))
    scope.spans.append(span)
    return envelope


def raw(envelope: ResourceSpans, look: Look) -> bytes | None:
    """What the kernel gives for a look at the first span."""
    scope = envelope.scope_spans[0]
    message = {RESOURCE: envelope.resource, SCOPE: scope.scope, SPAN: scope.spans[0]}[look.where]
    if look.key:
        found = [pair.value for pair in message.attributes if pair.key == look.key]
        return found[0].SerializeToString() if found else None
    fields = [
        (tagged, content) for field, tagged, content in _split(message.SerializeToString()) if field == look.field
    ]
    if (look.where, look.field) in _REPEATED:
        return b"".join(tagged for tagged, _ in fields) or None
    return fields[-1][1] if fields else None


def _split(message: bytes) -> list[tuple[int, bytes, bytes]]:
    """Every field: its number, all of it, its content."""
    found, at = [], 0
    while at < len(message):
        start = at
        tag, at = _varint(message, at)
        begins = at
        if tag & 7 == wire.VARINT:
            _, at = _varint(message, at)
        elif tag & 7 == wire.LENGTH:
            length, begins = _varint(message, at)
            at = begins + length
        else:
            at += 8 if tag & 7 == wire.FIXED64 else 4
        found.append((tag >> 3, message[start:at], message[begins:at]))
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        value |= (message[at] & 0x7F) << shift
        if message[at] < 0x80:
            return value, at + 1
        at, shift = at + 1, shift + 7


SAMPLE = sample()
OBSERVED: list[tuple[Context, str, str]] = [
    tuple(json.loads(line))
    for line in (Path(__file__).parents[1] / "sampler/ottl/collector.jsonl").read_text().strip().split("\n")
]
"""(context, condition, answer) of the sample, as observed in a Collector v0.161.0; an answer is one of answer()'s."""


def answer(text: str, context: Context = "span", envelope: ResourceSpans = SAMPLE) -> str:
    """NO, YES or ERROR, or LOAD where the condition is refused."""
    try:
        condition = compile_condition(text, context)
    except OttlError:
        return "LOAD"
    values: Values = tuple(raw(envelope, look) for look in condition.looks)
    return ANSWERS[condition(values)]


def refusal(text: str, context: Context = "span") -> str:
    """What is said of a condition that is refused, with its place."""
    try:
        compile_condition(text, context)
    except OttlError as error:
        return f"{error.line}:{error.column}: {error.message}"
    return ""
