"""sampler.stamp: what is written on kept spans, and that nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway.otlp.readable import readable
from sampler.stamp import CACHED_DECISION, COMPOSITE_POLICY, POLICY, stamp
from sampler.tracestate import NEVER, with_threshold
from tests.support import wire
from tests.support.spans import attributes as pairs
from tests.support.spans import export_request, padded, request, resource_spans, span, spans_of

QUARTER = 0xC << 52

thresholds = st.none() | st.integers(0, NEVER - 1) | st.just(QUARTER)
attributes = st.lists(
    st.tuples(st.sampled_from([POLICY, COMPOSITE_POLICY, CACHED_DECISION]), st.text(max_size=200) | st.booleans()),
    max_size=3,
    unique_by=lambda pair: pair[0],
)
states = st.sampled_from(
    [b"", b"ot=th:8", b"ot=th:e", b"a=b,ot=rv:d29d6a7215ced0", b"ot=rv:d29d6a7215ced0;th:8,a=b", b"A=", b"a" * 600]
)
state_fields = st.lists(states.map(lambda state: wire.bytes_field(3, state)), max_size=2).map(b"".join)
stateful_spans = st.builds(
    lambda before, fields, after: wire.plain_span(b"A" * 16, b"a" * 8, before, fields, after),
    wire.unknown_fields,
    state_fields,
    st.lists(wire.unknown_fields | state_fields, max_size=2).map(b"".join),
)
stateful_requests = st.builds(
    lambda spans, resource, scope: wire.plain_request(*spans, resource=resource, scope=scope),
    st.lists(stateful_spans, max_size=5),
    wire.unknown_fields,
    wire.unknown_fields,
)
requests = wire.requests | stateful_requests | st.lists(stateful_requests, max_size=3).map(wire.concat)


def expected(body: bytes, threshold: int | None, extra: list[tuple[str, str | bool]]) -> ExportTraceServiceRequest:
    """The same by the official classes: read all, change it, and here it is."""
    parsed = ExportTraceServiceRequest.FromString(body)
    for scope in [inner for outer in parsed.resource_spans for inner in outer.scope_spans]:
        if extra:
            scope.scope.attributes.extend(pairs(dict(extra)))
        for each in scope.spans:
            if threshold is not None:
                each.trace_state = with_threshold(each.trace_state.encode(), threshold).decode()
    return parsed


def stamped(body: bytes, threshold: int | None, extra: list[tuple[str, str | bool]]) -> bytes:
    return stamp(body, len(wire.view_spans(body)), threshold=threshold, attributes=extra)


@given(requests, thresholds, attributes)
def test_only_thresholds_and_scope_attributes_differ(
    body: bytes, threshold: int | None, extra: list[tuple[str, str | bool]]
) -> None:
    """To every reader a stamped request is the one that came, with its thresholds stated and attributes on its scopes."""
    found = ExportTraceServiceRequest.FromString(stamped(body, threshold, extra))
    whole = expected(body, threshold, extra)
    assert found.SerializeToString(deterministic=True) == whole.SerializeToString(deterministic=True)


@given(requests, thresholds, attributes)
def test_a_span_is_only_added_to(body: bytes, threshold: int | None, extra: list[tuple[str, str | bool]]) -> None:
    """Every span begins with the bytes that came; behind them is one field, if it states another threshold now."""
    before, after = wire.view_spans(body), wire.view_spans(stamped(body, threshold, extra))
    assert len(before) == len(after)
    for was, now in zip(before, after, strict=True):
        assert now.startswith(was)
        assert len(now) - len(was) <= 2 + 2 + 600 and (now == was or now[len(was)] == 3 << 3 | 2)


@given(requests, thresholds.filter(lambda threshold: threshold is not None))
def test_what_is_stated_already_is_not_touched(body: bytes, threshold: int) -> None:
    """A request whose spans all state this threshold comes out byte for byte, however oddly it is encoded."""
    once = stamped(body, threshold, [])
    assert stamped(once, threshold, []) == once


@given(requests)
def test_nothing_to_write_is_nothing_done(body: bytes) -> None:
    """Without a threshold and attributes the very same bytes come back."""
    assert stamped(body, None, []) is body


def test_the_last_trace_state_of_a_span_counts() -> None:
    """A span that was stamped before has the field twice: the larger threshold of the last one stays."""
    once = stamp(request(span("A", 1)), 1, threshold=QUARTER, attributes=())
    assert stamp(once, 1, threshold=0, attributes=()) == once
    twice = stamp(once, 1, threshold=0xE << 52, attributes=())
    assert [each.trace_state for each in spans_of(twice)] == ["ot=th:e"]


def test_every_span_of_a_trace_gets_its_own() -> None:
    """Spans of one trace may state different thresholds: each keeps its larger one, and other vendors' members."""
    one, two, three = span("A", 1), span("A", 2), span("A", 3)
    two.trace_state, three.trace_state = "vendor=x,ot=th:8", "ot=th:e"
    body = stamp(request(one, two, three), 3, threshold=QUARTER, attributes=())
    assert [each.trace_state for each in spans_of(body)] == ["ot=th:c", "ot=th:c,vendor=x", "ot=th:e"]


@pytest.mark.parametrize("size", [*range(110, 130), 16_370, 16_380, 16_390])
def test_lengths_that_grow_by_a_byte(size: int) -> None:
    """Where a span, its scope or its resource takes one more byte of length than before, all of them are right."""
    body = export_request(resource_spans(padded([span("A", 1)], size)), resource_spans([span("A", 2)], service="cart"))
    done = stamp(body, 2, threshold=QUARTER, attributes=[(POLICY, "errors")])
    assert ExportTraceServiceRequest.FromString(done) == expected(body, QUARTER, [(POLICY, "errors")])


def test_the_policy_stands_on_the_scope() -> None:
    """The Collector's attributes stand behind those the scope has, its name and version untouched; a bool stays one."""
    body = request(span("A", 1), scope="lib")
    done = stamp(body, 1, threshold=None, attributes=[(POLICY, "slow"), (CACHED_DECISION, True)])
    ((inner,),) = [outer.scope_spans for outer in ExportTraceServiceRequest.FromString(done).resource_spans]
    assert inner.scope.name == "lib"
    assert [(pair.key, pair.value.WhichOneof("value")) for pair in inner.scope.attributes] == [
        ("tailsampling.policy", "string_value"),
        ("tailsampling.cached_decision", "bool_value"),
    ]


def test_a_scope_that_is_not_there_is_made() -> None:
    """Spans without an InstrumentationScope get one that has nothing but the attributes."""
    body = wire.plain_request(wire.plain_span(b"A" * 16, b"a" * 8))
    done = stamp(body, 1, threshold=None, attributes=[(POLICY, "slow")])
    assert ExportTraceServiceRequest.FromString(done) == expected(body, None, [(POLICY, "slow")])


def test_a_span_that_nobody_can_read_is_left_to_the_export() -> None:
    """A span with broken framing inside stays as it is; the others are stamped."""
    good = wire.plain_span(b"A" * 16, b"a" * 8)
    body = wire.plain_request(good, good + b"\x1a\x7f", good)
    assert not readable(body)
    first, second, third = wire.view_spans(stamp(body, 3, threshold=QUARTER, attributes=()))
    assert first == third == good + b"\x1a\x07ot=th:c" and second == good + b"\x1a\x7f"


def test_a_wrong_number_of_spans_is_a_bug() -> None:
    """Who stamps a request knows how many spans are in it."""
    with pytest.raises(AssertionError, match="1 spans in a request of 2"):
        stamp(request(span("A", 1)), 2, threshold=0, attributes=())
