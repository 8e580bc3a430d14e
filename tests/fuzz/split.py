"""Whatever bytes come, the wire refuses them as malformed or reads them as the official classes do, and loses nothing.

`python -m tests.fuzz.split SECONDS SEED` mutates requests until the time is over; the seed gives the same run again. A failure
prints the request in hex. The mutations know what hurts: lengths, tags, borders, truncation, pieces of other requests.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.errors import MalformedRequestError
from gateway.otlp.facts import Facts, fold, span_facts
from gateway.otlp.join import cut, join
from gateway.otlp.split import Envelope, Split, split
from tests.support import wire
from tests.support.spans import export_request, padded, resource_spans, span

INTERESTING = (
    [bytes([byte]) for byte in (0x00, 0x01, 0x0A, 0x0B, 0x0C, 0x10, 0x12, 0x1A, 0x39, 0x41, 0x7A, 0x7F, 0x80, 0xFF)]
    + [
        b"\x0a\x10",
        b"\x12\x08",
        bytes(8),
        bytes(16),
        b"\x80" * 5,
        b"\x82\x00",
        b"\x9e\x00",
        b"\xff" * 9 + b"\x01",
        b"\x80" * 10,
    ]
    + [wire.varint(value, width) for value in (0, 31, 127, 128, 16_383, 16_384, 2**31, 2**32) for width in (1, 5)]
)

# ---------------------------------------------------------------- requests to begin with


def seeds() -> list[bytes]:
    """Requests of several shapes: spans of one, two and three bytes of length, short, odd and empty ones."""
    usual = [span(name, number, status=number % 3, start_ms=number, end_ms=9) for number, name in enumerate("AABBA", 1)]
    one, two = resource_spans(usual), resource_spans(padded(usual, 400), service="two")
    odd = b"".join([wire.number_field(99, 1), wire.bytes_field(2, b"b" * 8), wire.bytes_field(1, b"B" * 16)])
    mixed = [wire.plain_span(b"A" * 16, b"a" * 8, wire.padding(size)) for size in (0, 90, 100, 130, 16_400)]
    group = wire.group_field(7, wire.group_field(8), wire.fixed64_field(9, 1))
    return [
        b"",
        wire.message(1, wire.message(2)),
        export_request(one),
        export_request(two, one),
        export_request(resource_spans(padded(usual[:2], 130))),
        wire.plain_request(odd, *mixed[:4], odd, resource=group, scope=wire.bytes_field(3, b"url") + group),
        wire.plain_request(*mixed, odd),
        wire.plain_request(wire.plain_span(b"A" * 16, b"a" * 8, group, group)),
    ]


def mutate(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """The request with a few things done to it."""
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        data = dice.choice(MUTATIONS)(data, others, dice)
    return data


def _place(data: bytes, dice: random.Random) -> int:
    # The head of a request holds most of its lengths.
    return dice.randrange(min(len(data), 60) + 1) if dice.random() < 0.4 else dice.randrange(len(data) + 1)


def _flip(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    at = _place(data, dice)
    return data[:at] + bytes([byte ^ 1 << dice.randrange(8) for byte in data[at : at + 1]]) + data[at + 1 :]


def _nudge(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    at = _place(data, dice)
    return (
        data[:at] + bytes([(byte + dice.choice((-2, -1, 1, 2))) % 256 for byte in data[at : at + 1]]) + data[at + 1 :]
    )


def _truncate(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    return data[: _place(data, dice)]


def _delete(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    at = _place(data, dice)
    return data[:at] + data[at + dice.choice((1, 1, 2, 8, 16, 40)) :]


def _insert(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    at = _place(data, dice)
    return data[:at] + dice.choice(INTERESTING) + data[at:]


def _overwrite(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    at, what = _place(data, dice), dice.choice(INTERESTING)
    return data[:at] + what + data[at + len(what) :]


def _repeat(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    at = _place(data, dice)
    return data[:at] + data[at : at + dice.randrange(1, 60)] + data[at:]


def _splice(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    other = dice.choice(others)
    return data[: _place(data, dice)] + other[_place(other, dice) :]


def _enclose(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """Wrap a stretch as a field: lengths that are right around contents that are not."""
    start = _place(data, dice)
    stop = dice.randrange(start, len(data) + 1)
    return data[:start] + wire.bytes_field(dice.choice((1, 2, 2, 3, 15, 99)), data[start:stop]) + data[stop:]


MUTATIONS: list[Callable[[bytes, list[bytes], random.Random], bytes]] = [
    _flip,
    _nudge,
    _truncate,
    _delete,
    _insert,
    _overwrite,
    _repeat,
    _splice,
    _enclose,
]

# ---------------------------------------------------------------- what must hold


def check(request: bytes) -> bool:
    """Everything that must hold of these bytes; whether they were taken for a request."""
    try:
        parts = split(request)
    except MalformedRequestError as error:
        assert 0 <= error.offset <= len(request), "the offset lies inside the request"
        assert str(error) == f"{error.reason} at byte {error.offset}"
        return False
    check_spans(request, parts)
    check_joined(request, parts)
    return True


def check_spans(request: bytes, parts: Split) -> None:
    """The official parser reads the envelopes, too, and finds the same spans, ids and facts in them."""
    official = wire.view_spans(request)
    assert len(official) == parts.spans + parts.rejected
    left = iter(official)
    for _, (trace_id, span_id, start, body, stop) in _spans(parts):
        message = request[body:stop]
        assert message in left, "spans come in the official order with the official bytes"  # advances to it
        assert 0 <= start < body <= stop <= len(request)
        assert len(trace_id) == 16 and trace_id != bytes(16) and len(span_id) == 8 and span_id != bytes(8)
        fold(Facts(prefixes=True), request, body, stop)
        _check_against_official(message, trace_id, span_id)


def _check_against_official(message: bytes, trace_id: bytes, span_id: bytes) -> None:
    try:
        parsed = Span.FromString(message)
    except DecodeError:
        return
    start, end, code = span_facts(message, 0, len(message))
    assert (start, end) == (parsed.start_time_unix_nano, parsed.end_time_unix_nano)
    assert code == parsed.status.code % 2**32
    if not (128 <= len(message) < 16_384 and message[:2] == b"\n\x10" and message[18:20] == b"\x12\x08"):
        assert (trace_id, span_id) == (parsed.trace_id, parsed.span_id)


def check_joined(request: bytes, parts: Split) -> None:
    """Joined, or cut and joined, each valid span is there once with its bytes, and none is rejected any more."""
    fragments = [(envelope, request[at[2] : at[4]]) for envelope, at in _spans(parts)]
    joined = join(fragments)
    again = split(joined)
    assert (again.spans, again.rejected) == (parts.spans, 0)
    assert [at[:2] for _, at in _spans(again)] == [at[:2] for _, at in _spans(parts)]
    assert join([(envelope, joined[at[2] : at[4]]) for envelope, at in _spans(again)]) == joined
    sent = Counter(request[at[3] : at[4]] for _, at in _spans(parts))
    assert Counter(wire.view_spans(joined)) == sent
    pieces = cut(request, 300)
    assert Counter(message for body, _ in pieces for message in wire.view_spans(body)) == sent
    assert sum(count for _, count in pieces) == parts.spans


def _spans(parts: Split) -> Iterator[tuple[Envelope, tuple[bytes, bytes, int, int, int]]]:
    return ((scope.envelope, at) for scope in parts.scopes for at in scope.spans)


# ---------------------------------------------------------------- running


def run(rounds: Iterator[object], seed: int) -> tuple[int, int]:
    """One mutated request for each round; how many there were and how many of them were taken."""
    dice = random.Random(seed)
    pool = seeds()
    count = taken = 0
    for _ in rounds:
        request = mutate(dice.choice(pool), pool, dice)
        try:
            accepted = check(request)
        except BaseException:
            sys.stderr.write(f"seed {seed}, request {count}: {request.hex()}\n")
            raise
        count += 1
        taken += accepted
        if accepted and len(request) < 20_000 and dice.random() < 0.02:  # what still is a request breeds further ones
            pool[dice.randrange(len(pool))] = request
            if dice.random() < 0.05:
                pool = seeds()
    return count, taken


def _for(seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield


if __name__ == "__main__":
    count, taken = run(_for(float(sys.argv[1])), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    sys.stdout.write(f"{count} requests, {taken} of them taken; nothing amiss\n")
