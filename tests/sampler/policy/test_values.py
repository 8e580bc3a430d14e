"""sampler.policy.values, against the official classes."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

from gateway.kernel.names import RESOURCE, SPAN, Look
from sampler.policy import BadPolicyError
from sampler.policy.values import Scalar, attribute, scalar

ANY_VALUES = st.one_of(
    st.builds(AnyValue, string_value=st.text()),
    st.builds(AnyValue, bool_value=st.booleans()),
    st.builds(AnyValue, int_value=st.integers(-(2**63), 2**63 - 1)),
    st.builds(AnyValue, double_value=st.floats()),
    st.builds(AnyValue, bytes_value=st.binary(max_size=9)),
    st.builds(AnyValue, array_value=st.just(ArrayValue(values=[AnyValue(string_value="x")]))),
    st.builds(AnyValue, kvlist_value=st.just(KeyValueList())),
    st.builds(AnyValue, string_value_strindex=st.integers(0, 2**31 - 1)),
    st.just(AnyValue()),
)
# Fields that AnyValue does not have, of every wire type: a varint, eight bytes, a length, four bytes.
UNKNOWN = st.sampled_from([b"\x50\x96\x01", b"\x51" + bytes(8), b"\x52\x03abc", b"\x55" + bytes(4)])


def official(raw: bytes) -> Scalar:
    """What the official class makes of it."""
    value = AnyValue.FromString(raw)
    match value.WhichOneof("value"):
        case "string_value":
            return value.string_value.encode()
        case "bool_value":
            return value.bool_value
        case "int_value":
            return value.int_value
        case "double_value":
            return value.double_value
        case _:
            return None


def same(one: Scalar, other: Scalar) -> bool:
    both_nan = isinstance(one, float) and isinstance(other, float) and math.isnan(one) and math.isnan(other)
    return both_nan or (type(one) is type(other) and one == other)


@given(st.lists(st.one_of(ANY_VALUES.map(AnyValue.SerializeToString), UNKNOWN), max_size=4).map(b"".join))
def test_values_are_read_as_the_official_class_reads_them(raw: bytes) -> None:
    """Kind and value are the official ones, the last of several fields counts, and unknown fields do not matter."""
    assert same(scalar(raw), official(raw))


@given(st.binary(max_size=24))
def test_no_bytes_do_harm(raw: bytes) -> None:
    """Whatever stands there, it is some value or none; where it is valid, it is the official one."""
    value = scalar(raw)
    try:
        expected = official(raw)
    except Exception:  # noqa: BLE001 -- the official class refuses with an error of its implementation
        return
    assert value is None or same(value, expected)


@pytest.mark.parametrize(
    "raw",
    [
        b"\x0a",  # no length
        b"\x0a\x05abc",  # too short
        b"\x18",  # no number
        b"\x18" + b"\x80" * 10,  # a number that does not end
        b"\x21\x00",  # four bytes too few
        b"\x0a\x01a\x0f",  # wire type 7
        b"\x0a\x01a\x53\x54",  # a group
    ],
)
def test_what_cannot_be_decoded_is_a_value_of_another_kind(raw: bytes) -> None:
    """A policy does not refuse a span: broken bytes are no string, number or boolean, even behind one."""
    assert scalar(raw) is None


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 20_000])
def test_strings_of_any_length(size: int) -> None:
    """Short strings have a way of their own, with the same result."""
    assert scalar(AnyValue(string_value="s" * size).SerializeToString()) == b"s" * size


def test_attributes_stand_on_resource_and_span() -> None:
    """An attribute policy looks at both, as the Collector's do, and not at scopes, events or links."""
    assert attribute("k") == (Look(RESOURCE, 1, "k"), Look(SPAN, 9, "k"))


def test_an_attribute_has_a_name() -> None:
    """OTLP knows no attribute with an empty key."""
    with pytest.raises(BadPolicyError, match="names no attribute") as caught:
        attribute("")
    assert caught.value.path == ("key",)
