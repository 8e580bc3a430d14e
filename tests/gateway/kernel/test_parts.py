"""gateway.kernel.parts against the official classes: each owner gets its traces' spans, in order, byte for byte, enclosed."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_intdigest

from gateway.errors import MalformedRequestError, TooLargeError
from gateway.kernel import Kernel, parts, scan
from gateway.kernel import load as load_kernel
from tests.support import wire

NO_BOUND = 1 << 40
Divided = list[tuple[int, bytes, int]]


class Divider:
    """Reads and divides; used again and again."""

    def __init__(self, kernel: Kernel) -> None:
        self.spans = kernel.Spans(facts=False)
        self.parts = kernel.Parts(self.spans)

    def __call__(self, request: bytes, owners: list[int], envelope_bytes_max: int = NO_BOUND) -> Divided:
        self.spans.read(request)
        return self.parts.divide(request, array("i", owners), max(owners) + 1, envelope_bytes_max)


@pytest.fixture(scope="module")
def divide(kernel: Kernel) -> Divider:
    return Divider(kernel)


def owner_of(trace_id: bytes, owners: list[int]) -> int:
    return owners[xxh3_64_intdigest(trace_id) % len(owners)]


def check(request: bytes, owners: list[int], divided: Divided) -> None:
    """What was divided is what the official classes and the xxhash package would have made of it."""
    sent = zip(wire.view_spans(request), wire.standings(request), strict=True)
    expected: dict[int, list[tuple[bytes, wire.Standing]]] = {}
    for raw, each in sent:
        if each.valid:
            expected.setdefault(owner_of(each.trace_id, owners), []).append((raw, each))
    assert [owner for owner, _, _ in divided] == list(expected), "owners as they first come"
    for owner, body, count in divided:
        assert type(body) is bytes
        assert list(zip(wire.view_spans(body), wire.standings(body), strict=True)) == expected[owner]
        assert count == len(expected[owner])


owner_lists = st.lists(st.integers(0, 6), min_size=1, max_size=20)


@given(wire.requests, owner_lists)
def test_each_owner_gets_its_spans(divide: Divider, request_: bytes, owners: list[int]) -> None:
    """Each owner's request holds its traces' spans once, in order, with the bytes and in the envelopes that were sent."""
    check(request_, owners, divide(request_, owners))


@given(wire.requests, owner_lists)
def test_all_forms_write_the_same_bytes(kernel: Kernel, request_: bytes, owners: list[int]) -> None:
    """The forms agree to the byte."""
    assert Divider(kernel)(request_, owners) == Divider(load_kernel("pure"))(request_, owners)


@given(wire.requests)
def test_one_owner_gets_everything(divide: Divider, request_: bytes) -> None:
    """Dividing again what one owner got changes no byte: every span is there, nothing else is."""
    for _, body, count in divide(request_, [0]):
        assert divide(body, [0]) == [(0, body, count)]


def test_an_owners_spans_share_their_envelope(divide: Divider) -> None:
    """Spans of one scope for one owner stand in one ResourceSpans, though others stood between them."""
    made = [wire.plain_span(trace, b"a" * 8) for trace in wire.TRACE_IDS * 3]
    for owner, body, _ in divide(wire.plain_request(*made), [0, 1]):
        assert len(wire.View.FromString(body).resource_spans) == 1, owner


@pytest.mark.parametrize("size", [0, 60, 100, 127, 128, 16_300, 16_384, 2_097_152])
def test_lengths_of_every_width(divide: Divider, size: int) -> None:
    """Envelopes and spans whose lengths take one to four bytes are written so that the official parser reads them."""
    field, span = wire.padding(size), wire.plain_span(b"A" * 16, b"a" * 8)
    for request in (
        wire.plain_request(span, resource=field),
        wire.plain_request(span, scope=field),
        wire.plain_request(span + field, wire.plain_span(b"B" * 16, b"a" * 8), span),
    ):
        check(request, [0, 1], divide(request, [0, 1]))


# ---------------------------------------------------------------- bounds and mistakes


def many_scopes(count: int) -> bytes:
    """Each scope has spans of all traces, so that each owner needs the resource of 1000 bytes again in every scope."""
    inner = wire.message(2, *[wire.bytes_field(2, wire.plain_span(trace, b"a" * 8)) for trace in wire.TRACE_IDS])
    return wire.message(1, wire.message(1, wire.padding(990)), *[inner] * count)


def test_envelopes_are_not_repeated_without_bound(divide: Divider) -> None:
    """A request whose envelopes would take more than asked, repeated for each owner and scope, is refused; the next is not."""
    request, owners = many_scopes(10), [0, 1, 2]
    repeated = sum(len(wire.View.FromString(body).resource_spans) for _, body, _ in divide(request, owners))
    resource = len(divide.spans.scopes()[0][0])
    for bound in (0, resource, repeated * resource - 1):
        with pytest.raises(TooLargeError, match="bytes, repeated for each sampler and scope"):
            divide(request, owners, bound)
        check(request, owners, divide(request, owners, repeated * resource))


@pytest.mark.parametrize("owners", [[-1], [7], [2**31 - 1], [0, 1, -(2**31)]])
def test_owners_that_there_are_not(divide: Divider, owners: list[int]) -> None:
    """A table that names owners beyond their number is a mistake that ends in an exception, and the next request is well."""
    request = wire.plain_request(*[wire.plain_span(trace, b"a" * 8) for trace in wire.TRACE_IDS])
    divide.spans.read(request)
    with pytest.raises(IndexError, match="an owner that there is not"):
        divide.parts.divide(request, array("i", owners), 2, NO_BOUND)
    check(request, [0, 1], divide(request, [0, 1]))


def test_a_table_without_owners(divide: Divider) -> None:
    """An empty table divides a request without spans, and no other."""
    divide.spans.read(b"")
    assert divide.parts.divide(b"", array("i"), 0, 0) == []
    request = wire.plain_request(wire.plain_span(b"A" * 16, b"a" * 8))
    divide.spans.read(request)
    with pytest.raises(IndexError):
        divide.parts.divide(request, array("i"), 0, NO_BOUND)


def test_another_request_than_the_one_that_was_read(divide: Divider) -> None:
    """Given other bytes than were read, nothing outside them is read."""
    request = wire.plain_request(*[wire.plain_span(trace, b"a" * 8) for trace in wire.TRACE_IDS])
    divide.spans.read(request)
    for length in (0, 1, 10, 30, len(request) - 1):
        with pytest.raises(IndexError):
            divide.parts.divide(request[:length], array("i", [0, 1]), 2, NO_BOUND)
    assert divide.parts.divide(request, array("i", [0, 1]), 2, NO_BOUND) == divide(request, [0, 1])


# ---------------------------------------------------------------- used again and again


def requests_of_all_sizes() -> Iterator[bytes]:
    for count in (1, 3000, 2, 70_000, 5, 0, 513, 1):
        ids = (number.to_bytes(8, "big") for number in range(1, count + 1))
        yield wire.plain_request(*[wire.plain_span(span_id * 2, span_id) for span_id in ids])
    yield wire.concat([wire.plain_request(wire.plain_span(trace, b"a" * 8)) for trace in wire.TRACE_IDS * 200])


def test_one_object_divides_request_after_request(kernel: Kernel) -> None:
    """Larger, smaller and broken requests before it, and other numbers of owners, leave no trace in what is divided."""
    divide = Divider(kernel)
    for number, request in enumerate(requests_of_all_sizes()):
        owners = [[0], list(range(5)), [3, 1], list(range(1000))][number % 4]
        divided = divide(request, owners)
        divide.spans.read(request)
        placed = [row[3] for row in divide.spans.rows()]
        expected: dict[int, int] = {}
        for at in placed:
            owner = owner_of(request[at : at + 16], owners)
            expected[owner] = expected.get(owner, 0) + 1
        assert [(owner, count) for owner, _, count in divided] == list(expected.items())
        assert [len(wire.view_spans(body)) for _, body, _ in divided] == list(expected.values())
        with pytest.raises(MalformedRequestError):
            divide(request + b"\x0a", owners)
        with pytest.raises(TooLargeError):
            divide(many_scopes(50), owners, 1000)


def test_columns_that_grew_are_seen(divide: Divider) -> None:
    """When the spans need larger columns, they are divided from these."""
    small = wire.plain_request(wire.plain_span(b"A" * 16, b"a" * 8))
    large = wire.plain_request(*[wire.plain_span(b"A" * 16, b"a" * 8)] * 2000)
    assert [count for request in (small, large, small) for _, _, count in divide(request, [0])] == [1, 2000, 1]


# ---------------------------------------------------------------- slots


@given(st.binary(min_size=16, max_size=16), st.one_of(st.integers(1, 100_000), st.integers(1, 2**63 - 1)))
def test_slots_are_those_of_the_xxhash_package(kernel: Kernel, trace_id: bytes, slots: int) -> None:
    """A trace's slot is the xxh3 of its id, modulo the number of slots: whoever computes it."""
    assert kernel.slot_of(trace_id, slots) == xxh3_64_intdigest(trace_id) % slots


@pytest.mark.parametrize("trace_id", [bytes(16), b"\xff" * 16, b"\x80" + bytes(15), bytes(15) + b"\x01"])
def test_slots_of_extreme_ids(kernel: Kernel, trace_id: bytes) -> None:
    """Carries and high bits are where multiplication by halves would go wrong."""
    assert kernel.slot_of(trace_id, 2**63 - 1) == xxh3_64_intdigest(trace_id) % (2**63 - 1)


@pytest.mark.parametrize(
    ("trace_id", "slots"), [(b"", 1), (b"A" * 15, 1), (b"A" * 17, 1), (b"A" * 16, 0), (b"A" * 16, -1)]
)
def test_slots_of_what_is_none(kernel: Kernel, trace_id: bytes, slots: int) -> None:
    """Ids of another length, or a ring without slots, are mistakes."""
    with pytest.raises(ValueError, match="16 bytes"):
        kernel.slot_of(trace_id, slots)


def test_the_columns_are_those_of_scan() -> None:
    """What `parts` reads is what `scan` has written."""
    names = ("WIDTH", "START", "STOP", "TRACE", "ENVELOPE")
    of: dict[str, Any] = {"scan": vars(scan), "parts": vars(parts)}
    assert [of["parts"][name] for name in names] == [of["scan"][name] for name in names]
