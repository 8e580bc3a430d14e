"""Join spans in their envelopes back into requests: lengths and slices, never a re-encoded span."""

from __future__ import annotations

from itertools import groupby

from gateway.otlp import schema
from gateway.otlp.split import Envelope, split

_RESOURCE_SPANS = bytes([schema.RESOURCE_SPANS_TAG])
_SCOPE_SPANS = bytes([schema.SCOPE_SPANS_TAG])
_HEAD_BYTES_MAX = 22  # two tags and two lengths of at most ten bytes


def join(fragments: list[tuple[Envelope, bytes]]) -> bytes:
    """One request holding all fragments in order. A fragment's bytes are span fields with tag and length, back to back.

    Adjacent fragments in equal envelopes share one ResourceSpans. The result of several joins may be concatenated.
    """
    out: list[bytes] = []
    for envelope, group in groupby(fragments, key=_envelope):
        _enclose(out, envelope, [spans for _, spans in group])
    return b"".join(out)


def _enclose(out: list[bytes], envelope: Envelope, spans: list[bytes]) -> None:
    """Append to `out` the pieces of one ResourceSpans holding these span fields."""
    size = sum(map(len, spans))
    scope_head = _varint(len(envelope.scope) + size)
    resource_size = len(envelope.resource) + 1 + len(scope_head) + len(envelope.scope) + size
    out += (_RESOURCE_SPANS, _varint(resource_size), envelope.resource, _SCOPE_SPANS, scope_head, envelope.scope)
    out += spans


def cut(request: bytes, bytes_max: int) -> list[tuple[bytes, int]]:
    """The request as several of at most `bytes_max` bytes each, cut between spans, with their numbers of spans.

    A span that is larger with its envelope goes alone. An envelope of more than half of `bytes_max` is repeated only for its
    own size in spans, in pieces larger than asked: else a small request could become an enormous one. Meant for the rare
    request that is too large: it walks it again.
    """
    done: list[tuple[bytes, int]] = []
    open_: list[tuple[Envelope, bytes]] = []
    size = 0
    for envelope, spans in split(request).scopes:
        overhead = len(envelope.resource) + len(envelope.scope) + _HEAD_BYTES_MAX
        room = max(bytes_max, 2 * overhead)
        for index, (_, _, start, _, stop) in enumerate(spans):
            needed = stop - start + (overhead if index == 0 else 0)
            if open_ and size + needed > room:
                done.append((join(open_), len(open_)))
                open_, size = [], 0
            size += needed if open_ else stop - start + overhead
            open_.append((envelope, request[start:stop]))
    if open_:
        done.append((join(open_), len(open_)))
    return done


def _envelope(fragment: tuple[Envelope, bytes]) -> Envelope:
    return fragment[0]


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
