"""gateway.kernel.match against the official classes: what probes are told of a span, and what is remembered of it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import limits
from gateway.errors import MalformedRequestError
from gateway.kernel import Kernel, match, scan
from gateway.kernel.names import RESOURCE, SCOPE, SPAN, Look, Plan, Probe, Values
from tests.support import looks, wire

IDS = wire.plain_span(b"A" * 16, b"a" * 8)
STARTS = {"usual": IDS, "odd": wire.number_field(2047, 1) + IDS}
NAME, KIND, STATUS, EVENTS = Look(SPAN, 5), Look(SPAN, 6), Look(SPAN, 15), Look(SPAN, 11)
KEYS = ["key", "yek", "http.route", "http.rout", "k" * 130, "clé"]


def pair(key: str, value: bytes | None = b"\x0a\x01v", width: int = 1) -> bytes:
    """A KeyValue; its lengths take at least `width` bytes."""
    fields = wire.bytes_field(1, key.encode(), width)
    return fields if value is None else fields + wire.bytes_field(2, value, width)


def attribute(key: str, value: bytes | None = b"\x0a\x01v", field: int = 9, width: int = 1) -> bytes:
    return wire.bytes_field(field, pair(key, value, width), width)


def matched(kernel: Kernel, plan: Plan, request: bytes, matcher: Any = None) -> list[int]:
    """The marks of each span."""
    found = kernel.Spans(facts=True)
    found.read(request)
    matcher = matcher or kernel.Matcher(plan)
    matcher.read(request, found)
    return list(matcher.masks())


def told(
    kernel: Kernel, *asked: Look, span: bytes = b"", resource: bytes = b"", scope: bytes = b"", garbage: bytes = b""
) -> Values:
    """What one probe is told of one span, whose fields stand behind its ids, whatever stands before them.

    Garbage goes to the end of the span: one that does not begin as usual would be refused for it.
    """
    outcomes = []
    for start in list(STARTS.values())[: 1 if garbage else 2]:
        listener = looks.Listener(asked)
        request = wire.plain_request(start + span + garbage, resource=resource, scope=scope)
        outcomes += listener.told(*matched(kernel, listener.plan, request))
    assert outcomes == outcomes[:1] * len(outcomes), "the same everywhere"
    return outcomes[0]


# ---------------------------------------------------------------- what looks find

_keys = st.sampled_from([*KEYS, "other"])
_contents = st.one_of(st.sampled_from([b"", b"\x0a\x01v", b"\x18\x07"]), st.binary(max_size=20), st.just(bytes(200)))
_widths = st.sampled_from([1, 1, 1, 2, 5])
_pair_fields = st.lists(
    st.one_of(
        _keys.map(lambda key: wire.bytes_field(1, key.encode())),
        st.builds(wire.bytes_field, st.just(2), _contents, _widths),
        wire.unknown_fields,
        st.just(wire.number_field(1, 3)),
    ),
    max_size=4,
).map(b"".join)
_usual_pairs = st.builds(pair, _keys, st.one_of(st.none(), _contents), _widths)
_pairs = st.one_of(_usual_pairs, _usual_pairs, _pair_fields)


def _attributes(field: int) -> st.SearchStrategy[bytes]:
    return st.builds(wire.bytes_field, st.just(field), _pairs, _widths)


_numbers = st.one_of(st.integers(0, 127), st.integers(0, 2**64 - 1))
_any_fields = st.one_of(
    st.builds(wire.number_field, st.integers(1, 17), _numbers),
    st.builds(wire.fixed64_field, st.integers(1, 17), _numbers),
    st.builds(wire.fixed32_field, st.integers(1, 17), st.integers(0, 2**32 - 1)),
    st.builds(wire.bytes_field, st.integers(1, 17).filter(lambda n: n > 2), _contents, _widths),
    wire.unknown_fields,
)


def _messages(*more: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.lists(st.one_of(*more, _any_fields), max_size=12).map(b"".join)


_span_fields = st.one_of(
    _attributes(9),
    st.builds(wire.bytes_field, st.sampled_from([5, 11, 13, 15]), _contents, _widths),
    st.builds(wire.number_field, st.sampled_from([6, 10, 12, 14]), _numbers),
    st.builds(wire.fixed64_field, st.sampled_from([7, 8]), _numbers),
)
_sent_spans = st.builds(
    lambda start, fields: start + fields, st.sampled_from(list(STARTS.values())), _messages(_span_fields)
)


def _envelopes(content: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    field = st.one_of(st.builds(wire.bytes_field, st.just(1), content, _widths), wire.unknown_fields)
    return st.lists(field, max_size=3).map(b"".join)


_resources = _envelopes(_messages(_attributes(1), st.builds(wire.number_field, st.just(2), _numbers)))
_scopes = _envelopes(_messages(_attributes(3), st.builds(wire.bytes_field, st.sampled_from([1, 2]), _contents)))
_requests = st.lists(
    st.builds(
        lambda messages, resource, scope: wire.plain_request(*messages, resource=resource, scope=scope),
        *(st.lists(_sent_spans, max_size=4), _resources, _scopes),
    ),
    max_size=3,
).map(b"".join)
_looks = st.sampled_from(
    [Look(where, field) for where, fields in looks.FIELDS.items() for field in fields if (where, field) != (SPAN, 1)]
    + [Look(where, looks.ATTRIBUTES[where], key) for where in looks.FIELDS for key in KEYS]
    + [Look(SPAN, 9, key) for key in KEYS] * 5
)
_asked = st.lists(st.lists(_looks, max_size=3).map(tuple), min_size=1, max_size=8)


def check_told(kernel: Kernel, asked: list[tuple[Look, ...]], *requests: bytes, memo: bool = True) -> None:
    """Each probe is told what the official parser finds, wherever it can read the messages."""
    listener = looks.Listener(*asked, memo=memo)
    matcher = kernel.Matcher(listener.plan, 7)
    for request in requests:
        found = kernel.Spans(facts=True)
        found.read(request)
        matcher.read(request, found)
        for row, mask in zip(found.rows(), matcher.masks(), strict=True):
            for probe, values in zip(asked, listener.told(mask), strict=True):
                expected = looks.expected(probe, found.scopes()[row[5]], request[row[1] : row[2]])
                understood = tuple(looks.understood(look, raw) for look, raw in zip(probe, values, strict=True))
                assert expected in (None, understood), f"{probe}: {values}"


@given(_requests, _asked, st.booleans())
def test_probes_are_told_what_official_parsers_read(
    kernel: Kernel, request_: bytes, asked: list[tuple[Look, ...]], memo: bool
) -> None:
    """Raw values of fields and attributes of resource, scope and span are the official ones, however they are written."""
    check_told(kernel, asked, request_, request_, memo=memo)


@given(st.lists(wire.requests, min_size=1, max_size=3), _asked)
def test_one_request_leaves_nothing_for_the_next(
    kernel: Kernel, requests_: list[bytes], asked: list[tuple[Look, ...]]
) -> None:
    """Of each of several requests, read one after the other by the same matcher, probes are told its own values."""
    check_told(kernel, asked, *requests_)


@pytest.mark.parametrize("field", [3, 4, 5, 15])
def test_the_last_of_a_field_counts(kernel: Kernel, field: int) -> None:
    """Of a field that a span should have once, and of a status too, the content of the last one is seen; none gives None."""
    look = Look(SPAN, field)
    assert told(kernel, look) == (None,)
    assert told(kernel, look, span=wire.bytes_field(field, b"one") + wire.bytes_field(field, b"two")) == (b"two",)
    assert told(kernel, look, span=wire.bytes_field(field, b"", 4) + wire.number_field(field, 1)) == (b"",)


def test_numbers_are_seen_as_they_were_sent(kernel: Kernel) -> None:
    """Of a varint its bytes are seen, of a fixed-size number its 4 or 8."""
    sent = wire.tag(6, 0) + b"\x83\x00" + wire.fixed64_field(7, 5) + wire.fixed32_field(16, 257)
    assert told(kernel, KIND, Look(SPAN, 7), Look(SPAN, 16), Look(SPAN, 8), span=sent) == (
        *(b"\x83\x00", b"\x05" + bytes(7), b"\x01\x01\x00\x00", None),
    )


def test_the_first_attribute_with_the_key_counts(kernel: Kernel) -> None:
    """Of a key given twice the first value is seen, as in every SDK's and Collector's search; no value is an empty one."""
    look = Look(SPAN, 9, "key")
    assert told(kernel, look, span=attribute("other") + attribute("ke")) == (None,)
    assert told(kernel, look, span=attribute("key", b"one") + attribute("key", b"two")) == (b"one",)
    for empty in (attribute("key", b""), attribute("key", None), attribute("key", None) + attribute("key", b"two")):
        assert told(kernel, look, span=empty) == (b"",)


def test_keys_that_look_alike(kernel: Kernel) -> None:
    """Among many keys, of equal length and with equal endings, each is told apart."""
    keys = [f"key.{n:03d}.{n % 10}" for n in range(300)]
    asked = [(Look(SPAN, 9, key),) for key in keys]
    sent = [attribute(key, key.encode()) for key in keys[::3]]
    listener = looks.Listener(*asked)
    (mask,) = matched(kernel, listener.plan, wire.plain_request(IDS + b"".join(sent)))
    assert listener.told(mask) == [(key.encode() if n % 3 == 0 else None,) for n, key in enumerate(keys)]


@pytest.mark.parametrize("field", [9, 11, 13])
def test_repeated_fields_are_seen_whole(kernel: Kernel, field: int) -> None:
    """Of events, links and attributes without a key all are seen, each with its tag and length, wherever they stand."""
    one, two, three = wire.message(field, b"one"), wire.message(field, b""), wire.bytes_field(field, b"three", 5)
    between = wire.number_field(6, 1) + wire.padding(200)
    look = Look(SPAN, field)
    assert told(kernel, look) == (None,)
    assert told(kernel, look, span=one + two + three) == (one + two + three,)
    assert told(kernel, look, KIND, span=one + between + two + three + between) == (one + two + three, b"\x01")
    assert told(kernel, look, span=one + between + two, garbage=b"\xff\xff" + three) == (one + two,)


def test_envelopes_are_looked_into(kernel: Kernel) -> None:
    """Resource and scope are seen as their fields say, the resource's or scope's own attributes by their keys; given twice,
    they merge."""
    asked = (Look(RESOURCE, 1, "key"), Look(RESOURCE, 2), Look(SCOPE, 1), Look(SCOPE, 3, "key"), Look(SPAN, 9, "key"))
    one = wire.message(1, attribute("key", b"r", 1), wire.number_field(2, 9))
    two = wire.message(1, attribute("other", b"x", 1), attribute("key", b"late", 1), wire.number_field(2, 8))
    scope = wire.message(1, wire.bytes_field(1, b"lib"), attribute("key", b"s", 3))
    assert told(kernel, *asked) == (None,) * 5
    assert told(kernel, *asked, resource=one, scope=scope) == (b"r", b"\x09", b"lib", b"s", None)
    assert told(kernel, *asked, resource=one + two, scope=scope) == (b"r", b"\x08", b"lib", b"s", None)
    assert told(kernel, *asked, resource=two + one, scope=scope + scope) == (b"late", b"\x09", b"lib", b"s", None)
    broken = wire.message(1, attribute("other", b"x", 1), b"\xff")
    assert told(kernel, *asked[:1], resource=broken + one) == (b"r",)
    assert told(kernel, Look(RESOURCE, 1), resource=broken + one) == (attribute("other", b"x", 1) + one[2:-2],)


def test_a_span_is_told_of_its_own_envelope(kernel: Kernel) -> None:
    """Spans of one request that stand in different envelopes are told of theirs, those with the same values alike."""
    asked = (Look(RESOURCE, 1, "key"), NAME)
    one, two = (wire.message(1, attribute("key", letter, 1)) for letter in (b"r1", b"r2"))
    named = IDS + wire.bytes_field(5, b"GET")
    request = b"".join(wire.plain_request(named, IDS, resource=resource) for resource in (one, two, one, b""))
    listener = looks.Listener(asked)
    seen = [listener.told(mask)[0] for mask in matched(kernel, listener.plan, request)]
    assert seen == [(resource, name) for resource in (b"r1", b"r2", b"r1", None) for name in (b"GET", None)]
    assert listener.calls == 6


# ---------------------------------------------------------------- hostile bytes


@pytest.mark.parametrize(
    "garbage",
    [
        *(
            b"\xff",
            b"\x4a",
            b"\x4a\x80",
            b"\x4a\x85\x80",
            b"\x4a\x7f\x0a\x03key",
            b"\x00\x00",
            b"\x07",
            b"\x30\x80",
            b"\x39\x01",
        ),
        *(
            b"\x85\x01\x01",
            b"\x80\x80\x80\x80\x80\x01",
            b"\x2a\xff\xff\xff\xff\x0f",
            b"\x0c",
            b"\x2a" + wire.varint(2**63),
        ),
        *(wire.tag(20, 3), wire.tag(20, 3) * (limits.FIELD_NESTING_MAX + 1), wire.tag(20, 3) + wire.tag(21, 4)),
    ],
)
def test_what_stands_before_garbage_is_seen(kernel: Kernel, garbage: bytes) -> None:
    """A span that stops being protobuf gives what was read before that; what comes behind it is as if it were not there."""
    before = wire.bytes_field(5, b"GET") + attribute("key", b"one")
    asked = (NAME, Look(SPAN, 9, "key"), KIND, Look(SPAN, 9, "yek"))
    assert told(kernel, *asked, span=before, garbage=garbage) == (b"GET", b"one", None, None)
    if garbage != b"\x4a\x7f\x0a\x03key":
        behind = wire.number_field(6, 1) + attribute("yek") + bytes(10)
        assert told(kernel, *asked[:2], span=before, garbage=garbage + behind)[:2] == (b"GET", b"one")


@pytest.mark.parametrize(
    ("fields", "seen"),
    [
        (b"", None),
        (b"\x0a", None),
        (b"\x0a\x04key", None),
        (b"\x0a\x03key\x12", b""),
        (b"\x0a\x03key\x12\x05abc", b""),
        (b"\x0a\x03key\x12\xff", b""),
        (b"\x0a\x03key\x12\x01v\xff", b"v"),
        (b"\x12\x01v\x0a\x03key", b"v"),
        (b"\x0a\x03key\x12\x01v\x12\x01w", b"w"),
        (b"\x0a\x03yek\x12\x01v\x0a\x03key", b"v"),
        (b"\x0a\x03key\x12\x01v\x0a\x03yek", None),
        (b"\x8a\x00\x83\x00key\x92\x00\x81\x00v", b"v"),
        (b"\x08\x03\x0a\x03key\x10\x05", b""),
        (wire.group_field(20, b"\x0a\x03yek") + b"\x0a\x03key", b""),
    ],
)
def test_attributes_of_every_spelling(kernel: Kernel, fields: bytes, seen: bytes | None) -> None:
    """Key and value of an attribute may come in any order and more than once, and may be cut off: what can be read counts."""
    assert told(kernel, Look(SPAN, 9, "key"), span=wire.message(9, fields)) == (seen,)
    mixed = told(kernel, Look(SPAN, 9, "key"), KIND, span=wire.message(9, fields) + wire.number_field(6, 1))
    assert mixed == (seen, b"\x01")


@given(st.binary(max_size=80), _asked)
def test_nothing_in_a_request_raises(kernel: Kernel, data: bytes, asked: list[tuple[Look, ...]]) -> None:
    """Whatever stands in span, resource and scope is matched without an error."""
    around = wire.message(1, data)
    check_told(kernel, asked, wire.plain_request(IDS + data, resource=around, scope=around))


@pytest.mark.parametrize("size", [150, 17_000])
def test_spans_cut_off_at_every_byte(kernel: Kernel, size: int) -> None:
    """A span may end anywhere: probes are told what official parsers would read, or at least the kernel goes on."""
    whole = IDS + b"".join(
        [attribute("key", bytes(20)), wire.padding(size), attribute("http.route"), wire.bytes_field(5, b"x")]
    )
    asked = [(Look(SPAN, 9, "key"),), (NAME, Look(SPAN, 9, "http.route")), (Look(SPAN, 9),)]
    parts = [whole[:length] for length in range(len(IDS), len(whole) + 1, 1 if size < 1000 else 101)]
    check_told(kernel, asked, wire.plain_request(*parts))


# ---------------------------------------------------------------- marks


def by_value(mark: int, key: str = "key") -> Probe:
    """Sets the mark on spans whose attribute is b"yes"."""
    return Probe((Look(SPAN, 9, key),), lambda values: (values[0] == b"yes") << mark)


@pytest.mark.parametrize(("marks", "words"), [(0, 1), (1, 1), (64, 1), (65, 2), (1024, 16)])
def test_words_of_marks(kernel: Kernel, marks: int, words: int) -> None:
    """Every 64 marks a span has one word more, and at least one; the first mark is the lowest bit of the first word."""
    probes = [by_value(mark, f"k{mark}") for mark in (0, marks - 1) if 0 <= mark < marks]
    matcher = kernel.Matcher(Plan(marks, tuple(probes)))
    assert matcher.words == words
    request = wire.plain_request(
        IDS, IDS + attribute("k0", b"yes") + attribute(f"k{marks - 1}", b"yes"), IDS + attribute("k0", b"no")
    )
    expected = 1 | 1 << marks - 1 if marks else 0
    assert matched(kernel, Plan(marks, tuple(probes)), request, matcher) == [0, expected, 0]
    shared = matcher.shared()
    assert shared.typecode == "Q"
    assert sum(word << 64 * n for n, word in enumerate(shared[words : 2 * words])) == expected


def test_answers_are_ored(kernel: Kernel) -> None:
    """Probes of the same look, of other ones, and those that a span gives nothing to see each add their marks."""
    plan = Plan(
        8,
        (
            by_value(0),
            by_value(1),
            by_value(2, "yek"),
            Probe((), lambda values: 1 << 3),
            Probe((Look(SPAN, 9, "none"),), lambda values: (values == (None,)) << 4),
            Probe((Look(SPAN, 9, "none"), Look(SPAN, 9, "key")), lambda values: (values[1] is None) << 5),
            Probe((Look(RESOURCE, 1, "key"),), lambda values: (values[0] == b"yes") << 6),
            Probe((KIND,), lambda values: (values[0] is None) << 7),
        ),
    )
    sent = [IDS, IDS + attribute("key", b"yes"), IDS + attribute("yek", b"yes") + wire.number_field(6, 1)]
    request = wire.plain_request(*sent, resource=wire.message(1, attribute("key", b"yes", 1)))
    assert matched(kernel, plan, request) == [0b11111000, 0b11011011, 0b01111100]
    assert matched(kernel, plan, wire.plain_request(*sent[:1])) == [0b10111000]


def test_nothing_asked_nothing_marked(kernel: Kernel) -> None:
    """A plan without probes leaves all marks zero, in whatever request and however many spans there are."""
    matcher = kernel.Matcher(Plan(5))
    for count in (3, 2000, 0, 5):
        assert matched(kernel, Plan(5), wire.plain_request(*[IDS] * count), matcher) == [0] * count


def test_marks_grow_with_requests_and_shrink_again(kernel: Kernel) -> None:
    """There is room for the spans of any request, and that of a very large one is given back with the next."""
    matcher = kernel.Matcher(Plan(65, (by_value(64),)))
    request = wire.plain_request(*[IDS, IDS + attribute("key", b"yes")] * 50)
    assert matched(kernel, Plan(), request, matcher) == [0, 1 << 64] * 50
    first = matcher.shared()
    assert matched(kernel, Plan(), wire.plain_request(*[IDS] * 70_000), matcher) == [0] * 70_000
    assert len(matcher.shared()) == 2 * 70_000
    assert matched(kernel, Plan(), request, matcher) == [0, 1 << 64] * 50
    assert len(matcher.shared()) == len(first)
    assert matched(kernel, Plan(), b"", matcher) == []


def test_looks_at_nothing_are_refused(kernel: Kernel) -> None:
    """A field that OTLP does not have, or a key where there are no attributes, is a mistake in the plan."""
    for look in (Look(SPAN, 17), Look(SPAN, 5, "key"), Look(RESOURCE, 9, "key"), Look(SCOPE, 0)):
        with pytest.raises(ValueError, match="nothing to be seen"):
            kernel.Matcher(Plan(1, (Probe((look,), lambda values: 0),)))


def test_columns_are_those_of_the_scan() -> None:
    """The columns of a span have the same places in both modules."""
    names = ("WIDTH", "BODY", "STOP", "TRACE", "ENVELOPE")
    assert [getattr(match, name) for name in names] == [getattr(scan, name) for name in names]
    assert match.SPAN_ID == scan.SPAN


# ---------------------------------------------------------------- memory


def valued(*values: bytes, key: str = "key") -> bytes:
    """A request with a span for each value of one attribute."""
    return wire.plain_request(*[IDS + attribute(key, value) for value in values])


@pytest.mark.parametrize("memo", [True, False])
@pytest.mark.parametrize(
    "asked", [(Look(SPAN, 9, "key"),), (Look(SPAN, 9, "key"), KIND), (Look(SPAN, 9, "key"), Look(RESOURCE, 2))]
)
def test_answers_are_remembered(kernel: Kernel, asked: tuple[Look, ...], memo: bool) -> None:
    """A probe is judged once for the same values, if it says that its answers may be remembered."""
    listener = looks.Listener(asked, memo=memo)
    matcher = kernel.Matcher(listener.plan)
    for _ in range(3):
        matched(kernel, listener.plan, valued(b"one", b"two", b"one", b"x" * 500, b"x" * 500), matcher)
    assert listener.calls == (1 + 3 if memo else 1 + 15)


def test_a_span_with_nothing_to_see_costs_no_judgement(kernel: Kernel) -> None:
    """Where a span has nothing that a probe looks at, the answer is known from its envelope, remembered or not."""
    listener = looks.Listener((Look(SPAN, 9, "key"),), (EVENTS, Look(RESOURCE, 2)), memo=False)
    masks = matched(kernel, listener.plan, wire.plain_request(*[IDS] * 100))
    assert listener.calls == 2
    assert [listener.told(mask) for mask in masks] == [[(None,), (None, None)]] * 100


def test_memos_are_bounded(kernel: Kernel) -> None:
    """However many values there are, no probe remembers more than memo_max answers, and they stay right."""
    listener = looks.Listener((Look(SPAN, 9, "key"),), (Look(SPAN, 9, "key"), KIND))
    matcher = kernel.Matcher(listener.plan, 100)
    values = [b"%d" % n for n in range(1000)]
    for _ in range(2):
        masks = matched(kernel, listener.plan, valued(*values), matcher)
        assert [listener.told(mask) for mask in masks] == [[(value,), (value, None)] for value in values]
        answers, size = matcher.remembered()
        assert answers <= 201
        assert size <= answers * 400


def test_long_values_are_not_remembered(kernel: Kernel) -> None:
    """Values of over 1 KiB are judged each time: they are hardly ever the same twice. So are envelopes of over 16 KiB."""
    listener = looks.Listener((Look(SPAN, 9, "key"),), (Look(SPAN, 9, "key"), KIND), (Look(RESOURCE, 1, "key"),))
    matcher = kernel.Matcher(listener.plan)
    envelope = wire.message(1, attribute("key", b"r" * 20_000, 1))
    request = wire.plain_request(*[IDS + attribute("key", b"x" * 1025)] * 10, resource=envelope)
    matched(kernel, listener.plan, request, matcher)
    calls, before = listener.calls, matcher.remembered()
    matched(kernel, listener.plan, request, matcher)
    assert listener.calls == calls + 2 * 10 + 1
    assert matcher.remembered() == before


def test_memory_is_bounded(kernel: Kernel) -> None:
    """All memos together hold at most MEMO_BYTES_MAX bytes, whatever is asked and of how many envelopes."""
    listener = looks.Listener((Look(SPAN, 9, "key"),), (Look(RESOURCE, 1, "key"), Look(SPAN, 9, "key")))
    matcher = kernel.Matcher(listener.plan, 1_000_000)
    largest = 0
    for n in range(4):
        resource = wire.message(1, attribute("key", b"%d" % n, 1))
        sent = [IDS + attribute("key", b"%d " % (n * 2000 + i) + b"x" * 1000) for i in range(2000)]
        masks = matched(kernel, listener.plan, wire.plain_request(*sent, resource=resource), matcher)
        assert listener.told(masks[-1])[0] == (b"%d " % (n * 2000 + 1999) + b"x" * 1000,)
        answers, size = matcher.remembered()
        assert answers * 1000 < size + 1000 * (n + 1) <= limits.MEMO_BYTES_MAX + 1000 * (n + 1)
        largest = max(largest, answers)
    assert 4000 < largest < 4 * 2000 * 2, "it was emptied on the way"


def test_what_a_judge_raises_goes_through(kernel: Kernel) -> None:
    """A mistake in a judge is a bug and is not hidden; a mask that is too large is one, too."""
    found = kernel.Spans(facts=True)
    found.read(valued(b"one"))
    for judge in (lambda values: 1 // 0 if values[0] else 0, lambda values: 1 << 64 if values[0] else 0):
        matcher = kernel.Matcher(Plan(64, (Probe((Look(SPAN, 9, "key"),), judge),)))
        with pytest.raises(ArithmeticError):
            matcher.read(valued(b"one"), found)


def test_other_spans_may_be_read_by_the_same_matcher(kernel: Kernel) -> None:
    """A matcher belongs to no Spans: whose it is given, those it reads."""
    matcher = kernel.Matcher(Plan(1, (by_value(0),)))
    for count in (1, 3, 2):
        assert matched(kernel, Plan(), valued(*[b"no"] * count, b"yes"), matcher) == [0] * count + [1]
        with pytest.raises(MalformedRequestError):
            kernel.Spans(facts=True).read(b"\xff")
