"""loadbalancer.route: every span to the owner of its trace, once, in its envelope."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import limits
from gateway.errors import MalformedRequestError, TooLargeError
from gateway.membership import make_view
from gateway.ring import Ring
from loadbalancer.route import Routed, Router
from tests.support import spans, wire
from tests.support.balancers import members, quick_rings

NAMES = ["s1", "s2", "s3", "s4"]


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with quick_rings():
        yield


def ring(*names: str) -> Ring:
    return Ring(make_view(1, members(*names)))


ROUTER = Router()


def route(request: bytes, owners: Ring, bytes_max: int) -> Routed:
    """All tests share one router: what one request leaves behind in its workspace, the next one must not see."""
    return ROUTER.route(request, owners, bytes_max)


@given(wire.requests, st.sampled_from([1, 100, 1000, limits.FORWARD_REQUEST_BYTES_MAX]), st.integers(1, 4))
def test_every_valid_span_goes_to_its_owner_once(request: bytes, bytes_max: int, count: int) -> None:
    """The pieces together hold each valid span once, in its envelope, and each piece only spans of its member's traces."""
    owners = ring(*NAMES[:count])
    routed = route(request, owners, bytes_max)
    valid = [each for each in wire.standings(request) if each.valid]
    assert Counter(each for piece in routed.pieces for each in wire.standings(piece.body)) == Counter(valid)
    assert (routed.spans, routed.rejected) == (len(valid), len(wire.standings(request)) - len(valid))
    for piece in routed.pieces:
        assert piece.spans == len(wire.view_spans(piece.body)) > 0
        # An id given twice counts as given first in a span that begins as SDKs begin it; generated ones give it once.
        assert {owners.owner(each.trace_id).id for each in wire.standings(piece.body)} == {piece.member.id}


@given(wire.requests, st.integers(1, 4))
def test_spans_keep_their_order_and_their_bytes(request: bytes, count: int) -> None:
    """For each member the spans come in the order, and with the bytes, in which they were sent."""
    owners = ring(*NAMES[:count])
    sent = list(zip(wire.view_spans(request), wire.standings(request), strict=True))
    for piece in route(request, owners, limits.FORWARD_REQUEST_BYTES_MAX).pieces:
        mine = [raw for raw, each in sent if each.valid and owners.owner(each.trace_id) == piece.member]
        assert Counter(wire.view_spans(piece.body)) == Counter(mine)
        scopes = wire.View.FromString(piece.body).resource_spans
        flat = [raw for outer in scopes for inner in outer.scope_spans for raw in inner.spans]
        assert flat == mine


@given(wire.requests, st.integers(1, 4), st.integers(1, 4))
def test_routing_the_parts_is_routing_the_whole(request: bytes, before: int, after: int) -> None:
    """A part routed again by another view brings each of its spans to the new owner."""
    again = [
        piece
        for part in route(request, ring(*NAMES[:before]), 500).pieces
        for piece in route(part.body, ring(*NAMES[:after]), 500).pieces
    ]
    direct = route(request, ring(*NAMES[:after]), 500)
    for name in NAMES:
        assert Counter(e for p in again if p.member.id == name for e in wire.standings(p.body)) == Counter(
            e for p in direct.pieces if p.member.id == name for e in wire.standings(p.body)
        )


def test_one_members_spans_share_one_envelope() -> None:
    """Spans of one scope for one member stand in one ResourceSpans, though others stood between them."""
    made = [spans.span(name, number) for number, name in enumerate("ABACADA", 1)]
    routed = route(spans.request(*made), ring("s1", "s2"), 10_000)
    assert [len(wire.View.FromString(piece.body).resource_spans) for piece in routed.pieces] == [1, 1]


@pytest.mark.parametrize("bytes_max", [800, 1000, 5000])
def test_pieces_keep_the_bound(bytes_max: int) -> None:
    """No piece is larger than asked, unless one span alone is."""
    made = spans.padded([spans.span("A", number) for number in range(1, 100)], 300)
    huge = spans.padded([spans.span("A", 100)], 7000)
    routed = route(spans.request(*made, *huge), ring("s1"), bytes_max)
    assert sum(piece.spans for piece in routed.pieces) == 100
    assert [piece.spans for piece in routed.pieces if len(piece.body) > bytes_max] == [1]


def test_nothing_valid_is_no_piece() -> None:
    """A request without valid spans has no pieces; what was wrong is told."""
    assert route(b"", ring("s1"), 100) == Routed([], 0, 0, "")
    assert route(spans.request(spans.span("A", 0)), ring("s1"), 100) == Routed([], 0, 1, "span id is zero")


def test_malformed_requests_are_refused() -> None:
    """What cannot be read is not routed."""
    with pytest.raises(MalformedRequestError):
        route(b"\x0a\xff", ring("s1"), 100)


def test_a_resource_is_not_repeated_without_bound() -> None:
    """A request that would grow by more than the bound, its resource repeated for each scope, is refused before it does."""
    scope = wire.message(2, wire.bytes_field(2, wire.plain_span(b"A" * 16, b"a" * 8)))
    resource = wire.message(1, wire.padding(limits.MIB))
    few, many = (wire.message(1, resource, *[scope] * count) for count in (10, 100))
    assert route(few, ring("s1"), limits.FORWARD_REQUEST_BYTES_MAX).spans == 10
    with pytest.raises(TooLargeError, match="repeated for each sampler"):
        route(many, ring("s1"), limits.FORWARD_REQUEST_BYTES_MAX)
