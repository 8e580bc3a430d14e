"""OTLP/JSON, one export request a line, as the Collector's file exporter writes it.

Proto3 JSON with the specification's exceptions: ids in hex, enums as integers, 64-bit integers as strings.
"""

from __future__ import annotations

import base64
from typing import Any

import orjson
from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

_ID_KEYS = ("traceId", "spanId", "parentSpanId")


def to_json_line(request: bytes) -> bytes:
    """The request as one line with its newline. The request must be readable (gateway.otlp.readable)."""
    message = ExportTraceServiceRequest.FromString(request)
    document: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    for span in spans_of(document):
        for holder in (span, *span.get("links", ())):
            for key in _ID_KEYS:
                if key in holder:
                    holder[key] = base64.b64decode(holder[key]).hex()
    return orjson.dumps(document) + b"\n"


def spans_of(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Every span of an OTLP/JSON document, in order."""
    return [
        span
        for resource_spans in document.get("resourceSpans", ())
        for scope_spans in resource_spans.get("scopeSpans", ())
        for span in scope_spans.get("spans", ())
    ]
