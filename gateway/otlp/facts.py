"""Facts: the few numbers policies ask of a trace, read from span bytes and folded into one aggregate a trace."""

from __future__ import annotations

from gateway.errors import MalformedRequestError
from gateway.otlp import schema
from gateway.otlp.wire import read_length, read_varint, skip


class Facts:
    """The aggregate of one trace. Instants are unix nanoseconds, durations nanoseconds.

    `duration_max` is the longest end_max - start_min seen after any span: what a latency policy without an upper bound asks.
    With `prefixes`, `durations` keeps the distinct ones in order: a policy with an upper bound asks whether after any span the
    trace so far lay inside its bounds (Collector parity). A start of 0 counts as the Collector counts it: it is the least of
    all, and the next span replaces it.
    """

    __slots__ = ("duration_max", "durations", "end_max", "span_count", "start_min", "statuses")

    def __init__(self, *, prefixes: bool = False) -> None:
        self.span_count = 0
        self.start_min = 0
        self.end_max = 0
        self.duration_max = 0
        self.statuses = 0  # bit N is set when a span has status code N (0 unset, 1 ok, 2 error)
        self.durations: list[int] | None = [] if prefixes else None


def fold(facts: Facts, request: bytes, body: int, stop: int) -> None:
    """Fold the Span message at request[body:stop] into `facts`. Never refuses: what cannot be read adds nothing."""
    start, end, status = span_facts(request, body, stop)
    facts.span_count += 1
    if 0 <= status <= 2:
        facts.statuses |= 1 << status
    if start < facts.start_min or not facts.start_min:
        facts.start_min = start
    if end > facts.end_max:
        facts.end_max = end
    duration = facts.end_max - facts.start_min
    if duration > facts.duration_max:
        facts.duration_max = duration
    if facts.durations is not None and (not facts.durations or facts.durations[-1] != duration):
        facts.durations.append(duration)


def span_facts(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """(start_time_unix_nano, end_time_unix_nano, status code) of a Span message; 0 where it names none.

    HOT: once per span. Reading stops at the first byte that is not protobuf; what was read before counts.
    """
    start_time = end_time = status = 0
    try:
        while at < end:
            tag = data[at]
            at += 1
            if tag > 0x7F:  # fields above 15 take two bytes; of ours none does
                tag, at = read_varint(data, at - 1, end)
            if tag & 7 == schema.LENGTH:
                length = data[at] if at < end else 0
                if length > 0x7F or at >= end:
                    value, stop = read_length(data, at, end)
                else:
                    value, stop = at + 1, at + 1 + length
                if stop > end:
                    break
                if tag == schema.STATUS_TAG:
                    status = _status_code(data, value, stop, status)
                at = stop
            elif tag == schema.START_TIME_TAG and at + 8 <= end:
                start_time = int.from_bytes(data[at : at + 8], "little")
                at += 8
            elif tag == schema.END_TIME_TAG and at + 8 <= end:
                end_time = int.from_bytes(data[at : at + 8], "little")
                at += 8
            else:
                at = skip(data, at, end, tag)
    except MalformedRequestError:
        pass  # the envelope was sound; what is inside a span never costs the span (it is looked at again before export)
    return start_time, end_time, status


def _status_code(data: bytes, at: int, end: int, code: int) -> int:
    """The code in the Status message at data[at:end]; `code` if it names none (sub-messages given twice merge)."""
    while at < end:
        tag, at = read_varint(data, at, end)
        if tag == schema.STATUS_CODE_TAG:
            value, at = read_varint(data, at, end)
            code = value & 0xFFFFFFFF  # an enum has 32 bits; what is beyond them is cut off, as official parsers do
        else:
            at = skip(data, at, end, tag)
    return code
