"""Sends first traces with the OpenTelemetry SDK: `python send_traces.py [HOST:PORT]` (default 127.0.0.1:4317).

One trace with an error, one slow trace and twenty ordinary ones. With the quickstart's policies the first two always come out
of the samplers, a share of the others does; their ids are printed, so that they can be found in the output.
"""

# ruff: noqa: T201  (it speaks to the person who runs it)

from __future__ import annotations

import sys
import time

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Status, StatusCode, Tracer, set_span_in_context

MILLISECOND = 1_000_000  # in nanoseconds, as OpenTelemetry counts
ORDINARY = 20


def trace(tracer: Tracer, milliseconds: int, status: StatusCode) -> str:
    """Record a trace of two spans that ends now and took that long; return its id in hex."""
    end = time.time_ns()
    start = end - milliseconds * MILLISECOND
    request = tracer.start_span("GET /checkout", start_time=start)
    query = tracer.start_span("SELECT orders", context=set_span_in_context(request), start_time=start)
    query.set_status(Status(status))
    query.end(end)
    request.end(end)
    return f"{request.get_span_context().trace_id:032x}"


def main(endpoint: str) -> int:
    """Send the traces and say which must come out; 1 if they were not accepted."""
    recorded = InMemorySpanExporter()
    provider = TracerProvider(resource=Resource.create({"service.name": "first-traces"}))
    provider.add_span_processor(SimpleSpanProcessor(recorded))
    tracer = provider.get_tracer("tailgate.quickstart")
    failed = trace(tracer, 20, StatusCode.ERROR)
    slow = trace(tracer, 3000, StatusCode.UNSET)
    for _ in range(ORDINARY):
        trace(tracer, 20, StatusCode.UNSET)
    exporter = OTLPSpanExporter(endpoint=endpoint, insecure=True)
    result = exporter.export(recorded.get_finished_spans())
    exporter.shutdown()
    if result is not SpanExportResult.SUCCESS:
        print(f"{endpoint} did not accept the traces", file=sys.stderr)
        return 1
    print(f"sent {ORDINARY + 2} traces to {endpoint}; these two are kept once the samplers have decided:")
    print(f"  {failed}  has an error\n  {slow}  is slow")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ["127.0.0.1:4317"]))
