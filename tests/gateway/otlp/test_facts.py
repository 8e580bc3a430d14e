"""gateway.otlp.facts against the official classes, and the aggregate's meaning against the Collector's latency policy."""

from __future__ import annotations

from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from gateway.otlp.facts import Facts, fold, span_facts
from tests.support import spans, wire


def official(data: bytes) -> tuple[int, int, int]:
    span = Span.FromString(data)
    return span.start_time_unix_nano, span.end_time_unix_nano, span.status.code


def as_int32(value: int) -> int:
    return value - 2**32 if value >= 2**31 else value


def folded(*made: Span, prefixes: bool = False) -> Facts:
    facts = Facts(prefixes=prefixes)
    for each in made:
        data = each.SerializeToString()
        fold(facts, data, 0, len(data))
    return facts


@given(wire.spans())
def test_facts_are_the_official_ones(data: bytes) -> None:
    """Start, end and status code are what the official classes read, in whatever order and however often they come."""
    start, end, status = span_facts(data, 0, len(data))
    assert (start, end, as_int32(status)) == official(data)


@given(wire.spans(), st.binary(max_size=30), st.binary(max_size=30))
def test_facts_stay_inside_the_span(data: bytes, before: bytes, after: bytes) -> None:
    """Bytes around a span have no part in its facts."""
    around = before + data + after
    assert span_facts(around, len(before), len(before) + len(data)) == span_facts(data, 0, len(data))


@given(st.binary(max_size=60), st.integers(0, 60), st.integers(0, 60))
@example(b"\x7a", 0, 1)
@example(b"\x39\x01", 0, 2)
@example(b"\x7a\x02\x18\xff", 0, 4)
@example(b"\x7a\x05\x18\x02", 0, 4)
def test_facts_never_refuse(data: bytes, at: int, end: int) -> None:
    """Whatever bytes a span is made of, reading its facts ends, and agrees with the official parser where that can read."""
    at, end = min(at, len(data)), min(end, len(data))
    start, stop, status = span_facts(data, at, end)
    assert min(start, stop, status) >= 0
    try:
        expected = official(data[at:end])
    except DecodeError:
        return
    assert (start, stop, as_int32(status)) == expected


def test_what_stands_before_garbage_counts() -> None:
    """A span that stops being protobuf half-way still gives what was read before."""
    data = wire.fixed64_field(7, 5) + wire.message(15, wire.number_field(3, 2)) + b"\xff\xff"
    assert span_facts(data, 0, len(data)) == (5, 0, 2)


@given(st.lists(st.tuples(wire.times, wire.times, st.integers(0, 5)), max_size=8))
def test_the_aggregate_is_the_collectors(values: list[tuple[int, int, int]]) -> None:
    """After any spans the prefixes are what the Collector's latency policy computes, span after span."""
    made = [
        Span(start_time_unix_nano=start, end_time_unix_nano=end, status=Status(code=Status.StatusCode.ValueType(code)))
        for start, end, code in values
    ]
    facts = folded(*made, prefixes=True)
    least = greatest = 0
    prefixes = []
    for start, end, _ in values:  # as in the Collector's latency.go: a 0 counts as not yet set
        if least == 0 or start < least:
            least = start
        if greatest == 0 or end > greatest:
            greatest = end
        prefixes.append(greatest - least)
    assert facts.durations is not None
    assert set(facts.durations) == set(prefixes)
    assert facts.durations == [each for at, each in enumerate(prefixes) if at == 0 or each != prefixes[at - 1]]
    assert facts.duration_max == max([0, *prefixes])
    assert facts.span_count == len(values)
    assert facts.statuses == sum(1 << code for code in {code for *_, code in values} if code <= 2)


def test_a_start_of_zero_is_replaced_by_the_next_span() -> None:
    """A span without a start time makes the trace look as old as 1970, until the next span comes."""
    facts = folded(
        spans.span("A", 1, start_ms=0, end_ms=500), spans.span("A", 2, start_ms=400, end_ms=500), prefixes=True
    )
    assert facts.durations == [500 * spans.MS, 100 * spans.MS]
    assert facts.duration_max == 500 * spans.MS


def test_a_later_zero_start_is_the_least_again() -> None:
    """A span without a start time that comes later is the least of all."""
    facts = folded(spans.span("A", 1, start_ms=400, end_ms=500), spans.span("A", 2, end_ms=450))
    assert facts.start_min == 0
    assert facts.duration_max == 500 * spans.MS


def test_a_span_that_ends_before_it_starts() -> None:
    """A negative duration is no duration: the longest stays 0, and the span counts."""
    facts = folded(spans.span("A", 1, start_ms=500, end_ms=400))
    assert (facts.duration_max, facts.span_count) == (0, 1)


def test_every_status_is_remembered() -> None:
    """A trace remembers each status code seen, and unknown codes are none of them."""
    assert folded(spans.span("A", 1, status=spans.ERROR), spans.span("A", 2)).statuses == 0b101
    assert folded(spans.span("A", 1, status=7)).statuses == 0


def test_a_status_code_has_32_bits() -> None:
    """Of a status code written with more bits than an enum has, the lower 32 count, as officially."""
    data = wire.message(15, wire.number_field(3, 2**32 + spans.ERROR))
    assert span_facts(data, 0, len(data)) == (0, 0, spans.ERROR) == official(data)


def test_without_prefixes_none_are_kept() -> None:
    """Only a policy with an upper bound pays for the prefixes."""
    assert folded(spans.span("A", 1, start_ms=1, end_ms=2)).durations is None
