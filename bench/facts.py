"""What does a sampler's scan of a request cost: whose each span is, and the facts that policies ask of it?

    .venv/bin/python -m bench.facts [--json FILE] [--tiny]

The kernel's scan with facts, pure and compiled, beside decoding with the official protobuf classes and reading the same fields.
All must read the same.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from zlib import crc32

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench import micro, report
from gateway.kernel import Kernel

SIZES = (1, 8, 32, 128, 512, 2048, 8192)
TINY_SIZES = (1, 32)
Fact = tuple[bytes, bytes, int, int, int]
"""(trace id, span id, status code, start, end) of one span."""


@dataclass(frozen=True)
class Result:
    """One form and size of request. The checksum is that of the facts, the same for all forms."""

    form: str
    spans: int
    ns: float  # a span
    checksum: int


def decoded(request: bytes) -> list[Fact]:
    """The obvious way."""
    return [
        (span.trace_id, span.span_id, span.status.code, span.start_time_unix_nano, span.end_time_unix_nano)
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans
        for scope in resource.scope_spans
        for span in scope.spans
    ]


def scanned(kernel: Kernel, request: bytes) -> list[Fact]:
    """What this form of the kernel reads, as objects."""
    scan = kernel.Spans(facts=True)
    scan.read(request)
    return [
        (request[trace : trace + 16], request[span : span + 8], status, start, end)
        for _, _, _, trace, span, _, status, start, end, _ in scan.rows()
    ]


def checksum(facts: Sequence[Fact]) -> int:
    """Of what was read."""
    return crc32(repr(facts).encode())


def measure(spans: int, rounds: int, seconds: float) -> list[Result]:
    """All forms at one size of request. Raises DisagreementError."""
    requests = micro.requests_of(spans, max(1, (2048 if seconds else 64) // spans))
    works: dict[str, Callable[[bytes], int]] = {"protobuf": lambda request: len(decoded(request))}
    sums = {"protobuf": checksum(decoded(requests[0]))}
    for kernel in micro.kernels():
        works[kernel.form] = kernel.Spans(facts=True).read
        sums[kernel.form] = checksum(scanned(kernel, requests[0]))
    total = micro.agreed(sums)
    costs = micro.cost({name: micro.over(requests, once) for name, once in works.items()}, rounds, seconds)
    return [Result(name, spans, ns, total) for name, ns in costs.items()]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    asked = micro.arguments("CPU of reading the facts", argv)
    told = report.header()
    print(told)
    sizes = TINY_SIZES if asked.tiny else SIZES
    results = [result for spans in sizes for result in measure(spans, asked.rounds, asked.slice)]
    print("", micro.by_size("facts, ns/span", results), "", f"checksum {results[-1].checksum:08x}", sep="\n")
    report.write(asked.json, "facts", told, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
