"""gateway.otlp.readable: what no backend could parse is noticed before it is exported."""

from __future__ import annotations

import pytest
from hypothesis import given

from gateway.otlp.readable import readable
from tests.support import spans, wire


@given(wire.requests)
def test_what_is_well_formed_is_readable(request: bytes) -> None:
    """Any field order and unknown fields are no reason to leave a span out."""
    assert readable(request)


def test_no_spans_are_readable() -> None:
    """The empty request is readable."""
    assert readable(b"")


@pytest.mark.parametrize(
    "inside",
    [
        b"\xff" * 10,
        wire.bytes_field(5, b"\xff\xfe"),  # a name that is not UTF-8
        wire.bytes_field(9, b"\x0a\x05ab"),  # an attribute cut off
        wire.bytes_field(9, wire.bytes_field(1, b"\xc3")),  # a key that is not UTF-8
        wire.tag(20, wire.GROUP_START) * 200,
    ],
)
def test_one_rotten_span_makes_a_request_unreadable(inside: bytes) -> None:
    """A span that passes the walker and that no backend could parse is found."""
    good = spans.span("A", 1).SerializeToString()
    rotten = wire.plain_span(b"B" * 16, b"b" * 8, inside)
    assert readable(wire.plain_request(good, good))
    assert not readable(wire.plain_request(good, rotten))


def test_nesting_beyond_the_parsers_bound_is_unreadable() -> None:
    """Arrays nested deeper than official parsers go are unreadable, and no error comes of it."""
    value = b""
    for _ in range(60):
        value = wire.bytes_field(5, wire.bytes_field(1, value))
    attribute = wire.message(9, wire.bytes_field(1, b"deep"), wire.bytes_field(2, value))
    assert not readable(wire.plain_request(wire.plain_span(b"A" * 16, b"a" * 8, attribute)))
