"""Traces of a few services whose true numbers are known, and how they reach a sampler: all, or a head sampler's share of them.

Every trace has 56 bits of randomness of its own, in its id or in `ot=rv`. The same seed gives the same traces.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from sampler.tracestate import encode_threshold

SHAPES = 1000  # different traces, of which only ids and randomness are drawn anew
CALLED = {"search": 0.4, "cart": 0.25, "checkout": 0.08, "payment": 0.05}  # how often frontend calls on each
SPANS_MAX = 4  # of one service in one trace
ERROR_SHARE = {"payment": 0.1}
ERROR_SHARE_USUAL = 0.01
SLOW_SHARE = 0.02
FAST_MS, SLOW_MS = 40, 2500
TRACES_A_SECOND = 2000
_START_NS = 1_760_000_000_000_000_000

_ID_MARK = b"\xfe\xc3\xf5\xff" * 4
_RV_MARK = b"RVRVRVRVRVRVRV"


class Shape(NamedTuple):
    """What a trace looks like. `encoded` is an export request holding it, with marks for its id and its `rv`."""

    spans: Mapping[str, int]  # by service
    error: bool
    duration_ms: int
    size: int  # how many spans
    encoded: bytes


class Trace(NamedTuple):
    """One trace that reached the sampler."""

    trace_id: bytes
    randomness: int
    shape: Shape
    at: float

    def encode(self) -> bytes:
        """As an export request."""
        rv = b"%014x" % self.randomness
        return self.shape.encoded.replace(_ID_MARK, self.trace_id).replace(_RV_MARK, rv)


class Population:
    """So many traces, drawn one after the other.

    A head sampler before has left out those below `head`, a threshold, and says so on the others; 0 says nothing. With
    `explicit` ids are no source of randomness: they count up, and `rv` has it.
    """

    def __init__(self, shapes: list[Shape], count: int, seed: int, *, head: int = 0, explicit: bool = False) -> None:
        self._shapes = shapes
        self._drawn = [0] * len(shapes)
        self._count = count
        self._dice = random.Random(seed)
        self._head = head
        self._explicit = explicit

    def truth(self) -> Counter[str]:
        """The spans of each service of all that were drawn so far, whether they reach the sampler or not."""
        counts: Counter[str] = Counter()
        for shape, times in zip(self._shapes, self._drawn, strict=True):
            counts.update({service: count * times for service, count in shape.spans.items()})
        return counts

    def arrivals(self) -> Iterator[Trace]:
        """Those that reach the sampler, in order."""
        dice = self._dice
        for number in range(self._count):
            which = int(dice.random() * len(self._shapes))
            self._drawn[which] += 1
            randomness = dice.getrandbits(56)
            if randomness >= self._head:
                shape = self._shapes[which]
                low = number if self._explicit else randomness
                trace_id = (dice.getrandbits(72) << 56 | low).to_bytes(16, "big")
                yield Trace(trace_id, randomness, shape, number / TRACES_A_SECOND)


def shapes(seed: int, *, head: int = 0, explicit: bool = False) -> list[Shape]:
    """SHAPES of them, with the tracestate that a head sampler of this threshold writes."""
    dice = random.Random(seed)
    stated = [f"rv:{_RV_MARK.decode()}"] * explicit + [f"th:{encode_threshold(head)}"] * bool(head)
    state = f"vendor=x,ot={';'.join(stated)}" if stated else ""
    return [_shape(dice, state) for _ in range(SHAPES)]


def _shape(dice: random.Random, state: str) -> Shape:
    called = [service for service, share in CALLED.items() if dice.random() < share]
    spans = {service: dice.randint(1, SPANS_MAX) for service in ["frontend", *called]}
    duration_ms = SLOW_MS if dice.random() < SLOW_SHARE else FAST_MS
    request = ExportTraceServiceRequest()
    error = False
    for service, count in spans.items():
        made = [_span(dice, state, duration_ms) for _ in range(count)]
        if dice.random() < ERROR_SHARE.get(service, ERROR_SHARE_USUAL):
            made[0].status.code = Status.STATUS_CODE_ERROR
            error = True
        resource = request.resource_spans.add()
        resource.resource.attributes.add(key="service.name").value.string_value = service
        resource.scope_spans.add().spans.extend(made)
    return Shape(spans, error, duration_ms, sum(spans.values()), request.SerializeToString())


def _span(dice: random.Random, state: str, duration_ms: int) -> Span:
    return Span(
        trace_id=_ID_MARK,
        span_id=dice.randbytes(8),
        trace_state=state,
        name="work",
        start_time_unix_nano=_START_NS,
        end_time_unix_nano=_START_NS + duration_ms * 1_000_000,
    )
