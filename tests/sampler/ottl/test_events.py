"""sampler.ottl.events: rows of a span's events."""

from __future__ import annotations

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from sampler.ottl.events import rows
from sampler.ottl.paths import EventLook
from tests.support import ottl, wire

TIME, NAME, ATTRIBUTES, DROPPED = (EventLook(field) for field in (1, 2, 3, 4))


def test_every_event_has_a_row() -> None:
    """In order, with the span's values and the event's own in their places."""
    span = Span()
    span.events.add(name="a", time_unix_nano=5, dropped_attributes_count=300, attributes=ottl.pairs({"k": "v", "n": 1}))
    span.events.add()
    made = list(rows((span.SerializeToString(), b"x"), (0, NAME, 1, TIME, DROPPED, EventLook(3, "k"), ATTRIBUTES)))
    first, second = (event.SerializeToString() for event in span.events)
    raw = span.SerializeToString()
    value = ottl.any_value("v").SerializeToString()
    assert made == [
        (raw, b"a", b"x", (5).to_bytes(8, "little"), wire.varint(300), value, first),
        (raw, None, b"x", None, None, None, second),
    ]


def test_attributes_of_events() -> None:
    """Of equal keys the first counts; one without a value has an empty one; the empty key is that of none."""
    event = b"".join(
        wire.bytes_field(3, pair)
        for pair in (
            b"\x0a\x01a",
            b"\x0a\x01b\x12\x02\x18\x01",
            b"\x0a\x01b\x12\x02\x18\x02",
            b"\x12\x02\x18\x03",
            b"\x0a\x7f",
        )
    )
    places = (EventLook(3, "a"), EventLook(3, "b"), EventLook(3, "c"))
    assert list(rows((wire.bytes_field(11, event),), places)) == [(b"", b"\x18\x01", None)]


def test_events_that_cannot_be_read() -> None:
    """A field of events that is cut off has none; an event that is cut off has no fields."""
    assert list(rows((b"\x5a\x05ab",), (NAME,))) == []
    assert list(rows((None,), (NAME,))) == []
    assert list(rows((wire.bytes_field(11, b"\x12\x05a"),), (NAME,))) == [(None,)]
