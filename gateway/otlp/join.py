"""Join spans in their envelopes back into requests: lengths and slices, never a re-encoded span."""

from __future__ import annotations

from itertools import groupby

from gateway.otlp import schema
from gateway.otlp.split import Envelope
from gateway.otlp.wire import varint

_RESOURCE_SPANS = bytes([schema.RESOURCE_SPANS_TAG])
_SCOPE_SPANS = bytes([schema.SCOPE_SPANS_TAG])


def join(fragments: list[tuple[Envelope, bytes]]) -> bytes:
    """One request holding all fragments in order. A fragment's bytes are span fields with tag and length, back to back.

    Adjacent fragments in equal envelopes share one ResourceSpans. The result of several joins may be concatenated.
    """
    out: list[bytes] = []
    for envelope, group in groupby(fragments, key=_envelope):
        enclose(out, envelope, [spans for _, spans in group])
    return b"".join(out)


def enclose(out: list[bytes], envelope: Envelope, spans: list[bytes]) -> None:
    """Append to `out` the pieces of one ResourceSpans holding these span fields."""
    size = sum(map(len, spans))
    scope_head = varint(len(envelope.scope) + size)
    resource_size = len(envelope.resource) + 1 + len(scope_head) + len(envelope.scope) + size
    out += (_RESOURCE_SPANS, varint(resource_size), envelope.resource, _SCOPE_SPANS, scope_head, envelope.scope)
    out += spans


def _envelope(fragment: tuple[Envelope, bytes]) -> Envelope:
    return fragment[0]
