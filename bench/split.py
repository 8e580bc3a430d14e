"""What does it cost a load balancer to divide a request among its samplers: the scan, and the copying into place?

    .venv/bin/python -m bench.split [--members 2] [--json FILE] [--tiny]

The kernel's scan and division, pure and compiled, beside the obvious way: decode with the official protobuf classes, put every
span into its owner's message, encode. All must give every owner the same spans.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from zlib import crc32

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ScopeSpans
from xxhash import xxh3_64_intdigest

from bench import micro, report, workload
from bench.ring import ring_of
from gateway import limits
from gateway.kernel import Kernel
from gateway.ring import Ring

SIZES = (1, 8, 32, 128, 512, 2048, 8192)
TINY_SIZES = (1, 32)
Part = tuple[int, bytes, int]
"""(owner, request, spans)."""


@dataclass(frozen=True)
class Result:
    """One form and size of request. The checksum is that of what the owners were given, the same for all forms."""

    form: str
    spans: int
    ns: float  # a span
    members: int
    checksum: int


def divider(kernel: Kernel, ring: Ring) -> Callable[[bytes], list[Part]]:
    """What the balancer does, in this form."""
    scan = kernel.Spans(facts=False)
    parts = kernel.Parts(scan)

    def divide(request: bytes) -> list[Part]:
        scan.read(request)
        return parts.divide(request, ring.slots, len(ring.members), limits.ENVELOPES_REPEATED_MAX)

    return divide


def decoding(slots: array[int]) -> Callable[[bytes], list[Part]]:
    """The obvious way."""

    def divide(request: bytes) -> list[Part]:
        owned: dict[int, ExportTraceServiceRequest] = {}
        for resource in ExportTraceServiceRequest.FromString(request).resource_spans:
            for scope in resource.scope_spans:
                here: dict[int, ScopeSpans] = {}
                for span in scope.spans:
                    owner = slots[xxh3_64_intdigest(span.trace_id) % len(slots)]
                    if owner not in here:
                        block = owned.setdefault(owner, ExportTraceServiceRequest()).resource_spans.add()
                        block.resource.CopyFrom(resource.resource)
                        block.schema_url = resource.schema_url
                        here[owner] = block.scope_spans.add(scope=scope.scope, schema_url=scope.schema_url)
                    here[owner].spans.append(span)
        return [(owner, part.SerializeToString(), _count(part)) for owner, part in owned.items()]

    return divide


def _count(request: ExportTraceServiceRequest) -> int:
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


def checksum(parts: Iterable[Part]) -> int:
    """Of which spans went to whom, whatever the order and however the envelopes are shared."""
    total = 0
    for owner, body, spans in parts:
        found = list(workload.span_bytes(body))
        assert len(found) == spans
        total += (owner + 1) * sum(map(crc32, found))
    return total % 2**32


def measure(spans: int, members: int, rounds: int, seconds: float) -> list[Result]:
    """All forms at one size of request. Raises DisagreementError."""
    ring = ring_of(members)
    requests = micro.requests_of(spans, max(1, (2048 if seconds else 64) // spans))
    forms = {"protobuf": decoding(ring.slots), **{k.form: divider(k, ring) for k in micro.kernels()}}
    total = micro.agreed({name: checksum(p for r in requests[:8] for p in divide(r)) for name, divide in forms.items()})
    works = {name: micro.over(requests, _counting(divide)) for name, divide in forms.items()}
    costs = micro.cost(works, rounds, seconds)
    return [Result(name, spans, ns, members, total) for name, ns in costs.items()]


def _counting(divide: Callable[[bytes], list[Part]]) -> Callable[[bytes], int]:
    return lambda request: sum([spans for _, _, spans in divide(request)])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    asked = micro.arguments("CPU of dividing a request", argv, ("--members", int, 2, "of the ring"))
    told = report.header()
    print(told)
    results = [
        result
        for spans in (TINY_SIZES if asked.tiny else SIZES)
        for result in measure(spans, asked.members, asked.rounds, asked.slice)
    ]
    print("", micro.by_size("dividing, ns/span", results), "", f"checksum {results[-1].checksum:08x}", sep="\n")
    report.write(asked.json, "split", told, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
