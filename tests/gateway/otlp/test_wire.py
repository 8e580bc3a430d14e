"""gateway.otlp.wire against the official parser, which skips unknown fields in just the way `skip` must."""

from __future__ import annotations

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

from gateway import limits
from gateway.errors import MalformedRequestError
from gateway.otlp.wire import read_length, read_tag, read_varint, skip, varint
from tests.support import wire

TAG_BYTES_MAX = 5


def walk(data: bytes) -> bool:
    """Whether every field of `data` can be skipped."""
    at = 0
    try:
        while at < len(data):
            tag, at = read_tag(data, at, len(data))
            at = skip(data, at, len(data), tag)
    except MalformedRequestError as error:
        assert 0 <= error.offset <= len(data)
        return False
    assert at == len(data)
    return True


def officially(data: bytes) -> bool:
    """Whether the official parser can, for a message of which it knows no field."""
    try:
        Empty.FromString(data)
    except DecodeError:
        return False
    return True


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    data = bytearray(b"".join(draw(st.lists(wire.unknown_fields, min_size=1, max_size=4))))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
    return bytes(data)


@given(st.one_of(st.binary(max_size=40), mutated(), wire.unknown_fields))
@example(b"\x2b\x2c")
@example(b"\xa8\x80\x80\x80\x80\x00\x00")
def test_what_can_be_walked_the_official_parser_reads(data: bytes) -> None:
    """Whatever bytes come, the walker takes no field that protobuf's own parser would refuse."""
    if walk(data):
        assert officially(data)


@given(st.lists(wire.unknown_fields).map(b"".join))
def test_every_well_formed_field_is_skipped(data: bytes) -> None:
    """Fields of every wire type, groups included, are skipped whole."""
    assert officially(data)
    assert walk(data)


@given(st.lists(wire.unknown_fields, min_size=1).map(b"".join), st.data())
def test_a_field_cut_off_is_refused(data: bytes, choice: st.DataObject) -> None:
    """A message that ends within a field is refused exactly where the official parser refuses it."""
    cut = data[: choice.draw(st.integers(0, len(data) - 1))]
    assert walk(cut) == officially(cut)


@given(st.integers(0, 2**64 - 1))
def test_varints_come_back(value: int) -> None:
    """A varint written is the varint read, and is as short as can be."""
    assert varint(value) == wire.varint(value)
    assert read_varint(varint(value) + b"\x00", 0, 12) == (value, len(varint(value)))


@given(st.integers(0, 2**64 - 1), st.integers(1, 10))
def test_varints_may_be_longer_than_needed(value: int, width: int) -> None:
    """A value padded with continuation bytes, up to ten in all, is the same value."""
    data = wire.varint(value, width)
    assert read_varint(data, 0, len(data)) == (value, len(data))


def test_varints_keep_64_bits() -> None:
    """What a tenth byte holds beyond 64 bits is ignored, as protobuf ignores it."""
    assert read_varint(b"\xff" * 9 + b"\x7f", 0, 10) == (2**64 - 1, 10)


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9, b"\x80" * 10, b"\xff" * 10 + b"\x01"])
def test_unending_varints_are_refused(data: bytes) -> None:
    """A varint that is cut off, or goes on after ten bytes, is refused at the byte where it begins."""
    with pytest.raises(MalformedRequestError) as caught:
        read_varint(b"pre" + data, 3, 3 + len(data))
    assert caught.value.offset == 3


@pytest.mark.parametrize(
    "data",
    [
        b"\x00",  # field 0
        b"\x02\x00",
        wire.varint(1 << 32 | wire.VARINT),  # a field number of 30 bits
        wire.varint(2048 << 3, TAG_BYTES_MAX + 1),  # no more bytes than 32 bits need
    ],
)
def test_impossible_tags_are_refused(data: bytes) -> None:
    """Field numbers are 1 to 2^29 - 1, in at most five bytes."""
    with pytest.raises(DecodeError):
        wire.View.FromString(data + b"\x00")
    with pytest.raises(MalformedRequestError) as caught:
        read_tag(data, 0, len(data))
    assert caught.value.offset == 0


def test_largest_field_number_is_read() -> None:
    """Field 2^29 - 1 is the largest there is, and a tag may be padded to five bytes."""
    data = wire.tag(2**29 - 1, wire.VARINT)
    assert read_tag(data, 0, len(data)) == ((2**29 - 1) << 3, 5)
    assert read_tag(wire.varint(10, TAG_BYTES_MAX), 0, 5) == (10, 5)


@pytest.mark.parametrize("wire_type", [6, 7, wire.GROUP_END])
def test_impossible_wire_types_are_refused(wire_type: int) -> None:
    """Wire types 6 and 7 do not exist, and no group ends that has not begun."""
    assert not officially(wire.tag(20, wire_type) + b"\x00")
    assert not walk(wire.tag(20, wire_type) + b"\x00")


def test_lengths_stay_inside() -> None:
    """A length may reach the end of what surrounds it and not one byte further."""
    data = b"\x03abc+more"
    assert read_length(data, 0, 4) == (1, 4)
    with pytest.raises(MalformedRequestError, match=r"length 3 passes the end \(2 bytes left\) at byte 0"):
        read_length(data, 0, 3)


def test_padded_lengths_end_after_five_bytes() -> None:
    """A length takes at most five bytes, as in the official parser: six are refused by both."""
    assert walk(wire.tag(20, wire.LENGTH) + wire.varint(1, 5) + b"x")
    six = wire.tag(20, wire.LENGTH) + wire.varint(1, 6) + b"x"
    assert not officially(six)
    assert not walk(six)


def test_groups_are_skipped_to_a_bound() -> None:
    """Groups nest as deep as the official parser allows inside a span, no deeper, and never exhaust the stack."""
    bound = limits.FIELD_NESTING_MAX
    start, end = wire.tag(20, wire.GROUP_START), wire.tag(20, wire.GROUP_END)
    assert walk(start * bound + end * bound)
    assert not walk(start * (bound + 1) + end * (bound + 1))
    assert not walk(start * 100_000)


def test_groups_within_a_span_are_as_deep_as_officially_allowed() -> None:
    """Three messages around them included, the deepest groups that are taken are no deeper than protobuf reads."""
    depth = limits.FIELD_NESTING_MAX
    groups = wire.tag(20, wire.GROUP_START) * depth + wire.tag(20, wire.GROUP_END) * depth
    assert len(wire.standings(wire.plain_request(wire.plain_span(b"A" * 16, b"a" * 8, groups)))) == 1


@pytest.mark.parametrize(
    "data",
    [
        wire.tag(20, wire.GROUP_START),
        wire.tag(20, wire.GROUP_START) + wire.tag(21, wire.GROUP_END),
        wire.tag(20, wire.GROUP_START) + wire.bytes_field(3, b"abc")[:-1] + wire.tag(20, wire.GROUP_END),
    ],
)
def test_broken_groups_are_refused(data: bytes) -> None:
    """A group must end, under its own number, and hold whole fields."""
    assert not officially(data)
    assert not walk(data)


def test_a_group_may_not_hold_field_zero() -> None:
    """Field 0 is refused inside groups too, where the official parser lets it pass: we are stricter, nobody writes it."""
    data = wire.tag(20, wire.GROUP_START) + b"\x02\x00" + wire.tag(20, wire.GROUP_END)
    assert officially(data)
    assert not walk(data)
