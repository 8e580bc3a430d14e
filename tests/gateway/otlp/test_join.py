"""gateway.otlp.join: what was split comes together again, nothing added, nothing lost, no span touched."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.otlp.join import cut, join
from gateway.otlp.split import Envelope, split
from tests.support import spans, wire


def fragments(request: bytes) -> list[tuple[Envelope, bytes]]:
    """One fragment for each valid span."""
    return [(scope.envelope, request[span[2] : span[4]]) for scope in split(request).scopes for span in scope.spans]


def envelopes(request: bytes) -> int:
    """The largest envelope of the request in bytes, its lengths reckoned at their widest."""
    return max(
        (len(scope.envelope.resource) + len(scope.envelope.scope) + 22 for scope in split(request).scopes), default=0
    )


def valid(request: bytes) -> list[wire.Standing]:
    return [each for each in wire.standings(request) if each.valid]


@given(wire.requests)
def test_joined_is_what_was_split(request: bytes) -> None:
    """A request joined from its own spans holds the valid ones, in order, in the envelopes they came in."""
    joined = join(fragments(request))
    assert wire.standings(joined) == valid(request)
    assert wire.view_spans(joined) == [
        view for view, each in zip(wire.view_spans(request), wire.standings(request), strict=True) if each.valid
    ]


@given(wire.requests, st.randoms(use_true_random=False), st.integers(1, 4))
def test_the_groups_together_are_the_whole(request: bytes, random: st.DrawFn, groups: int) -> None:
    """However the spans are spread over groups, the joined groups together hold each valid span once."""
    spread: list[list[tuple[Envelope, bytes]]] = [[] for _ in range(groups)]
    for fragment in fragments(request):
        spread[random.randrange(groups)].append(fragment)  # type: ignore[attr-defined]
    joined = [join(group) for group in spread]
    assert Counter(each for body in joined for each in wire.standings(body)) == Counter(valid(request))
    assert wire.standings(wire.concat(joined)) == [each for body in joined for each in wire.standings(body)]


@given(wire.requests)
def test_joining_again_changes_no_byte(request: bytes) -> None:
    """What has been joined once comes out of split and join byte for byte."""
    joined = join(fragments(request))
    assert join(fragments(joined)) == joined


def test_adjacent_spans_share_their_envelope() -> None:
    """Adjacent fragments in equal envelopes share one ResourceSpans; others have one each."""
    a, b = Envelope(wire.bytes_field(3, b"a"), b""), Envelope(wire.bytes_field(3, b"b"), b"")
    span = wire.bytes_field(2, wire.plain_span(b"A" * 16, b"a" * 8))
    parsed = wire.View.FromString(join([(a, span), (a, span + span), (b, span), (a, span)]))
    assert [len(outer.scope_spans[0].spans) for outer in parsed.resource_spans] == [3, 1, 1]


def test_nothing_joined_is_no_bytes() -> None:
    """No fragments make the empty request."""
    assert join([]) == b""


@pytest.mark.parametrize("size", [0, 60, 127, 128, 16_300, 16_384, 2_097_152])
def test_lengths_of_every_width(size: int) -> None:
    """Envelopes whose lengths take one to four bytes are written so that the official parser reads them."""
    envelope = Envelope(wire.padding(size), wire.padding(size))
    span = wire.plain_span(b"A" * 16, b"a" * 8)
    assert wire.view_spans(join([(envelope, wire.bytes_field(2, span))])) == [span]


@given(wire.requests, st.integers(1, 1000))
def test_cut_loses_nothing_and_keeps_the_bound(request: bytes, bytes_max: int) -> None:
    """A request cut up holds each valid span once, in order; a piece of several is larger than asked only for its envelope."""
    pieces = cut(request, bytes_max)
    assert wire.standings(wire.concat([body for body, _ in pieces])) == valid(request)
    for body, count in pieces:
        assert count == len(wire.view_spans(body)) >= 1
        assert len(body) <= max(bytes_max, 2 * envelopes(body)) or count == 1


@pytest.mark.parametrize("bytes_max", [500, 1000, 5000, 64 * 1024])
def test_cut_fills_its_pieces(bytes_max: int) -> None:
    """Pieces are filled: of two adjacent ones the second's first span would not have fitted into the first."""
    request = spans.request(*spans.padded([spans.span("A", number) for number in range(1, 200)], 120))
    pieces = [body for body, _ in cut(request, bytes_max)]
    span_field = max(map(len, wire.view_spans(request))) + 2
    slack = 40  # lengths are reckoned at their widest
    assert all(len(body) + span_field + slack > bytes_max for body in pieces[:-1])


def test_cut_reckons_with_the_envelope() -> None:
    """The bound is kept with the envelope that every piece repeats."""
    made = [wire.plain_span(b"A" * 16, number.to_bytes(8, "big"), wire.padding(190)) for number in range(1, 50)]
    pieces = cut(wire.plain_request(*made, resource=wire.message(1, wire.padding(400))), 1000)
    assert {count for _, count in pieces} <= {1, 2}
    assert max(len(body) for body, _ in pieces) <= 1000


def test_an_enormous_envelope_is_not_multiplied() -> None:
    """A small request with a large resource stays small when cut: the pieces together take a few times its size at most."""
    spans_ = [wire.plain_span(b"A" * 16, number.to_bytes(8, "big")) for number in range(1, 5001)]
    request = wire.plain_request(*spans_, resource=wire.message(1, wire.padding(100_000)))
    pieces = cut(request, 100_050)
    assert len(wire.standings(wire.concat([body for body, _ in pieces]))) == 5000
    assert sum(len(body) for body, _ in pieces) <= 3 * len(request)
