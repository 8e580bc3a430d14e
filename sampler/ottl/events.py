"""The span events of one span, one row each: what a condition of events is judged by."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.kernel.names import Values
from sampler.ottl.paths import EventLook
from sampler.ottl.types import Row
from sampler.ottl.values import fields_or_none

_EVENT = 11 << 3 | 2
_ATTRIBUTES = 3


def rows(values: Values, places: tuple[int | EventLook, ...]) -> Iterator[Row]:
    """A row for each event, in order. `places` says of each place of a row which value stands there, or what of the event.

    The first value is that of the span's events.
    """
    for tag, event in fields_or_none(values[0]):
        if tag == _EVENT and isinstance(event, bytes):
            yield tuple(values[place] if isinstance(place, int) else _of_event(event, place) for place in places)


def _of_event(event: bytes, look: EventLook) -> bytes | None:
    """The raw value of an event's field, as looks give those of spans. All attributes at once are left in the event."""
    if look.field == _ATTRIBUTES and not look.key:
        return event
    if look.field == _ATTRIBUTES:
        return _attribute(event, look.key.encode())
    found = None
    for tag, value in fields_or_none(event):
        if tag >> 3 == look.field:
            found = value if isinstance(value, bytes) else _varint(value)
    return found


def _attribute(event: bytes, key: bytes) -> bytes | None:
    for tag, pair in fields_or_none(event):
        if tag == _ATTRIBUTES << 3 | 2 and isinstance(pair, bytes):
            found = fields_or_none(pair)
            names = [content for name, content in found if name == 0x0A]
            if (names[-1] if names else b"") == key:
                contents = [content for name, content in found if name == 0x12 and isinstance(content, bytes)]
                return contents[-1] if contents else b""
    return None


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
