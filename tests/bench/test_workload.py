"""The requests the benches send are what they are said to be."""

from __future__ import annotations

from collections import Counter
from itertools import islice, pairwise

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from bench import workload


def spans_of(request: bytes) -> list[Span]:
    message = ExportTraceServiceRequest.FromString(request)
    return [span for resource in message.resource_spans for scope in resource.scope_spans for span in scope.spans]


def requests(spans: int, count: int, distinct_spans: int = 2048) -> list[bytes]:
    source = workload.stream(workload.templates(spans, distinct_spans=distinct_spans))
    return [request for request, _ in islice(source, count)]


@pytest.mark.parametrize("spans", [8, 32, 512, 2048])
def test_a_request_holds_the_spans_asked_for_in_whole_traces(spans: int) -> None:
    """A request of N spans holds N / 8 traces of 8 spans, and the cheap count agrees with the official classes."""
    (request,) = requests(spans, 1)
    traces = Counter(span.trace_id for span in spans_of(request))
    assert set(traces.values()) == {workload.SPANS_A_TRACE} and len(traces) == spans // workload.SPANS_A_TRACE
    assert workload.count_spans(request) == spans


def test_a_small_request_holds_the_first_spans_of_a_trace() -> None:
    """A request of fewer spans than a trace has holds so many of one trace, each of which can be had as its bytes."""
    (request,) = requests(3, 1)
    assert len(spans_of(request)) == 3 and len({span.trace_id for span in spans_of(request)}) == 1
    assert [Span.FromString(span) for span in workload.span_bytes(request)] == spans_of(request)


def test_a_span_takes_350_bytes_on_average() -> None:
    """The mean span, as the field in its ScopeSpans, is 350 bytes within one."""
    sizes = [span.ByteSize() for request in requests(512, 16, 8192) for span in spans_of(request)]
    fields = [size + (2 if size < 128 else 3) for size in sizes]
    assert abs(sum(fields) / len(fields) - workload.SPAN_BYTES) < 2


def test_no_trace_id_comes_twice() -> None:
    """Going round the same templates, no trace id repeats, nor does the right or left half of one."""
    ids = {span.trace_id for request in requests(32, 640) for span in spans_of(request)}
    traces = 640 * 32 // workload.SPANS_A_TRACE
    assert len(ids) == traces
    assert len({trace_id[8:] for trace_id in ids}) == traces
    assert {len(trace_id) for trace_id in ids} == {16}


def test_spans_of_several_traces_come_mixed() -> None:
    """Neighbouring spans belong to different traces, as those of a service that serves several calls at once."""
    spans = spans_of(requests(32, 1)[0])
    assert all(one.trace_id != next_one.trace_id for one, next_one in pairwise(spans))


def test_the_same_seed_gives_the_same_bytes() -> None:
    """A workload depends on its seed alone."""
    assert requests(512, 3) == requests(512, 3)


def test_about_one_trace_in_a_hundred_has_an_error_and_a_few_are_slow() -> None:
    """There is something for each policy to keep: 1 % of the traces with an error, half a per cent longer than 5 s."""
    spans = [span for request in requests(8192, 4, 32_768) for span in spans_of(request)]
    failed = {span.trace_id for span in spans if span.status.code == Status.STATUS_CODE_ERROR}
    slow = {span.trace_id for span in spans if span.end_time_unix_nano - span.start_time_unix_nano > 5e9}
    traces = len({span.trace_id for span in spans})
    assert 0.005 < len(failed) / traces < 0.015
    assert 0.002 < len(slow) / traces < 0.01


def test_every_child_lies_within_its_root() -> None:
    """A trace lasts as long as its root span."""
    spans = spans_of(requests(512, 1)[0])
    roots = {span.trace_id: span for span in spans if not span.parent_span_id}
    for span in spans:
        root = roots[span.trace_id]
        assert (
            root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano <= root.end_time_unix_nano
        )
