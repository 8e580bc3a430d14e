"""gateway.kernel.scan against the official classes: the same spans, ids, envelopes and facts, whatever order fields come in."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway import limits
from gateway.errors import MalformedRequestError
from gateway.kernel import Kernel, scan
from tests.support import spans, wire

TRACE, SPAN = b"A" * 16, b"a" * 8
USUAL = wire.plain_span(TRACE, SPAN, wire.padding(120))
STARTS = {"usual": wire.plain_span(TRACE, SPAN), "odd": wire.number_field(2047, 1) + wire.plain_span(TRACE, SPAN)}


def read(kernel: Kernel, request: bytes) -> Any:
    found = kernel.Spans(facts=True)
    assert found.read(request) == found.found()[0]
    return found


def facts(kernel: Kernel, *fields: bytes, start: str = "usual") -> tuple[int, int, int]:
    """Start, end and status of a span with these fields after its ids."""
    status, start_time, end_time, _ = read(kernel, wire.plain_request(STARTS[start] + b"".join(fields))).rows()[0][6:]
    return start_time, end_time, status


def taken(kernel: Kernel, data: bytes) -> bool:
    """Whether these fields can be read, in a request, in both envelopes, and in a span."""
    places = [
        data,
        wire.message(1, data),
        wire.message(1, wire.message(2, data)),
        wire.plain_request(STARTS["odd"] + data),
    ]
    outcomes = []
    for request in places:
        try:
            read(kernel, request)
        except MalformedRequestError as error:
            assert 0 <= error.offset <= len(request)
            outcomes.append(False)
        else:
            outcomes.append(True)
    assert len(set(outcomes)) == 1, "the same everywhere"
    return outcomes[0]


# ---------------------------------------------------------------- spans


@given(wire.requests)
def test_spans_are_the_official_ones(kernel: Kernel, request_: bytes) -> None:
    """Ids, bytes and order of the valid spans are those that the official classes read; the others are counted."""
    official = wire.standings(request_)
    sent = [view for view, each in zip(wire.view_spans(request_), official, strict=True) if each.valid]
    found = read(kernel, request_)
    valid = [each for each in official if each.valid]
    assert found.found()[:2] == (len(valid), len(official) - len(valid))
    assert bool(found.found()[2]) == (len(valid) < len(official))
    rows = found.rows()
    assert [request_[body:stop] for _, body, stop, *_ in rows] == sent
    assert [(request_[row[3] : row[3] + 16], request_[row[4] : row[4] + 8]) for row in rows] == [
        (each.trace_id, each.span_id) for each in valid
    ]
    for start, body, stop, *_ in rows:
        assert wire.view_spans(wire.message(1, wire.message(2, request_[start:stop]))) == [request_[body:stop]]


@given(wire.requests)
def test_envelopes_are_the_official_ones(kernel: Kernel, request_: bytes) -> None:
    """Resource, scope, schema_urls and unknown fields around a span read the same as in the request."""
    found = read(kernel, request_)
    valid = [each for each in wire.standings(request_) if each.valid]
    for row, each in zip(found.rows(), valid, strict=True):
        resource, scope = found.scopes()[row[5]]
        rebuilt = wire.message(1, resource, wire.message(2, scope, request_[row[0] : row[2]]))
        assert wire.standings(rebuilt) == [each]
    assert [row[5] for row in found.rows()] == sorted(row[5] for row in found.rows())
    assert {row[5] for row in found.rows()} == set(range(len(found.scopes())))


@given(st.one_of(st.binary(max_size=60), wire.requests), st.data())
def test_any_bytes_are_refused_or_read(kernel: Kernel, data: bytes, choice: st.DataObject) -> None:
    """Arbitrary bytes, or a request cut off anywhere, are refused with an offset inside, or are a request officially too."""
    data = data[: choice.draw(st.integers(0, len(data)))]
    found = kernel.Spans(facts=True)
    try:
        found.read(data)
    except MalformedRequestError as error:
        assert 0 <= error.offset <= len(data)
        assert str(error) == f"{error.reason} at byte {error.offset}"
    else:
        assert len(wire.view_spans(data)) == sum(found.found()[:2])


@pytest.mark.parametrize("size", [20, 150, 17_000])
def test_truncation_at_every_byte(kernel: Kernel, size: int) -> None:
    """Of one resource's request no proper beginning is taken for a request, whatever the spans' lengths."""
    request = spans.request(*spans.padded([spans.span("A", 1), spans.span("B", 2)], size))
    found = kernel.Spans(facts=True)
    for length in range(1, len(request), 1 if size < 1000 else 97):
        with pytest.raises(MalformedRequestError):
            found.read(request[:length])


@pytest.mark.parametrize("form", STARTS)
@pytest.mark.parametrize("pad", [0, 100, 17_000])
@pytest.mark.parametrize(
    ("trace_id", "span_id", "reason"),
    [
        (b"", SPAN, "trace id of 0 bytes, must be 16"),
        (b"A" * 17, SPAN, "trace id of 17 bytes, must be 16"),
        (bytes(16), SPAN, "trace id is zero"),
        (TRACE, b"a" * 16, "span id of 16 bytes, must be 8"),
        (TRACE, bytes(8), "span id is zero"),
        (bytes(8) + b"A" + bytes(7), SPAN, ""),
        (b"A" + bytes(15), bytes(7) + b"a", ""),
    ],
)
def test_a_span_with_an_invalid_id_is_left_out_alone(
    kernel: Kernel, trace_id: bytes, span_id: bytes, reason: str, pad: int, form: str
) -> None:
    """A span with an invalid id is counted with its reason and its neighbours are kept, whatever their lengths."""
    bad = STARTS[form][: -len(STARTS["usual"])] + wire.plain_span(trace_id, span_id, wire.padding(pad))
    count = 2 if reason else 0
    assert read(kernel, wire.plain_request(USUAL, bad, USUAL, bad)).found() == (4 - count, count, reason)


# ---------------------------------------------------------------- facts


def official_facts(data: bytes) -> tuple[int, int, int]:
    span = Span.FromString(data)
    code = span.status.code
    return span.start_time_unix_nano, span.end_time_unix_nano, code if 0 <= code <= 2 else -1


@given(st.lists(wire.spans(), min_size=1, max_size=4))
def test_facts_are_the_official_ones(kernel: Kernel, messages: list[bytes]) -> None:
    """Start, end and status code are what the official classes read, in whatever order and however often they come."""
    request = wire.plain_request(*messages)
    expected = [official_facts(each.span) for each in wire.standings(request) if each.valid]
    assert [(row[7], row[8], row[6]) for row in read(kernel, request).rows()] == expected


@given(st.binary(max_size=60), st.sampled_from(list(STARTS)))
@example(b"\x7a", "usual")
@example(b"\x39\x01", "usual")
@example(b"\x7a\x02\x18\xff", "usual")
@example(b"\x7a\x05\x18\x02", "usual")
@example(b"\x85", "usual")
def test_facts_never_refuse(kernel: Kernel, data: bytes, start: str) -> None:
    """Whatever stands behind a usual span's ids costs it nothing, and where official parsers can read it, the facts agree."""
    if start == "odd":
        data = wire.bytes_field(2000, data)
    values = facts(kernel, data, start=start)
    try:
        expected = official_facts(STARTS[start] + data)
    except DecodeError:
        return
    assert values == expected


@pytest.mark.parametrize("start", STARTS)
def test_facts_of_every_spelling(kernel: Kernel, start: str) -> None:
    """The last of a fact given twice counts; statuses merge; lengths and tags may be padded; other wire types are no facts."""
    told = wire.fixed64_field(7, 5) + wire.fixed64_field(8, 9) + wire.message(15, wire.number_field(3, 2))
    assert facts(kernel, told, start=start) == (5, 9, 2)
    assert facts(kernel, told, wire.fixed64_field(7, 6), start=start) == (6, 9, 2)
    assert facts(kernel, told, wire.message(15, wire.bytes_field(2, b"why")), start=start) == (5, 9, 2)
    assert facts(kernel, told, wire.message(15, wire.number_field(3, 0)), start=start) == (5, 9, 0)
    assert facts(kernel, told, wire.message(15), wire.number_field(7, 4), wire.fixed32_field(8, 4)) == (5, 9, 2)
    assert facts(kernel, wire.bytes_field(15, wire.number_field(3, 2), 5), start=start) == (0, 0, 2)
    assert facts(kernel, b"\xb9\x80\x00" + (7).to_bytes(8, "little"), start=start) == (7, 0, 0)
    assert facts(kernel, wire.group_field(7, told), wire.message(3000, told), start=start) == (0, 0, 0)
    assert facts(kernel, wire.message(15, wire.number_field(3, 1), told), start=start) == (0, 0, 1)


@pytest.mark.parametrize(("code", "status"), [(2, 2), (3, -1), (2**32 + 2, 2), (2**31, -1), (2**64 - 1, -1)])
def test_status_codes(kernel: Kernel, code: int, status: int) -> None:
    """Of a status code 32 bits count, as officially; one that OTLP does not know is none of them."""
    field = wire.message(15, wire.number_field(3, code))
    assert facts(kernel, field) == (0, 0, status)
    assert official_facts(field) == (0, 0, status)


def test_what_stands_before_garbage_counts(kernel: Kernel) -> None:
    """A span that stops being protobuf half-way still gives what was read before, and the next one gives its own."""
    half = STARTS["usual"] + wire.fixed64_field(7, 5) + wire.message(15, wire.number_field(3, 2)) + b"\xff\xff"
    rows = read(kernel, wire.plain_request(half + bytes(120), half, USUAL)).rows()
    assert [row[6:9] for row in rows] == [(2, 5, 0), (2, 5, 0), (0, 0, 0)]


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize(
    ("parent", "root"),
    [
        (b"", 1),
        (wire.bytes_field(4, b""), 1),
        (wire.bytes_field(4, bytes(8)), 1),
        (wire.bytes_field(4, b"parentid"), 0),
        (wire.bytes_field(4, bytes(7) + b"x"), 0),
        (wire.bytes_field(4, bytes(9)), 1),
        (wire.bytes_field(4, bytes(11) + b"x"), 0),
        (wire.bytes_field(4, b"parentid") + wire.bytes_field(4, b""), 1),
    ],
)
def test_a_root_names_no_parent(kernel: Kernel, start: str, parent: bytes, root: int) -> None:
    """A span without a parent's id, or with nothing but zeros there, is a root; the last one given counts."""
    for tail in (b"", b"\x92\x03\x01x"):  # a field that is spelled as usual, and one that is not
        rows = read(kernel, wire.plain_request(STARTS[start] + parent + tail)).rows()
        assert rows[0][9] == root


def test_facts_only_where_asked_for(kernel: Kernel) -> None:
    """Whoever asks for no facts gets none, and the same spans."""
    request = wire.plain_request(USUAL + wire.fixed64_field(7, 5))
    without = kernel.Spans(facts=False)
    without.read(request)
    assert without.rows()[0][:6] == read(kernel, request).rows()[0][:6]
    assert without.rows()[0][6:] == (0, 0, 0, 0)


# ---------------------------------------------------------------- framing


@given(st.lists(wire.unknown_fields, min_size=1).map(b"".join), st.data())
def test_a_field_cut_off_is_refused(kernel: Kernel, data: bytes, choice: st.DataObject) -> None:
    """Fields of every wire type are passed whole, and a message that ends within one is refused where officially it is."""
    assert taken(kernel, data)
    part = data[: choice.draw(st.integers(0, len(data) - 1))]
    assert taken(kernel, part) == officially(part)


def officially(data: bytes) -> bool:
    try:
        wire.View.FromString(data)
    except DecodeError:
        return False
    return True


FIELD = wire.tag(20, wire.VARINT)
BYTES = wire.tag(20, wire.LENGTH)
START, END = wire.tag(20, wire.GROUP_START), wire.tag(20, wire.GROUP_END)


@pytest.mark.parametrize(
    ("data", "offset", "reason"),
    [
        (FIELD, 2, "truncated varint"),
        (FIELD + b"\x80", 2, "truncated varint"),
        (FIELD + b"\xff" * 9, 2, "truncated varint"),
        (FIELD + b"\x80" * 10, 2, "varint of over 10 bytes"),
        (FIELD + b"\xff" * 10 + b"\x01", 2, "varint of over 10 bytes"),
        (b"\x00", 0, "field number 0 is not possible"),
        (b"\x02\x00", 0, "field number 0 is not possible"),
        (wire.varint(1 << 32 | wire.VARINT) + b"\x00", 0, "field number 536870912 is not possible"),
        (b"\xff\xff\xff\xff\x7f\x00", 0, "field number 4294967295 is not possible"),
        (wire.varint(2048 << 3, 6) + b"\x00", 0, "varint of over 5 bytes"),
        (wire.tag(20, 6) + b"\x00", 2, "wire type 6 is not possible here"),
        (wire.tag(20, 7) + b"\x00", 2, "wire type 7 is not possible here"),
        (END, 2, "wire type 4 is not possible here"),
        (BYTES + b"\x03ab", 2, r"length 3 passes the end \(2 bytes left\)"),
        (BYTES + wire.varint(1, 6) + b"x", 2, "varint of over 5 bytes"),
        (BYTES + wire.varint(2**31 - 1), 2, r"length 2147483647 passes the end \(0 bytes left\)"),
        (BYTES + wire.varint(2**31), 2, r"length 2147483648 passes the end \(0 bytes left\)"),
        (BYTES + wire.varint(2**35 - 1), 2, r"length 34359738367 passes the end \(0 bytes left\)"),
        (BYTES + wire.varint(2**63), 2, "varint of over 5 bytes"),
        (wire.tag(20, wire.FIXED64) + bytes(7), 2, "truncated fixed-size value"),
        (wire.tag(20, wire.FIXED32) + bytes(3), 2, "truncated fixed-size value"),
        (START, 2, "truncated group"),
        (START + wire.tag(21, wire.GROUP_END), 4, "group ends under another field number"),
        (START + b"\x1a\x03ab", 3, r"length 3 passes the end \(2 bytes left\)"),
        (START * 100_000, 2 * (limits.FIELD_NESTING_MAX + 1), "groups nested too deep"),
    ],
)
def test_malformed_framing_is_refused_with_its_offset(kernel: Kernel, data: bytes, offset: int, reason: str) -> None:
    """What cannot be read is refused with the byte where reading stopped, and why, in whatever message it stands."""
    assert not officially(data)
    assert not taken(kernel, data)
    with pytest.raises(MalformedRequestError, match=reason) as caught:
        read(kernel, data)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    "data",
    [
        FIELD + b"\xff" * 9 + b"\x7f",  # what a tenth byte holds beyond 64 bits is ignored
        FIELD + wire.varint(1, 10),
        wire.tag(2**29 - 1, wire.VARINT) + b"\x00",
        wire.varint(20 << 3, 5) + b"\x00",
        BYTES + wire.varint(1, 5) + b"x",
        START * limits.FIELD_NESTING_MAX + END * limits.FIELD_NESTING_MAX,
    ],
)
def test_the_limits_of_framing(kernel: Kernel, data: bytes) -> None:
    """Padded tags, lengths and numbers, the largest field number and the deepest groups are taken, as officially."""
    assert officially(data)
    assert taken(kernel, data)


def test_groups_are_as_deep_as_officially_allowed(kernel: Kernel) -> None:
    """Three messages around them included, the deepest groups that are taken are no deeper than protobuf reads."""
    depth = limits.FIELD_NESTING_MAX
    request = wire.plain_request(STARTS["odd"] + START * depth + END * depth)
    assert read(kernel, request).found()[0] == len(wire.standings(request)) == 1
    assert not taken(kernel, START * (depth + 1) + END * (depth + 1))


def test_a_group_may_not_hold_field_zero(kernel: Kernel) -> None:
    """Field 0 is refused inside groups too, where the official parser lets it pass: we are stricter, nobody writes it."""
    assert officially(START + b"\x02\x00" + END)
    assert not taken(kernel, START + b"\x02\x00" + END)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (wire.number_field(1, 5), "field 1 has wire type 0 where OTLP has a message or a string at byte 0"),
        (wire.message(1, wire.fixed64_field(2, 5)), "field 2 has wire type 1 where .* at byte 2"),
        (wire.message(1, wire.number_field(3, 5)), "field 3 has wire type 0 where .* at byte 2"),
        (wire.message(1, wire.message(2, wire.group_field(2))), "field 2 has wire type 3 where .* at byte 4"),
        (
            wire.message(1, wire.message(2, b"\x12\xff\x7f" + bytes(40))),
            "length 16383 passes the end .40 bytes left. at byte 5",
        ),
        (wire.plain_request(b"\x2a\x00\x0a\x11short"), "length 17 passes the end .5 bytes left. at byte 9"),
    ],
)
def test_refusals_name_the_place(kernel: Kernel, request_: bytes, reason: str) -> None:
    """A known field in another wire type, or a length that is too long, is refused where it stands."""
    with pytest.raises(MalformedRequestError, match=reason):
        read(kernel, request_)


def test_a_request_too_large_for_any_parser(kernel: Kernel) -> None:
    """Protobuf's messages end at 2 GiB; so do requests, and no number in the kernel is asked to hold more."""
    try:
        request = bytes(2**31)  # zeros that take no memory until they are read, and none is
    except MemoryError:
        pytest.skip("no room for 2 GiB of addresses")
    with pytest.raises(MalformedRequestError, match="over 2147483647 bytes"):
        kernel.Spans(facts=True).read(request)


# ---------------------------------------------------------------- used again and again


def test_one_object_reads_request_after_request(kernel: Kernel) -> None:
    """What is found depends on the request alone: not on larger, smaller or broken ones before it."""
    found = kernel.Spans(facts=True)
    large = 70_000
    spans_of = {
        count: [wire.plain_span(TRACE, n.to_bytes(8, "big")) for n in range(1, count + 1)] for count in (1, large)
    }
    for count in (1, 511, 512, 513, 5000, large, 1, 0, large, 513):
        request = wire.plain_request(*spans_of[large][:count], resource=wire.message(1, wire.padding(count)))
        assert found.read(request) == count
        assert len(found.scopes()) == min(count, 1)
        rows = found.rows()
        assert [request[row[4] : row[4] + 8] for row in rows] == [n.to_bytes(8, "big") for n in range(1, count + 1)]
        with pytest.raises(MalformedRequestError):
            found.read(request + b"\x0a")
        bad = wire.plain_request(wire.plain_span(b"", b""))
        assert (found.read(bad), *found.found()) == (0, 0, 1, "trace id of 0 bytes, must be 16")
        assert (found.read(b""), found.found(), found.scopes(), found.rows()) == (0, (0, 0, ""), [], [])


def test_columns_stay_the_same_objects_until_they_grow(kernel: Kernel) -> None:
    """Other parts of the kernel may hold the columns as long as they are the ones that are shared."""
    found = kernel.Spans(facts=True)
    before = found.shared()
    found.read(wire.plain_request(*[USUAL] * 512))
    assert [a is b for a, b in zip(before, found.shared(), strict=True)] == [True, True]
    found.read(wire.plain_request(*[USUAL] * 513))
    assert [a is b for a, b in zip(before, found.shared(), strict=True)] == [False, False]


def test_only_bytes_are_read(kernel: Kernel) -> None:
    """Whatever is not bytes is a mistake of the caller's, and says so."""
    if kernel.form == "pure":
        pytest.skip("uncompiled, annotations are not enforced")
    for wrong in (None, "text", bytearray(b""), memoryview(b"")):
        with pytest.raises(TypeError):
            kernel.Spans(facts=True).read(wrong)  # type: ignore[arg-type]


def test_rows_are_as_wide_as_the_columns_say(kernel: Kernel) -> None:
    """The columns are WIDTH integers a span, for whoever reads them: start, body, stop, trace, span, envelope, status."""
    found = read(kernel, wire.plain_request(USUAL, USUAL))
    columns: Any = found.shared()[0]
    for index, row in enumerate(found.rows()):
        assert tuple(columns[index * scan.WIDTH : index * scan.WIDTH + 7]) == row[:7]
