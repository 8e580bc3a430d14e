"""gateway.otlp.otlp_json: lines that read as OTLP/JSON, with the specification's exceptions to proto3 JSON."""

from __future__ import annotations

import base64
import json
from typing import Any

import orjson
from google.protobuf.json_format import ParseDict
from hypothesis import given
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.otlp.otlp_json import spans_of, to_json_line
from tests.support import spans, wire


def document(*made: Span) -> dict[str, Any]:
    line = to_json_line(spans.request(*made))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    parsed: dict[str, Any] = json.loads(line)
    return parsed


def span_of(*made: Span) -> dict[str, Any]:
    return spans_of(document(*made))[0]


def test_ids_are_hex() -> None:
    """Trace, span and parent ids are lower-case hex, in links too (J-01)."""
    link = Span.Link(trace_id=b"\xab" * 16, span_id=b"\xcd" * 8)
    made = Span(trace_id=b"\x01" * 16, span_id=b"\xff" * 8, parent_span_id=b"\x0a" * 8, links=[link])
    written = span_of(made)
    assert written["traceId"] == "01" * 16
    assert written["spanId"] == "ff" * 8
    assert written["parentSpanId"] == "0a" * 8
    assert written["links"][0] == {"traceId": "ab" * 16, "spanId": "cd" * 8}


def test_enums_are_numbers_and_long_integers_strings() -> None:
    """Enums are integers (J-02) and 64-bit integers decimal strings (J-05)."""
    written = span_of(spans.span("A", 1, status=spans.ERROR, start_ms=1, end_ms=2, values={"n": 2**40, "x": True}))
    assert written["status"] == {"code": 2}
    assert written["startTimeUnixNano"] == "1000000"
    assert written["attributes"] == [
        {"key": "n", "value": {"intValue": str(2**40)}},
        {"key": "x", "value": {"boolValue": True}},
    ]


def test_other_bytes_stay_base64_and_odd_doubles_are_words() -> None:
    """A bytes value stays base64 (J-01), and doubles without a JSON number are strings (J-06)."""
    made = spans.span("A", 1)
    made.attributes.append(KeyValue(key="b", value=AnyValue(bytes_value=b"\x00\xff")))
    made.attributes.append(KeyValue(key="d", value=AnyValue(double_value=float("inf"))))
    written = span_of(made)
    assert written["attributes"][0]["value"] == {"bytesValue": "AP8="}
    assert written["attributes"][1]["value"] == {"doubleValue": "Infinity"}


def test_a_request_without_spans_is_an_empty_object() -> None:
    """Nothing in, `{}` out."""
    assert to_json_line(b"") == b"{}\n"
    assert spans_of({}) == []


@given(wire.requests)
def test_lines_hold_the_whole_request(request: bytes) -> None:
    """Read back with the official classes, a line gives every field that they know of the request."""
    parsed: dict[str, Any] = orjson.loads(to_json_line(request))
    for span in spans_of(parsed):
        for key in ("traceId", "spanId"):
            if key in span:
                span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    expected = ExportTraceServiceRequest.FromString(request)
    expected.DiscardUnknownFields()
    assert ParseDict(parsed, ExportTraceServiceRequest()) == expected
