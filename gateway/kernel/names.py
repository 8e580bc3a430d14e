"""What the kernel and its callers say to each other, the same for every form of it."""

from __future__ import annotations

from typing import NamedTuple

Envelope = tuple[bytes, bytes]
"""What spans stand in, as raw protobuf fields exactly as they came: every field of ResourceSpans but scope_spans, and every
field of ScopeSpans but spans."""

ALWAYS, STATUS_IN, LONGER_THAN, MARKED, HASH_UPTO = range(5)
"""The tests of a gateway.kernel.traces.Program."""


class Added(NamedTuple):
    """What became of the spans of one request. `late` has the spans of kept traces: (trace id, span id, envelope, span field)."""

    spans: int
    traces: int
    duplicates: int
    late_dropped: int
    late: list[tuple[bytes, bytes, Envelope, bytes]]


class Kept(NamedTuple):
    """A trace that is kept: `request` holds all its spans in their envelopes, `span_ids` their ids end to end."""

    trace_id: bytes
    request: bytes
    spans: int
    span_ids: bytes
    policy: int
