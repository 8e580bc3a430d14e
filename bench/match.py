"""What do policies cost a span that ask about single spans: attributes, regular expressions, OTTL, tracestate?

    .venv/bin/python -m bench.match [--json FILE] [--tiny]

The kernel's matcher with 1, 5 and 20 policies of a kind on requests that it has not met before, right after the scan of each, as
the sampler calls them; beside it the scan, which is done anyway. `few values`: attributes that HTTP instrumentation sets, whose
values come again and again, one key for each five policies. `many values`: one attribute with another value on every span, the
worst there is: nothing that is remembered helps. Spans have that attribute and a tracestate beside what bench.workload gives
them. All forms must set the same marks on every span.
"""

from __future__ import annotations

import gc
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle, islice
from typing import NamedTuple
from zlib import crc32

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench import micro, report
from bench.decide import policy
from gateway.config.settings import PolicySettings, TailSampling
from gateway.kernel import Kernel
from gateway.kernel.names import Plan
from sampler.policy.build import build

COUNTS = (1, 5, 20)
SPANS = 512  # a request
DISTINCT = 16  # requests; beyond that only the attribute with many values differs
A_ROUND = {"pure": 2, "compiled": 16}  # requests
SCAN = "the scan"

FEW = {
    "server.address": "cart.shop.svc",
    "http.request.method": "POST",
    "network.protocol.version": "1.1",
    "service.name": "checkout",  # of the resource
    "tenant": "none has it",
}
"""Keys with few values, and one of them."""
MANY = "user.id"
USER = re.compile(rb"user-\d{10}")  # its values
_NOBODY = "user-##########"
_TRACESTATE = "ot=th:c;rv:9b8233f7e3a151,vendor=a"


def _exact_few(n: int) -> PolicySettings:
    key, value = _few(n)
    return policy("string_attribute", n, key=key, values=(value, f"no {n}"))


def _regex_few(n: int) -> PolicySettings:
    key, value = _few(n)
    return _regex(n, key, f"^{re.escape(value)}$", f"^no {n}")


def _regex(n: int, key: str, *patterns: str) -> PolicySettings:
    return policy("string_attribute", n, key=key, values=patterns, enabled_regex_matching=True)


def _few(n: int) -> tuple[str, str]:
    return list(FEW.items())[n % len(FEW)]


def _ottl(n: int, condition: str) -> PolicySettings:
    return policy("ottl_condition", n, span=(condition,), error_mode="ignore")


KINDS: dict[str, Callable[[int], PolicySettings]] = {
    "string_attribute, few values": _exact_few,
    "string_attribute, many values": lambda n: policy(
        "string_attribute", n, key=MANY, values=(f"user-{n:010}", f"no {n}")
    ),
    "string_attribute, regex, few values": _regex_few,
    "string_attribute, regex, many values": lambda n: _regex(n, MANY, f"{n}7$"),
    "numeric_attribute, few values": lambda n: policy(
        "numeric_attribute", n, key="server.port" if n % 2 else "http.response.status_code", min_value=200 + n
    ),
    "OTTL, two attributes, few values": lambda n: _ottl(
        n, f'attributes["server.address"] != "cart.shop.svc" and attributes["server.port"] != {n}'
    ),
    "OTTL, two attributes, many values": lambda n: _ottl(
        n, f'attributes["server.port"] != {n} and IsMatch(attributes["{MANY}"], "{n % 10}$")'
    ),
    "OTTL, duration": lambda n: _ottl(n, f'end_time - start_time > Duration("{10 + n}ms")'),
    "OTTL, status and name": lambda n: _ottl(n, f'status.code == STATUS_CODE_UNSET and name == "{_NAMES[n % 2]}"'),
    "trace_state": lambda n: policy("trace_state", n, key="vendor", values=("abc"[n % 3],)),
}
"""Policy number n of each kind."""
_NAMES = ("render", "redis GET")


@dataclass(frozen=True)
class Result:
    """One form, kind and number of policies. The checksum is that of the marks, the same for all forms."""

    form: str
    kind: str
    policies: int
    ns: float  # a span
    checksum: int


def requests() -> Iterator[bytes]:
    """Endless requests; MANY never has a value twice."""
    number = count()
    for request in cycle([_prepared(request) for request in micro.requests_of(SPANS, DISTINCT)]):
        yield re.sub(_NOBODY.encode(), lambda found: b"user-%010d" % next(number), request)


def _prepared(request: bytes) -> bytes:
    message = ExportTraceServiceRequest.FromString(request)
    for resource in message.resource_spans:
        for index, span in enumerate(resource.scope_spans[0].spans):
            span.attributes.add(key=MANY).value.string_value = _NOBODY
            span.trace_state = _TRACESTATE if index % 2 else ""
    return message.SerializeToString()


def plan_of(kind: str, policies: int) -> Plan:
    """What so many policies of a kind ask of spans."""
    return build(TailSampling(tuple(KINDS[kind](n) for n in range(policies)))).plan


def marked(kernel: Kernel, kind: str, policies: int, request: bytes) -> list[int]:
    """The marks of each span of the request, a mask."""
    spans, matcher = kernel.Spans(facts=True), kernel.Matcher(plan_of(kind, policies))
    spans.read(request)
    matcher.read(request, spans)
    return matcher.masks()


class Turn(NamedTuple):
    """What was asked for, and the matcher that does it."""

    kind: str
    policies: int
    matcher: object


def costs(kernel: Kernel, turns: Sequence[Turn], source: Sequence[bytes]) -> list[float]:
    """CPU nanoseconds a span on these requests: of the scan, and of each of these. They take turns request by request."""
    spans = kernel.Spans(facts=True)
    spent = [0] * (1 + len(turns))
    clock = time.process_time_ns
    for request in source:
        for index, turn in enumerate(turns, 1):
            start = clock()
            spans.read(request)
            read = clock()
            turn.matcher.read(request, spans)
            spent[index] += clock() - read
            spent[0] += read - start
    each = len(source) * SPANS
    return [spent[0] / each / len(turns), *(one / each for one in spent[1:])]


def measure(kernel: Kernel, rounds: int, *, tiny: bool) -> Iterator[tuple[str, int, float]]:
    """(kind, policies, ns) of one form, the least of the rounds. No round sees the requests of another."""
    turns = [Turn(kind, n, kernel.Matcher(plan_of(kind, n))) for kind in KINDS for n in COUNTS]
    source = requests()
    taken = []
    for _ in range(rounds):
        some = list(islice(source, 1 if tiny else A_ROUND[kernel.form]))
        gc.collect()
        gc.freeze()  # as the product does after its start
        taken.append(costs(kernel, turns, some))
        gc.unfreeze()
    scan, *others = [min(each) for each in zip(*taken, strict=True)]
    yield SCAN, 0, scan
    for turn, ns in zip(turns, others, strict=True):
        yield turn.kind, turn.policies, ns


def checksums() -> dict[tuple[str, int], int]:
    """By kind and number of policies, that of the marks on one request. Raises DisagreementError."""
    request = next(requests())
    return {
        (kind, n): micro.agreed(
            {kernel.form: crc32(repr(marked(kernel, kind, n, request)).encode()) for kernel in micro.kernels()}
        )
        for kind in KINDS
        for n in COUNTS
    } | {(SCAN, 0): SPANS}


def table(results: Sequence[Result]) -> str:
    """A row a form and kind, a column a number of policies; in brackets in multiples of the scan."""
    scans = {r.form: r.ns for r in results if r.kind == SCAN}
    rows = [[f"{form}: {SCAN}", f"{ns:,.0f}", *[""] * (len(COUNTS) - 1)] for form, ns in scans.items()]
    for form, kind in dict.fromkeys((r.form, r.kind) for r in results if r.kind != SCAN):
        found = [r.ns for r in results if (r.form, r.kind) == (form, kind)]
        rows.append([f"{form}: {kind}", *(f"{ns:,.0f} ({ns / scans[form]:.1f})" for ns in found)])
    return report.markdown(["added, ns/span (× the scan)", *(f"{n} policies" for n in COUNTS)], rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    asked = micro.arguments("CPU of what policies ask of single spans", argv)
    told = report.header()
    print(told, flush=True)
    sums = checksums()
    results = [
        Result(kernel.form, kind, n, ns, sums[kind, n])
        for kernel in micro.kernels()
        for kind, n, ns in measure(kernel, asked.rounds, tiny=asked.tiny)
    ]
    print("", table(results), "", f"checksum {crc32(repr(sorted(sums.items())).encode()):08x}", sep="\n")
    report.write(asked.json, "match", told, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
