"""sampler.kept: kept spans made fit to leave."""

from __future__ import annotations

import pytest

from gateway.otlp.readable import readable
from sampler.kept import prepare
from tests.support.spans import export_request, padded, request, resource_spans, span, spans_of

MANY = 1 << 20


def test_a_trace_that_fits_is_one_request() -> None:
    """A kept trace that a backend takes leaves as one request, envelopes included."""
    body = export_request(resource_spans([span("A", 1)]), resource_spans([span("A", 2)], service="cart"))
    kept = prepare(body, 2, MANY)
    (piece,) = kept.pieces
    assert piece == (body, 2) and kept.unreadable == 0


@pytest.mark.parametrize("size_max", [600, 1000, 5000])
def test_a_large_trace_is_cut_between_spans(size_max: int) -> None:
    """No request is larger than the bound, and together they hold every span once, in order."""
    spans = padded([span("A", number) for number in range(1, 40)], 300)
    body = export_request(resource_spans(spans[:20]), resource_spans(spans[20:], service="cart"))
    kept = prepare(body, len(spans), size_max)
    assert all(len(piece.body) <= size_max for piece in kept.pieces)
    assert [each for piece in kept.pieces for each in spans_of(piece.body)] == spans
    assert [piece.spans for piece in kept.pieces] == [len(spans_of(piece.body)) for piece in kept.pieces]


def test_a_span_larger_than_a_request_goes_alone() -> None:
    """A span that is larger than the bound leaves in a request of its own rather than not at all."""
    spans = [span("A", 1), *padded([span("A", 2)], 5000), span("A", 3)]
    kept = prepare(request(*spans), 3, 1000)
    assert [[each.span_id[-1] for each in spans_of(piece.body)] for piece in kept.pieces] == [[1], [2], [3]]


def test_no_request_has_more_spans_than_asked_for() -> None:
    """A trace with more spans than a batch may have is cut as well."""
    spans = [span("A", number) for number in range(1, 11)]
    kept = prepare(request(*spans), 10, MANY, 4)
    assert [piece.spans for piece in kept.pieces] == [4, 4, 2]
    assert [each for piece in kept.pieces for each in spans_of(piece.body)] == spans


def test_unreadable_spans_are_left_out_alone() -> None:
    """A span that no backend could parse is counted and left out; the others leave."""
    body = request(span("A", 1, name="good"), span("A", 2, name="evil"), span("A", 3, name="fine"))
    broken = body.replace(b"evil", b"\xff\xff\xff\xff")
    assert not readable(broken)
    kept = prepare(broken, 3, MANY)
    assert kept.unreadable == 1 and [piece.spans for piece in kept.pieces] == [2]
    assert [each.span_id[-1] for each in spans_of(kept.pieces[0].body)] == [1, 3]


def test_an_unreadable_envelope_costs_its_spans_only() -> None:
    """Spans under a resource that no backend could parse are left out; those of other resources leave."""
    body = export_request(resource_spans([span("A", 1)], service="evil"), resource_spans([span("A", 2)]))
    kept = prepare(body.replace(b"evil", b"\xff\xff\xff\xff"), 2, MANY)
    assert kept.unreadable == 1 and [each.span_id[-1] for each in spans_of(kept.pieces[0].body)] == [2]


def test_nothing_readable_is_nothing_to_send() -> None:
    """A trace of which nothing is readable makes no request."""
    body = request(span("A", 1, name="evil")).replace(b"evil", b"\xff\xff\xff\xff")
    assert prepare(body, 1, MANY) == ([], 1)


def test_the_rest_of_a_cut_trace_is_cut_as_well() -> None:
    """Unreadable spans are left out before a trace that is too large is cut, and both bounds hold for what is left."""
    spans = padded([span("A", number, name="evil" if number % 5 == 0 else "fine") for number in range(1, 31)], 300)
    body = request(*spans).replace(b"evil", b"\xff\xff\xff\xff")
    kept = prepare(body, 30, 1500, 3)
    assert kept.unreadable == 6 and sum(piece.spans for piece in kept.pieces) == 24
    assert all(len(piece.body) <= 1500 and piece.spans <= 3 for piece in kept.pieces)
    assert [each for piece in kept.pieces for each in spans_of(piece.body)] == [
        each for each in spans if each.name == "fine"
    ]
