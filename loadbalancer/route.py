"""One request to its parts: which spans go to which owner, joined again for each. The work is the kernel's: here it is only
bounded, and owners get their names.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway import kernel, limits
from gateway.membership import Member
from gateway.otlp.join import cut
from gateway.ring import Ring


class Piece(NamedTuple):
    """Spans for one owner: a valid request of at most the size asked for, unless one span alone is larger."""

    member: Member
    body: bytes
    spans: int


class Routed(NamedTuple):
    """What became of one request. `rejected` counts the spans with an invalid id; `reason` is what was wrong with the first."""

    pieces: list[Piece]
    spans: int
    rejected: int
    reason: str


class Router:
    """Routes one request at a time, in a workspace that it uses again."""

    def __init__(self) -> None:
        self._scan = kernel.chosen.Spans(facts=False)
        self._parts = kernel.chosen.Parts(self._scan)

    def route(self, request: bytes, ring: Ring, bytes_max: int) -> Routed:
        """Split by owner. The ring must not be empty if the request has a valid span. Raises MalformedRequestError, and
        TooLargeError if the request is small only as long as its resources and scopes need not be repeated for each owner.
        """
        self._scan.read(request)
        envelopes_max = len(request) + limits.ENVELOPES_REPEATED_MAX
        pieces: list[Piece] = []
        for owner, body, spans in self._parts.divide(request, ring.slots, len(ring.members), envelopes_max):
            pieces += _pieces(ring.members[owner], body, spans, bytes_max)
        return Routed(pieces, *self._scan.found())


def _pieces(member: Member, body: bytes, spans: int, bytes_max: int) -> list[Piece]:
    if len(body) <= bytes_max:
        return [Piece(member, body, spans)]
    return [Piece(member, part, count) for part, count in cut(body, bytes_max)]
