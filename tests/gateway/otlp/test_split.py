"""gateway.otlp.split against the official classes: the same spans, ids and envelopes, whatever order the fields come in."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import MalformedRequestError
from gateway.otlp.split import Split, split
from tests.support import spans, wire

TRACE, OTHER = b"A" * 16, b"B" * 16
SPAN = b"a" * 8
LONG = wire.padding(150)  # brings a span to a two-byte length


def ids(parts: Split) -> list[tuple[bytes, bytes]]:
    return [(trace_id, span_id) for scope in parts.scopes for trace_id, span_id, *_ in scope.spans]


def messages(request: bytes, parts: Split) -> list[bytes]:
    return [request[body:stop] for scope in parts.scopes for _, _, _, body, stop in scope.spans]


@given(wire.requests)
def test_ids_are_the_official_ones(request: bytes) -> None:
    """Trace id and span id of every span are those the official classes read, wherever in the span they stand."""
    official = wire.standings(request)
    parts = split(request)
    assert ids(parts) == [(each.trace_id, each.span_id) for each in official if each.valid]
    assert parts.spans == sum(each.valid for each in official)
    assert parts.rejected == sum(not each.valid for each in official)
    assert bool(parts.reason) == bool(parts.rejected)


@given(wire.requests)
def test_spans_are_the_bytes_that_came(request: bytes) -> None:
    """A span's offsets delimit exactly the bytes that were sent, with its tag and length before it."""
    parts = split(request)
    sent = [view for view, each in zip(wire.view_spans(request), wire.standings(request), strict=True) if each.valid]
    assert messages(request, parts) == sent
    for scope in parts.scopes:
        assert scope.spans, "a scope without valid spans does not appear"
        for _, _, start, body, stop in scope.spans:
            assert wire.View.FromString(wire.message(1, wire.message(2, request[start:stop]))).resource_spans[
                0
            ].scope_spans[0].spans == [request[body:stop]]


@given(wire.requests)
def test_envelopes_are_the_official_ones(request: bytes) -> None:
    """Resource, scope, schema_urls and unknown fields around a span read the same as in the request."""
    official = [each for each in wire.standings(request) if each.valid]
    parts = split(request)
    flat = [(scope.envelope, span) for scope in parts.scopes for span in scope.spans]
    for (envelope, span), each in zip(flat, official, strict=True):
        rebuilt = wire.message(1, envelope.resource, wire.message(2, envelope.scope, request[span[2] : span[4]]))
        assert wire.standings(rebuilt) == [each]


@given(wire.requests, wire.requests)
def test_requests_concatenate(one: bytes, two: bytes) -> None:
    """The bytes of two requests, one after the other, are a request that holds the spans of both."""
    both = split(one + two)
    assert ids(both) == ids(split(one)) + ids(split(two))
    assert both.rejected == split(one).rejected + split(two).rejected


@given(wire.requests, st.data())
def test_a_request_cut_off_anywhere_is_refused_or_whole(request: bytes, choice: st.DataObject) -> None:
    """A request cut off at any byte is either refused with an offset inside it, or read as the official parser reads it."""
    cut = request[: choice.draw(st.integers(0, len(request)))]
    try:
        parts = split(cut)
    except MalformedRequestError as error:
        assert 0 <= error.offset <= len(cut)
    else:
        assert len(wire.view_spans(cut)) == parts.spans + parts.rejected


@pytest.mark.parametrize("size", [20, 150, 17_000])
def test_truncation_at_every_byte(size: int) -> None:
    """Of one resource's request no proper beginning is taken for a request, whatever the spans' lengths."""
    request = spans.request(*spans.padded([spans.span("A", 1), spans.span("B", 2)], size))
    for length in range(1, len(request)):
        with pytest.raises(MalformedRequestError) as caught:
            split(request[:length])
        assert 0 <= caught.value.offset <= length
        assert f"at byte {caught.value.offset}" in str(caught.value)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read(data: bytes) -> None:
    """Arbitrary bytes are refused as malformed, or are a request to the official parser too; nothing else can happen."""
    try:
        parts = split(data)
    except MalformedRequestError as error:
        assert 0 <= error.offset <= len(data)
    else:
        assert len(wire.view_spans(data)) == parts.spans + parts.rejected


@pytest.mark.parametrize("pad", [b"", LONG, wire.padding(17_000)], ids=["short", "usual", "long"])
@pytest.mark.parametrize(
    ("trace_id", "span_id", "reason"),
    [
        (b"", SPAN, "trace id of 0 bytes, must be 16"),
        (b"A" * 8, SPAN, "trace id of 8 bytes, must be 16"),
        (b"A" * 17, SPAN, "trace id of 17 bytes, must be 16"),
        (bytes(16), SPAN, "trace id is zero"),
        (TRACE, b"", "span id of 0 bytes, must be 8"),
        (TRACE, b"a" * 16, "span id of 16 bytes, must be 8"),
        (TRACE, bytes(8), "span id is zero"),
    ],
)
def test_a_span_with_an_invalid_id_is_rejected_alone(trace_id: bytes, span_id: bytes, reason: str, pad: bytes) -> None:
    """A span with an invalid id is counted with its reason and its neighbours are kept, whatever their lengths."""
    good, bad = wire.plain_span(TRACE, SPAN, pad), wire.plain_span(trace_id, span_id, pad)
    parts = split(wire.plain_request(good, bad, good, bad))
    assert ids(parts) == [(TRACE, SPAN), (TRACE, SPAN)]
    assert (parts.spans, parts.rejected, parts.reason) == (2, 2, reason)


def test_the_first_reason_is_told() -> None:
    """Of several invalid spans the first one's reason is told."""
    request = wire.plain_request(wire.plain_span(TRACE, b""), wire.plain_span(b"", SPAN))
    assert split(request).reason == "span id of 0 bytes, must be 8"


@pytest.mark.parametrize(
    "size", [0, 1, 83, 84, 96, 97, 98, 99, 100, 128, 16_350, 16_354, 16_355, 16_356, 20_000, 2_097_152]
)
def test_every_length_of_span(size: int) -> None:
    """Spans around the borders where a length takes one byte more come out as they came in."""
    span = wire.plain_span(TRACE, SPAN, wire.padding(size))
    request = wire.plain_request(span, wire.plain_span(OTHER, SPAN), span)
    parts = split(request)
    assert ids(parts) == [(TRACE, SPAN), (OTHER, SPAN), (TRACE, SPAN)]
    assert messages(request, parts) == [span, wire.plain_span(OTHER, SPAN), span]


def test_a_field_given_twice_outside_the_usual_layout() -> None:
    """Where a span does not begin with trace id and span id, the last of each counts, as protobuf has it."""
    twice = wire.bytes_field(5, b"name") + wire.plain_span(OTHER, b"b" * 8) + wire.plain_span(TRACE, SPAN, LONG)
    assert ids(split(wire.plain_request(twice))) == [(TRACE, SPAN)]
    assert wire.standings(wire.plain_request(twice))[0].trace_id == TRACE


def test_a_field_given_twice_in_the_usual_layout() -> None:
    """In a span that begins as every SDK begins it, an id given again later does not count: by design, unlike protobuf."""
    twice = wire.plain_span(TRACE, SPAN, wire.plain_span(OTHER, b"b" * 8), LONG)
    request = wire.plain_request(twice)
    assert ids(split(request)) == [(TRACE, SPAN)]
    assert wire.standings(request)[0].trace_id == OTHER
    assert messages(request, split(request)) == [twice]


@pytest.mark.parametrize("before", [b"", wire.plain_span(OTHER, SPAN)])
def test_a_span_is_read_alike_wherever_it_stands(before: bytes) -> None:
    """A span's ids do not depend on what surrounds it, so a sampler reads what the balancer read."""
    twice = wire.plain_span(TRACE, SPAN, wire.plain_span(OTHER, b"b" * 8), LONG)
    alone = split(wire.plain_request(twice))
    after = wire.bytes_field(3, b"url") + wire.number_field(99, 1)
    among = split(wire.plain_request(before, twice, scope=wire.bytes_field(1, b"")) + wire.plain_request(twice) + after)
    assert ids(alone)[0] in ids(among)
    assert ids(among)[-1] == ids(alone)[0]


@pytest.mark.parametrize("request_", [b"", wire.message(1), wire.message(1, wire.message(2)), wire.number_field(99, 1)])
def test_a_request_without_spans_is_sound(request_: bytes) -> None:
    """No bytes at all, empty envelopes, or only unknown fields: nothing in it and nothing wrong."""
    assert split(request_) == Split([], 0, 0, "")


def test_a_span_that_is_garbage_inside_passes() -> None:
    """Behind the ids of a usual span nothing is looked at, so nested rubbish passes through untouched."""
    span = wire.plain_span(TRACE, SPAN, b"\xff" * 150)
    request = wire.plain_request(span)
    assert messages(request, split(request)) == [span]


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (wire.number_field(1, 5), "field 1 has wire type 0 where OTLP has a message or a string at byte 0"),
        (wire.message(1, wire.fixed64_field(2, 5)), "field 2 has wire type 1 where .* at byte 2"),
        (wire.message(1, wire.number_field(3, 5)), "field 3 has wire type 0 where .* at byte 2"),
        (wire.message(1, wire.message(2, wire.group_field(2))), "field 2 has wire type 3 where .* at byte 4"),
        (wire.message(1, wire.message(2, wire.fixed32_field(1, 5))), "field 1 has wire type 5 where .* at byte 4"),
    ],
)
def test_known_fields_have_their_wire_type(request_: bytes, reason: str) -> None:
    """A known field of an envelope in another wire type is refused; the official parser would hide it as unknown."""
    wire.View.FromString(request_)
    with pytest.raises(MalformedRequestError, match=reason):
        split(request_)


@pytest.mark.parametrize("number", [1, 2])
def test_an_id_of_another_wire_type_is_an_unknown_field(number: int) -> None:
    """Inside a span an id's number under another wire type is no id: as officially, the span has the other one or none."""
    odd = wire.number_field(number, 5)
    request = wire.plain_request(odd + wire.plain_span(TRACE, SPAN), odd)
    assert ids(split(request)) == [(TRACE, SPAN)]
    assert split(request).rejected == 1
    assert [each.valid for each in wire.standings(request)] == [True, False]


@pytest.mark.parametrize(
    ("request_", "offset"),
    [
        (b"\x0a\x05abc", 1),  # the resource's length
        (wire.message(1, b"\x12\x7f"), 3),  # the scope's
        (wire.message(1, wire.message(2, b"\x12\x7fabc")), 5),  # a span's
        (wire.message(1, wire.message(2, b"\x12\xff\x7f" + bytes(40))), 5),  # a span's, two bytes long
        (wire.message(1, wire.message(2, b"\x12" + b"\xff" * 10)), 5),  # overlong
        (wire.plain_request(wire.bytes_field(5, b"") + b"\x0a\x11short"), 9),  # inside a span, before its ids are found
        (wire.message(1, b"\x00\x00"), 2),  # field 0
        (wire.message(1, b"\x0e\x00"), 2),  # wire type 6
        (b"\xa3\x01", 2),  # a group without its end
        (b"\xa4\x01", 2),  # an end without its group
    ],
)
def test_malformed_framing_is_refused_with_its_offset(request_: bytes, offset: int) -> None:
    """A request whose framing cannot be read is refused with the byte where reading stopped."""
    with pytest.raises(DecodeError):
        wire.standings(request_)
    with pytest.raises(MalformedRequestError) as caught:
        split(request_)
    assert caught.value.offset == offset


def test_a_span_that_reaches_past_its_scope_is_refused_where_its_length_stands() -> None:
    """A span with sound ids whose length passes the end of its scope is refused, though more bytes follow behind."""
    head = b"\x12\xff\x7f" + wire.plain_span(TRACE, SPAN, wire.padding(60))
    with pytest.raises(MalformedRequestError, match="passes the end") as caught:
        split(
            wire.message(1, wire.message(2, head))
            + wire.plain_request(wire.plain_span(TRACE, SPAN, wire.padding(17_000)))
        )
    assert caught.value.offset == 5


def test_ids_behind_the_end_of_a_span_are_not_its_own() -> None:
    """A span shorter than its ids, its length padded to two bytes, is not read beyond its end."""
    whole = wire.plain_span(TRACE, SPAN)
    for length in range(len(whole)):
        field = wire.tag(2, wire.LENGTH) + wire.varint(length, 2) + whole
        try:
            parts = split(wire.message(1, wire.message(2, field + wire.padding(20))))
        except MalformedRequestError:
            continue
        assert parts.spans == 0


def test_scopes_keep_their_order_and_stay_apart() -> None:
    """Scopes appear in the order in which they came, each with its own envelope, equal or not."""
    one = spans.resource_spans([spans.span("A", 1)], service="one")
    two = spans.resource_spans([spans.span("B", 2)], service="two")
    parts = split(spans.export_request(one, two, one))
    assert [scope.spans[0][0] for scope in parts.scopes] == [spans.trace_id(name) for name in "ABA"]
    assert parts.scopes[0].envelope == parts.scopes[2].envelope != parts.scopes[1].envelope
