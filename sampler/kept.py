"""What is kept, made fit to leave: requests that a backend can read, of a size that it takes. Pure.

A span is never changed. One that no backend could parse is left out (it would have the whole batch around it refused), and a
trace too large for one request is cut between spans.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gateway.otlp.join import cut, join
from gateway.otlp.readable import readable
from gateway.otlp.split import Envelope, split

Fragment = tuple[Envelope, bytes]


class Piece(NamedTuple):
    """A request holding so many spans."""

    body: bytes
    spans: int


class Kept(NamedTuple):
    """A kept trace, ready to leave. `unreadable` spans are not in it."""

    pieces: list[Piece]
    unreadable: int


def prepare(body: bytes, spans: int, bytes_max: int, spans_max: int = 0) -> Kept:
    """The requests for these bytes, which are a request of `spans` spans.

    No piece is larger than `bytes_max` or has more than `spans_max` spans (0: no bound), unless it is a single span.
    """
    unreadable = 0
    if not readable(body):
        single = list(_apart(body))
        good = [fragment for fragment in single if readable(join([fragment]))]
        unreadable = len(single) - len(good)
        body, spans = join(good), len(good)
    if not spans:
        return Kept([], unreadable)
    if len(body) <= bytes_max and (not spans_max or spans <= spans_max):
        return Kept([Piece(body, spans)], unreadable)
    return Kept(list(_pieces(body, bytes_max, spans_max)), unreadable)


def _apart(body: bytes) -> Iterator[Fragment]:
    """Every span in a fragment of its own."""
    for envelope, spans in split(body).scopes:
        for _, _, start, _, stop in spans:
            yield envelope, body[start:stop]


def _pieces(body: bytes, bytes_max: int, spans_max: int) -> Iterator[Piece]:
    spans = list(_apart(body))
    step = spans_max or len(spans)
    for at in range(0, len(spans), step):
        for piece in cut(join(spans[at : at + step]), bytes_max):
            yield Piece(*piece)
