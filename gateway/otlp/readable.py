"""The last look before export: could a backend read this? Kept spans are few, so they are parsed in full.

The path never looks into attribute values; a span that no backend could parse would have the whole batch around it refused.
"""

from __future__ import annotations

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


def readable(request: bytes) -> bool:
    """Whether the official classes can parse the whole request: framing, nesting and UTF-8."""
    try:
        ExportTraceServiceRequest.FromString(request)
    except DecodeError:
        return False
    return True
