"""The span ids of one trace, in as few bytes as plain Python allows. Knows nothing of why they are remembered.

A small trace keeps them end to end in one bytes object (8 bytes a span); a set of eight ids would take ten times that. From
PACKED_MAX ids on searching costs more than hashing, and they move into a set.
"""

from __future__ import annotations

Seen = bytes | set[bytes]
"""Span ids of 8 bytes each."""

NONE_SEEN = b""
ID_BYTES = 8
PACKED_MAX = 32  # 256 bytes are searched in about the time that a set needs to hash and insert
SET_ID_BYTES = 96  # an id as an object of its own (48) and its slots in a set half full; measured 85 to 115


def with_id(seen: Seen, span_id: bytes) -> Seen | None:
    """`seen` with this id; None if it was there already. A set is changed in place. HOT: once per span."""
    if isinstance(seen, set):
        if span_id in seen:
            return None
        seen.add(span_id)
        return seen
    at = seen.find(span_id)
    while at >= 0 and at % ID_BYTES:  # found across two neighbours
        at = seen.find(span_id, at + 1)
    if at >= 0:
        return None
    if len(seen) < PACKED_MAX * ID_BYTES:
        return seen + span_id
    return from_ids(seen + span_id)


def from_ids(ids: bytes) -> Seen:
    """These span ids, given end to end."""
    if len(ids) <= PACKED_MAX * ID_BYTES:
        return ids
    return {ids[at : at + ID_BYTES] for at in range(0, len(ids), ID_BYTES)}


def size_of(seen: Seen) -> int:
    """Bytes resident, about."""
    return len(seen) * SET_ID_BYTES if isinstance(seen, set) else len(seen)
