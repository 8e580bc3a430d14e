"""Ground truth: traces whose fate is known beforehand, sent span by span through real OpenTelemetry SDK exporters."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

SERVICES = [Resource({"service.name": name, "host.name": f"{name}-1"}) for name in ("shop", "cart", "pay")]
SCOPE = InstrumentationScope("shop.instrumentation", "1.2", schema_url="https://opentelemetry.io/schemas/1.27.0")
MILLISECOND = 1_000_000
SLOW_MS = 1000
PERCENT = 5
PATIENCE = 2  # seconds an agent waits for its acknowledgement, its own retries included
SHUN = 30.0


@dataclass
class Trace:
    """One trace, its spans by their bytes, and what must become of it."""

    trace_id: bytes
    keep: bool
    spans: list[ReadableSpan] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)  # when each span was acknowledged, on the monotonic clock

    def expected(self) -> list[bytes]:
        """The bytes of its spans, sorted."""
        return sorted(span_bytes(span) for span in self.spans)


def span_bytes(span: ReadableSpan) -> bytes:
    """The bytes that the SDK sends for this span."""
    return bytes(encode_spans([span]).resource_spans[0].scope_spans[0].spans[0].SerializeToString())


def probabilistic_keeps(trace_id: bytes) -> bool:
    """The Collector's hash, written down a second time: FNV-1a over salt and id against 5 % of 2^64."""
    value = 0xCBF29CE484222325
    for byte in b"default-hash-seed" + trace_id:
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value <= (2**64 - 1) * PERCENT // 100


def make_traces(count: int, seed: int) -> list[Trace]:
    """Traces of 3 to 9 spans: one in twenty has an error at a random place, one in twenty is slow."""
    dice = random.Random(seed)
    traces = []
    for number in range(count):
        trace_id = dice.randbytes(16)
        kind = {0: "error", 1: "slow"}.get(number % 20, "normal")
        trace = Trace(trace_id, keep=kind != "normal" or probabilistic_keeps(trace_id))
        size = dice.randint(3, 9)
        guilty = dice.randrange(size)
        for index in range(size):
            trace.spans.append(_span(dice, trace_id, index, kind if index == guilty else "normal"))
        traces.append(trace)
    return traces


def _span(dice: random.Random, trace_id: bytes, index: int, kind: str) -> ReadableSpan:
    start = 1_700_000_000_000 * MILLISECOND + index * MILLISECOND
    took = dice.randint(SLOW_MS + 1, 5000) if kind == "slow" else dice.randint(1, 300)
    context = SpanContext(int.from_bytes(trace_id), dice.getrandbits(63) + 1, False, TraceFlags(1))
    return ReadableSpan(
        name=f"GET /item/{index}",
        context=context,
        resource=dice.choice(SERVICES),
        attributes={"http.request.method": "GET", "http.route": "/item/{id}", "user.id": dice.randint(1, 10**6)},
        kind=SpanKind.SERVER,
        instrumentation_scope=SCOPE,
        status=Status(StatusCode.ERROR) if kind == "error" else Status(StatusCode.UNSET),
        start_time=start,
        end_time=start + took * MILLISECOND,
    )


class Agent:
    """An agent with an exporter to each balancer. What one does not take goes to the other, as agents with failover do."""

    def __init__(self, grpc_ports: Sequence[int], http_ports: Sequence[int], http: bool) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        if http:
            urls = [f"http://127.0.0.1:{port}/v1/traces" for port in http_ports]
            self._exporters: list[GrpcExporter | HttpExporter] = [HttpExporter(url, timeout=PATIENCE) for url in urls]
        else:
            targets = [f"127.0.0.1:{port}" for port in grpc_ports]
            self._exporters = [GrpcExporter(target, insecure=True, timeout=PATIENCE) for target in targets]
        self._shunned_until = [0.0] * len(self._exporters)
        self.failed_over_at: list[float] = []

    def send(self, spans: list[ReadableSpan], balancer: int) -> float:
        """Send until some balancer acknowledges; when it did. A balancer that failed is not asked first for a while."""
        for attempt in range(10):
            chosen = (balancer + attempt) % len(self._exporters)
            if attempt == 0 and self._shunned_until[chosen] > time.monotonic():
                continue
            if self._exporters[chosen].export(spans) is SpanExportResult.SUCCESS:
                return time.monotonic()
            self.failed_over_at.append(time.monotonic())
            self._shunned_until[chosen] = time.monotonic() + SHUN
        raise AssertionError("no balancer took the spans in ten tries")

    def close(self) -> None:
        for exporter in self._exporters:
            exporter.shutdown()


class Traffic:
    """Sends all spans over `lasting` seconds, those of a trace in several requests within `spread` seconds of each other."""

    def __init__(self, traces: list[Trace], agents: list[Agent], lasting: float, spread: float, seed: int) -> None:
        dice = random.Random(seed)
        slots: dict[tuple[int, int], list[tuple[Trace, ReadableSpan]]] = defaultdict(
            list
        )  # (50 ms slot, balancer): spans
        for trace in traces:
            begin = dice.uniform(0, lasting - spread)
            for span in trace.spans:
                slots[int(20 * (begin + dice.uniform(0, spread))), dice.randrange(2)].append((trace, span))
        self._batches = sorted(slots.items(), key=lambda item: item[0])
        self.agents = agents
        self._errors: list[BaseException] = []
        self.began_at = 0.0

    def start(self) -> None:
        """Begin to send, one thread an agent."""
        self.began_at = time.monotonic()
        self._threads = [threading.Thread(target=self._run, args=(n,)) for n in range(len(self.agents))]
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        try:
            for (slot, balancer), spans in self._batches[number :: len(self.agents)]:
                time.sleep(max(0.0, self.began_at + slot / 20 - time.monotonic()))
                at = self.agents[number].send([span for _, span in spans], balancer)
                for trace, _ in spans:
                    trace.sent_at.append(at)
        except BaseException as error:  # noqa: BLE001 -- a thread: the test that waits for it raises it
            self._errors.append(error)

    def finish(self) -> None:
        """Wait until everything is acknowledged."""
        for thread in self._threads:
            thread.join()
        for agent in self.agents:
            agent.close()
        assert not self._errors, self._errors
