"""The requests a bench sends: what they look like, and that no trace id comes twice in a run.

Knows the official protobuf classes and nothing of sockets, time or the product. The same seed gives the same bytes.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import cycle
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span, Status

SPAN_BYTES = 350  # mean size of a span as the field in its ScopeSpans, tag and length included
SPAN_BYTES_SPREAD = 60  # sizes are uniform in SPAN_BYTES ± this
SPANS_A_TRACE = 8
TRACES_UNDER_WAY = 4  # spans of so many traces come mixed, as a service serving several calls at once sends them
SPANS_A_RESOURCE = 256  # larger requests hold several services, as one from an agent that batches for its host
ERROR_SHARE = 0.01  # of the traces, one span each
DURATION_MEDIAN = 0.02  # seconds, of a root span
DURATION_SIGMA = 2.1  # log-normal: half a per cent of the traces take longer than 5 s
EPOCH_NS = 1_760_000_000_000_000_000  # a fixed instant, so that a seed is all the bytes depend on
DISTINCT_SPANS = 32_768  # prebuilt for one batch size; enough traces that shares of them are steady

PATH_FRAMING = 6  # tags and lengths a path adds to its span

# A trace id is 12 random bytes and a word that is new in every request. The word stands last, so that both halves of an id
# differ from those of every other: the Collector's decision cache, for one, knows a trace by its right half alone.
WORD_BYTES = 4
_MARK = b"\xfe\xc3\xf5\xff"  # stands for the word while a template is built; no text holds it, being no UTF-8
_WORD_STEP = 0x9E3779B1  # odd, so that its multiples modulo 2**32 do not repeat
_ROUTES = ("/api/cart/{id}", "/api/checkout", "/api/product/{id}", "/api/recommendations", "/api/shipping/quote")
_OPERATIONS = (
    "SELECT orders",
    "redis GET",
    "POST /charge",
    "render",
    "publish order.placed",
    "GET /inventory",
    "validate",
)


class Template:
    """One encoded request with the word of every trace id cut out."""

    __slots__ = ("_pieces", "spans")

    def __init__(self, encoded: bytes, spans: int) -> None:
        self._pieces = encoded.split(_MARK)
        self.spans = spans
        assert len(self._pieces) == spans + 1, "the mark stands in every span once and nowhere else"

    def stamp(self, word: bytes) -> bytes:
        """The request with `word` (WORD_BYTES) at the end of its trace ids: one copy, under 100 ns a span."""
        return word.join(self._pieces)


def templates(spans: int, *, seed: int = 1, distinct_spans: int = DISTINCT_SPANS) -> list[Template]:
    """Different requests of `spans` spans each, together at least `distinct_spans`.

    They hold whole traces of SPANS_A_TRACE spans, or, if `spans` is less than that, the first ones of one trace.
    """
    whole = spans % SPANS_A_TRACE == 0 if spans >= SPANS_A_TRACE else spans > 0
    assert whole, f"{spans} spans are neither whole traces of {SPANS_A_TRACE} nor part of one"
    dice = random.Random(seed)
    count = max(1, distinct_spans // spans)
    return [Template(_request(dice, spans).SerializeToString(), spans) for _ in range(count)]


def stream(source: list[Template], *, seed: int = 1) -> Iterator[tuple[bytes, int]]:
    """Endless (request, spans), going round the templates with fresh trace ids each time."""
    word = random.Random(seed).getrandbits(8 * WORD_BYTES)
    for template in cycle(source):
        word = (word + _WORD_STEP) % 2 ** (8 * WORD_BYTES)
        yield template.stamp(word.to_bytes(WORD_BYTES, "big")), template.spans


def count_spans(request: bytes) -> int:
    """How many spans a request holds, for under 100 ns each: spans are read as bytes and not looked into."""
    message: Any = _VIEW()
    message.ParseFromString(request)
    return sum(len(scope.spans) for resource in message.resource_spans for scope in resource.scope_spans)


def span_bytes(request: bytes) -> Iterator[bytes]:
    """Every span of a request as it stands in it."""
    message: Any = _VIEW()
    message.ParseFromString(request)
    for resource in message.resource_spans:
        for scope in resource.scope_spans:
            yield from scope.spans


def _request(dice: random.Random, spans: int) -> ExportTraceServiceRequest:
    request = ExportTraceServiceRequest()
    for first in range(0, spans, SPANS_A_RESOURCE):
        traces = max(1, min(SPANS_A_RESOURCE, spans - first) // SPANS_A_TRACE)
        _fill(request.resource_spans.add(), dice, traces)
    if spans < SPANS_A_TRACE:
        del request.resource_spans[0].scope_spans[0].spans[spans:]
    return request


def _fill(block: ResourceSpans, dice: random.Random, traces: int) -> None:
    service = dice.choice(("cart", "checkout", "payment", "shipping", "frontend"))
    block.resource.attributes.extend(_resource(dice, service))
    block.schema_url = "https://opentelemetry.io/schemas/1.34.0"
    scope = block.scope_spans.add()
    scope.scope.name = "opentelemetry.instrumentation.asgi"
    scope.scope.version = "0.58b0"
    scope.schema_url = block.schema_url
    waiting = [_trace(dice, service) for _ in range(traces)]
    for at in range(0, traces, TRACES_UNDER_WAY):
        for row in zip(*waiting[at : at + TRACES_UNDER_WAY], strict=True):
            scope.spans.extend(row)


def _resource(dice: random.Random, service: str) -> list[KeyValue]:
    node = dice.randrange(100)
    texts = {
        "service.name": service,
        "service.namespace": "shop",
        "service.version": "2.14.3",
        "service.instance.id": f"{dice.getrandbits(64):016x}",
        "deployment.environment.name": "production",
        "k8s.namespace.name": "shop",
        "k8s.pod.name": f"{service}-{dice.getrandbits(32):08x}",
        "k8s.node.name": f"node-{node}.example.internal",
        "host.name": f"node-{node}",
        "telemetry.sdk.language": "python",
        "telemetry.sdk.name": "opentelemetry",
        "telemetry.sdk.version": "1.37.0",
    }
    return [_text(key, value) for key, value in texts.items()]


def _trace(dice: random.Random, service: str) -> list[Span]:
    """SPANS_A_TRACE spans, children before their root, as they end."""
    trace_id = dice.randbytes(16 - WORD_BYTES) + _MARK
    duration = int(dice.lognormvariate(0.0, DURATION_SIGMA) * DURATION_MEDIAN * 1e9)
    start = EPOCH_NS + dice.randrange(10**12)
    root = Span(trace_id=trace_id, span_id=dice.randbytes(8), kind=Span.SPAN_KIND_SERVER)
    root.name = "GET " + dice.choice(_ROUTES)
    root.start_time_unix_nano, root.end_time_unix_nano = start, start + duration
    spans = [_child(dice, root, duration) for _ in range(SPANS_A_TRACE - 1)]
    spans.append(root)
    if dice.random() < ERROR_SHARE:
        dice.choice(spans).status.MergeFrom(Status(code=Status.STATUS_CODE_ERROR, message="upstream timed out"))
    for span in spans:
        _attributes(dice, span, service)
    return spans


def _child(dice: random.Random, root: Span, duration: int) -> Span:
    begin = dice.randrange(duration + 1)
    child = Span(trace_id=root.trace_id, span_id=dice.randbytes(8), parent_span_id=root.span_id)
    child.name = dice.choice(_OPERATIONS)
    child.kind = Span.SPAN_KIND_CLIENT
    child.start_time_unix_nano = root.start_time_unix_nano + begin
    child.end_time_unix_nano = child.start_time_unix_nano + dice.randrange(duration - begin + 1)
    return child


def _attributes(dice: random.Random, span: Span, service: str) -> None:
    """Attributes as HTTP instrumentation sets them, the path as long as the span's size asks."""
    span.attributes.append(_text("http.request.method", "GET"))
    span.attributes.append(_number("http.response.status_code", 200))
    span.attributes.append(_text("server.address", f"{service}.shop.svc"))
    span.attributes.append(_number("server.port", 8080))
    span.attributes.append(_text("network.protocol.version", "1.1"))
    path = span.attributes.add()
    path.key = "url.path"
    wanted = dice.randint(SPAN_BYTES - SPAN_BYTES_SPREAD, SPAN_BYTES + SPAN_BYTES_SPREAD)
    path.value.string_value = "/" + "p" * max(0, wanted - _field_bytes(span) - PATH_FRAMING)


def _field_bytes(span: Span) -> int:
    size: int = span.ByteSize()
    return size + (2 if size < 128 else 3)


def _text(key: str, value: str) -> KeyValue:
    pair = KeyValue(key=key)
    pair.value.string_value = value
    return pair


def _number(key: str, value: int) -> KeyValue:
    pair = KeyValue(key=key)
    pair.value.int_value = value
    return pair


def _view() -> Any:
    """ExportTraceServiceRequest as a schema in which a span is bytes: what cannot be seen need not be decoded."""
    file = descriptor_pb2.FileDescriptorProto(name="bench_view.proto", package="bench.view", syntax="proto3")
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, field, number, inner in (
        ("ScopeSpans", "spans", 2, None),
        ("ResourceSpans", "scope_spans", 2, "ScopeSpans"),
        ("Request", "resource_spans", 1, "ResourceSpans"),
    ):
        declared = file.message_type.add(name=message).field.add(name=field, number=number)
        declared.label = kinds.LABEL_REPEATED
        declared.type = kinds.TYPE_MESSAGE if inner else kinds.TYPE_BYTES
        if inner:
            declared.type_name = f".bench.view.{inner}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("bench.view.Request"))


_VIEW = _view()
