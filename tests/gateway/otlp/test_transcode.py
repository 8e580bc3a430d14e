"""gateway.otlp.transcode: what it makes of OTLP/JSON, against a slow twin that fills the official messages field by field."""

from __future__ import annotations

import base64
import json
import math
import re
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway import limits
from gateway.otlp import schema
from gateway.otlp.otlp_json import to_json_line
from gateway.otlp.transcode import NotOtlpError, to_protobuf
from tests.support import wire
from tests.support.spans import spans_of

PROFILES_ONLY = {"keyStrindex", "stringValueStrindex"}  # indices into a table that traces do not have


class RefusedError(Exception):
    """The twin does not take it."""


# ---------------------------------------------------------------- the twin


def twin(document: object) -> ExportTraceServiceRequest:
    made = ExportTraceServiceRequest()
    fill(made, document)
    return made


def fill(message: Any, document: object) -> None:
    need(isinstance(document, dict))
    for field in message.DESCRIPTOR.fields:
        value = document.get(field.json_name)  # type: ignore[attr-defined]
        if value is None or field.json_name in PROFILES_ONLY:
            continue
        if field.is_repeated:
            need(isinstance(value, list))
            for each in value:
                if field.message_type:
                    fill(getattr(message, field.name).add(), each)
                else:
                    getattr(message, field.name).append(scalar(field, each))
        elif field.message_type:
            getattr(message, field.name).SetInParent()
            fill(getattr(message, field.name), value)
        else:
            setattr(message, field.name, scalar(field, value))


def need(condition: bool) -> None:
    if not condition:
        raise RefusedError


def scalar(field: FieldDescriptor, value: Any) -> Any:
    match field.type:
        case FieldDescriptor.TYPE_STRING:
            need(isinstance(value, str))
            return value
        case FieldDescriptor.TYPE_BOOL:
            need(isinstance(value, bool))
            return value
        case FieldDescriptor.TYPE_BYTES:
            need(isinstance(value, str))
            return plain_base64(value) if field.json_name == "bytesValue" else plain_hex(value)
        case FieldDescriptor.TYPE_DOUBLE:
            return real(value)
        case FieldDescriptor.TYPE_ENUM if isinstance(value, str):
            need(value in names_of(field))
            return names_of(field)[value].number
        case FieldDescriptor.TYPE_ENUM:
            need(not isinstance(value, float))
            return whole(value, -(2**31), 2**31 - 1)
        case FieldDescriptor.TYPE_INT64:
            return whole(value, -(2**63), 2**63 - 1)
        case FieldDescriptor.TYPE_FIXED64:
            return whole(value, 0, 2**64 - 1)
        case FieldDescriptor.TYPE_UINT32 | FieldDescriptor.TYPE_FIXED32:
            return whole(value, 0, 2**32 - 1)
    raise AssertionError(field.full_name)


def names_of(field: FieldDescriptor) -> Any:
    assert field.enum_type is not None
    return field.enum_type.values_by_name


def whole(value: Any, low: int, high: int) -> int:
    need(type(value) in (int, float, str))
    if isinstance(value, str):
        need(re.fullmatch("-?[0-9]{1,30}", value) is not None)
    need(not isinstance(value, float) or value == math.floor(value))
    need(low <= int(value) <= high)
    return int(value)


def real(value: Any) -> float:
    need(type(value) in (int, float, str))
    if value in ("NaN", "Infinity", "-Infinity"):
        return float(value)
    if isinstance(value, str):
        try:
            json_number = json.loads(value)
        except ValueError:
            raise RefusedError from None
        need(type(json_number) in (int, float) and value == value.strip() and not math.isinf(float(json_number)))
        return float(json_number)
    return float(value)


def plain_hex(value: str) -> bytes:
    need(re.fullmatch("([0-9a-fA-F]{2})*", value) is not None)
    return bytes.fromhex(value)


def plain_base64(value: str) -> bytes:
    bare = re.fullmatch("([A-Za-z0-9+/_-]*)={0,2}", value)
    need(bare is not None and len(bare[1]) % 4 != 1)
    assert bare is not None
    return base64.urlsafe_b64decode(bare[1].replace("+", "-").replace("/", "_") + "==")


# ---------------------------------------------------------------- documents, right and wrong

_ODD = [
    True,
    [],
    {},
    1,
    -1,
    1.5,
    "",
    "x",
    " 1",
    "1_0",
    "+1",
    "1.5",
    "٣",
    "ab cd",
    "abc",
    2**31,
    2**32,
    2**63,
    2**64,
    1e300,
]
_ODD_TEXTS = ["NaN", "-Infinity", "1e999", "01", "=", "AA==", "A", "_-8", [None], [1], {"values": [None]}]
_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_hex = st.one_of(st.binary(max_size=17), st.binary(min_size=8, max_size=8), st.binary(min_size=16, max_size=16))


def _numbers(low: int, high: int) -> st.SearchStrategy[Any]:
    some = st.one_of(st.integers(low, high), st.integers(max(low, -300), 300), st.sampled_from([low, high]))
    return st.one_of(some, some.map(str), st.integers(max(low, -1000), 1000).map(float))


_SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_STRING: st.one_of(_texts, st.sampled_from(["x" * 511, "ü" * 300, "\x00"])),
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_DOUBLE: st.one_of(
        st.floats(allow_nan=False, allow_infinity=False), st.sampled_from(["NaN", "Infinity", "-Infinity", "1.5e3", 7])
    ),
    FieldDescriptor.TYPE_INT64: _numbers(-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_FIXED64: _numbers(0, 2**64 - 1),
    FieldDescriptor.TYPE_UINT32: _numbers(0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: _numbers(0, 2**32 - 1),
}


def _scalars(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type == FieldDescriptor.TYPE_ENUM:
        return st.one_of(st.sampled_from([*names_of(field)]), st.integers(-(2**31), 2**31 - 1))
    if field.type != FieldDescriptor.TYPE_BYTES:
        return _SCALARS[field.type]
    if field.json_name == "bytesValue":
        return st.binary(max_size=9).flatmap(
            lambda body: st.sampled_from(
                [base64.b64encode(body).decode(), base64.urlsafe_b64encode(body).decode().rstrip("=")]
            )
        )
    return _hex.flatmap(lambda body: st.sampled_from([body.hex(), body.hex().upper()]))


@st.composite
def messages(draw: st.DrawFn, of: Descriptor, wrong: bool, depth: int = 0) -> dict[str, Any]:
    """A JSON object for the message: some fields, in any order, with unknown keys and nulls; with `wrong`, odd values too."""
    fields = [field for field in of.fields if field.json_name not in PROFILES_ONLY]
    if of.full_name == AnyValue.DESCRIPTOR.full_name:
        fields = draw(st.lists(st.sampled_from(fields[: 4 if depth > 8 else None]), max_size=1))
    elif depth > 8:
        fields = [field for field in fields if not field.message_type]
    made: dict[str, Any] = {}
    for field in draw(st.permutations(fields)):
        if not draw(st.integers(0, 2)) and depth > 3:
            continue
        one = messages(field.message_type, wrong, depth + 1) if field.message_type else _scalars(field)
        value = draw(st.lists(one, max_size=2) if field.is_repeated else one)
        odd = draw(st.integers(0, 60 if wrong else 30))
        if odd == 1 and wrong:
            value = draw(st.sampled_from([*_ODD, *_ODD_TEXTS]))
        made[field.json_name] = None if odd == 2 else value
        if odd == 3:
            made[f"{field.name}_or"] = [{"unknown": None}, "x"]
    return made


REQUEST = ExportTraceServiceRequest.DESCRIPTOR


def text_of(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode()


# ---------------------------------------------------------------- facts


@given(messages(REQUEST, wrong=False))
def test_documents_become_what_the_official_messages_hold(document: dict[str, Any]) -> None:
    """Numbers in all three notations, names of enums, unknown keys, nulls, any order of keys: the same request."""
    assert ExportTraceServiceRequest.FromString(to_protobuf(text_of(document))) == twin(document)


@given(messages(REQUEST, wrong=True))
def test_what_is_no_otlp_is_refused_and_nothing_else(document: dict[str, Any]) -> None:
    """A value that its field cannot have refuses the request; what can be taken is taken whole."""
    try:
        expected = twin(document)
    except RefusedError:
        with pytest.raises(NotOtlpError):
            to_protobuf(text_of(document))
    else:
        assert ExportTraceServiceRequest.FromString(to_protobuf(text_of(document))) == expected


@given(wire.requests)
def test_lines_of_the_file_exporter_are_read_back(request: bytes) -> None:
    """What gateway.otlp.otlp_json writes becomes the request that it was, but for fields that nobody knows."""
    expected = ExportTraceServiceRequest.FromString(request)
    expected.DiscardUnknownFields()
    assert ExportTraceServiceRequest.FromString(to_protobuf(to_json_line(request))) == expected


def one_span(**keys: object) -> bytes:
    return text_of({"resourceSpans": [{"scopeSpans": [{"spans": [keys]}]}]})


def read(**keys: object) -> Span:
    return spans_of(to_protobuf(one_span(**keys)))[0]


def test_a_span_begins_as_sdks_begin_one() -> None:
    """Ids come first, whatever the order of the keys: the kernel has a short way for that."""
    body = to_protobuf(one_span(name="n", spanId="cd" * 8, traceId="AB" * 16))
    assert b"\x0a\x10" + b"\xab" * 16 + b"\x12\x08" + b"\xcd" * 8 in body


def test_ids_of_another_length_are_left_to_the_receiver() -> None:
    """An empty or short id is no mistake of the document: the span is rejected, not the request."""
    assert (read(traceId="", spanId="ab", parentSpanId="").trace_id, read(spanId="ab").span_id) == (b"", b"\xab")


def test_of_several_values_the_first_counts() -> None:
    """An AnyValue with two values, which no valid document has, is that of the lower field number."""
    two = {"key": "k", "value": {"intValue": "1", "stringValue": "s"}}
    assert read(attributes=[two]).attributes[0].value == AnyValue(string_value="s")


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {"stringValue": "deep"}
    for level in range(levels):
        inner = {"kvlistValue": {"values": [{"key": "k", "value": value}]}}
        value = inner if level % 2 else {"arrayValue": {"values": [value]}}
    return value


def test_values_nest_as_deep_as_official_parsers_read() -> None:
    """Lists stand in lists up to the bound, and the result can be parsed; deeper ones are refused by name."""
    most = limits.VALUE_NESTING_MAX
    deepest = {"events": [{"attributes": [{"key": "k", "value": nested(most)}]}]}
    ExportTraceServiceRequest.FromString(to_protobuf(one_span(**deepest)))
    with pytest.raises(NotOtlpError, match="lists within each other"):
        to_protobuf(one_span(attributes=[{"key": "k", "value": nested(most + 1)}]))
    with pytest.raises(NotOtlpError, match="nested too deep"):
        to_protobuf(b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "truncated"),
        (b"[]", "Expected `object`, got `array`"),
        (b"{} {}", "trailing characters"),
        (b'{"resourceSpans":7}', "$.resourceSpans`"),
        (one_span(name=7), "$.resourceSpans[0].scopeSpans[0].spans[0].name"),
        (one_span(traceId="zz" * 16, spanId="ab" * 8), "$.resourceSpans[0].scopeSpans[0].spans[0].traceId"),
        (one_span(startTimeUnixNano="9" * 5000), "spans[0].startTimeUnixNano"),
        (one_span(kind="SPAN_KIND_OTHER"), "spans[0].kind"),
        (one_span(attributes=[{}, {"key": "k", "value": {"intValue": "x"}}]), "spans[0].attributes[1].value.intValue"),
        (one_span(events=[{"timeUnixNano": -1}]), "spans[0].events[0].timeUnixNano"),
        (one_span(name="n").replace(b'"n"', b'"\xff"'), "UTF-8"),
        (one_span(name="n").replace(b'"n"', b'"\\ud800"'), ""),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: bytes, words: str) -> None:
    """A document that is refused is refused in one line that says where, and does not repeat a long value."""
    with pytest.raises(NotOtlpError) as caught:
        to_protobuf(text)
    assert words in str(caught.value) and "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_long_texts_are_written_and_not_remembered() -> None:
    """Keys and messages of any length come through."""
    key, message = "k" * 100_000, "m" * 100_000
    found = read(
        attributes=[{"key": key, "value": {"stringValue": message}}, {"key": key}],
        status={"message": message, "code": 2},
    )
    assert (found.attributes[0].key, found.attributes[1].key) == (key, key)
    assert found.attributes[0].value.string_value == found.status.message == message


def test_an_empty_status_is_there() -> None:
    """The Collector's file exporter writes `status: {}` on every span; a message that is there stays there."""
    assert read(status={}).HasField("status") and not read(status=None).HasField("status")


FIELDS = {
    "ExportTraceServiceRequest": schema.REQUEST_FIELDS,
    "ResourceSpans": schema.RESOURCE_SPANS_FIELDS,
    "Resource": schema.RESOURCE_FIELDS,
    "EntityRef": schema.ENTITY_REF_FIELDS,
    "ScopeSpans": schema.SCOPE_SPANS_FIELDS,
    "InstrumentationScope": schema.SCOPE_FIELDS,
    "Span": schema.SPAN_FIELDS,
    "Event": schema.EVENT_FIELDS,
    "Link": schema.LINK_FIELDS,
    "Status": schema.STATUS_FIELDS,
    "KeyValue": schema.KEY_VALUE_FIELDS,
    "AnyValue": schema.ANY_VALUE_FIELDS,
    "ArrayValue": schema.LIST_FIELDS,
    "KeyValueList": schema.LIST_FIELDS,
}


def test_all_fields_of_the_official_messages_are_known() -> None:
    """The table of field numbers is opentelemetry-proto's, but for what only profiles have."""
    seen: dict[str, dict[str, int]] = {}

    def walk(of: Descriptor) -> None:
        if of.name not in seen:
            seen[of.name] = {one.name: one.number for one in of.fields if one.json_name not in PROFILES_ONLY}
            for field in of.fields:
                if field.message_type:
                    walk(field.message_type)

    walk(REQUEST)
    assert seen == FIELDS
    assert [*Span.SpanKind.keys()] == [*schema.SPAN_KINDS]
