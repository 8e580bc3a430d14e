"""The view: it reads what is usual and only that, and what it reads and writes is what the walk and the official classes say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedRequestError
from gateway.otlp.split import split
from gateway.otlp.view import Writer, group, read
from tests.support import wire
from tests.support.spans import request, span, trace_id


def rewritten(body: bytes) -> bytes | None:
    """The request read and written again as one group; None if it is not usual."""
    scopes = read(body)
    if scopes is None:
        return None
    writer = Writer()
    for scope in scopes:
        groups = group(scope, lambda _: "all", {})
        if groups is None:
            return None
        for _, spans in groups:
            writer.add(scope, spans)
    return writer.finish()


@given(wire.requests)
def test_what_it_takes_the_walk_takes_too(body: bytes) -> None:
    """A request that the view takes has as many spans for the walk, none of them rejected, and says the same when written."""
    written = rewritten(body)
    if written is None:
        return
    whole = split(body)
    assert whole.rejected == 0
    assert wire.standings(written) == wire.standings(body)


@given(st.binary(max_size=200))
def test_garbage_is_left_to_the_walk(body: bytes) -> None:
    """Whatever the walk refuses, the view does not take."""
    try:
        split(body)
    except MalformedRequestError:
        assert read(body) is None


def test_a_usual_request_comes_out_byte_for_byte() -> None:
    """Resource, scope, both schema_urls and every span are written as they were read."""
    body = request(span("A", 1), span("B", 2, status=2), span("A", 3))
    assert rewritten(body) == body


def test_spans_are_grouped_by_owner_and_asked_for_once() -> None:
    """The owner of a trace is asked for once per request, and an owner's spans keep their order."""
    asked: list[bytes] = []
    owners = {trace_id("A"): "one", trace_id("B"): "two", trace_id("C"): "one"}

    def owner_of(id: bytes) -> str:
        asked.append(id)
        return owners[id]

    scopes = read(request(span("A", 1), span("B", 2), span("C", 3), span("A", 4))) or []
    known: dict[bytes, str] = {}
    (groups,) = [group(scope, owner_of, known) for scope in scopes]
    assert groups is not None
    assert [(owner, len(spans)) for owner, spans in groups] == [("one", 3), ("two", 1)]
    assert asked == [trace_id("A"), trace_id("B"), trace_id("C")]


def test_what_is_unusual_is_left_to_the_walk() -> None:
    """Unknown fields, a length in more bytes than it needs, a field given twice, an invalid id: the view says None."""
    body = request(span("A", 1))
    assert read(body + b"\x10\x01") is None  # an unknown field of the request
    assert read(b"\x0a\x80\x00") is None  # a length of 0 in two bytes
    resource = wire.bytes_field(1, b"")
    assert read(wire.bytes_field(1, resource + resource)) is None
    assert rewritten(request(span("A", 0))) is None
    assert rewritten(request(span(bytes(16), 1))) is None
    assert rewritten(request(span(b"short", 1))) is None
    assert rewritten(body) == body
