"""sampler.ottl.values, against the official classes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway import limits
from sampler.ottl import values
from sampler.ottl.types import Blob, Map
from tests.support import ottl, wire

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.text(max_size=200),
    st.binary(max_size=9),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)),
    max_leaves=12,
)


def decoded(message: AnyValue) -> object:
    """What the decoder should make of it."""
    match message.WhichOneof("value"):
        case "string_value":
            return message.string_value.encode()
        case "bytes_value":
            return Blob(message.bytes_value)
        case "array_value":
            return tuple(map(decoded, message.array_value.values))
        case "kvlist_value":
            return [(pair.key.encode(), decoded(pair.value)) for pair in message.kvlist_value.values]
        case None:
            return None
        case kind:
            return getattr(message, kind)


def plain(value: object) -> object:
    """Maps as their pairs, and every value with its kind: True is not 1, and a NaN is one."""
    if isinstance(value, Map):
        return [plain(pair) for pair in value.pairs]
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return "nan" if isinstance(value, float) and math.isnan(value) else (type(value), value)


@given(VALUES)
def test_every_value_is_read_as_official_parsers_do(value: ottl.Python) -> None:
    """Scalars, arrays and maps in each other, of every size."""
    message = ottl.any_value(value)
    assert plain(values.any_value(message.SerializeToString())) == plain(decoded(message))


@given(st.binary(max_size=60))
def test_any_bytes_have_a_value(raw: bytes) -> None:
    """What cannot be decoded is nil; nothing raises."""
    kinds: tuple[type, ...] = (type(None), bool, int, float, bytes, Blob, tuple, Map)
    assert type(values.any_value(raw)) in kinds
    assert isinstance(values.attributes(raw, 0x4A), Map)
    assert values.number(raw) >= 0 and values.fixed(raw) >= 0


def test_of_several_values_the_last_counts() -> None:
    """An AnyValue holds one thing; given two, official parsers keep the later."""
    raw = AnyValue(string_value="x").SerializeToString() + AnyValue(int_value=3).SerializeToString()
    assert values.any_value(raw) == 3
    assert values.any_value(raw[::-1]) is None


def test_nesting_is_bounded() -> None:
    """What is nested deeper than the bound is nil as a whole."""
    for depth, found in ((limits.VALUE_NESTING_MAX, tuple), (limits.VALUE_NESTING_MAX + 1, type(None))):
        raw = b""
        for _ in range(depth):
            raw = wire.bytes_field(5, wire.bytes_field(1, raw))
        assert type(values.any_value(raw)) is found


@given(st.dictionaries(st.text(max_size=4), SCALARS, max_size=5))
def test_attributes_are_read_in_their_order(pairs: dict[str, ottl.Python]) -> None:
    """All KeyValues under the tag, and no other field."""
    span = Span(name="x", attributes=ottl.pairs(pairs))
    found = values.attributes(span.SerializeToString(), 9 << 3 | 2)
    assert plain(found) == plain([(pair.key.encode(), decoded(pair.value)) for pair in span.attributes])


def test_an_attribute_that_cannot_be_read_has_no_value() -> None:
    """The others keep theirs."""
    raw = wire.bytes_field(9, b"\x0a\x7f") + Span(attributes=ottl.pairs({"a": 1})).SerializeToString()
    assert values.attributes(raw, 9 << 3 | 2).pairs == [(b"", None), (b"a", 1)]


def test_plain_fields() -> None:
    """Varints, enums with their sign, and fields of fixed size; what is not there is 0."""
    assert [values.number(raw) for raw in (None, b"\x05", wire.varint(300), b"\xff")] == [0, 5, 300, 0]
    assert values.number32(wire.varint(2**32 + 7)) == 7
    assert [values.enum(raw) for raw in (b"\x02", wire.varint(2**64 - 1))] == [2, -1]
    assert [values.fixed(raw) for raw in (None, b"\x01\x01\0\0")] == [0, 257]


@pytest.mark.parametrize("raw", [b"\x0a", b"\x0a\x05x", b"\x09\x01", b"\x0b\x0c", b"\xff" * 11, b"\x0f"])
def test_what_is_no_message_is_told(raw: bytes) -> None:
    """Fields that are cut off, groups, and wire types that do not exist."""
    with pytest.raises(values.MalformedError):
        values.fields(raw)
    assert values.fields_or_none(raw) == []
