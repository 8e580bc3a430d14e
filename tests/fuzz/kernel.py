"""Whatever bytes come, all forms of the kernel say the same of them, and what the official classes say; nothing is lost.

`python -m tests.fuzz.kernel SECONDS SEED [FORM…]` mutates the corpus until the time is over; the seed gives the same run again,
and of the forms named none may be missing. A failure prints the request in hex; as a file in tests/fuzz/corpus it stays in the
suite. The mutations know what hurts: lengths, tags, borders, truncation, pieces of other requests.
"""

from __future__ import annotations

import random
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from google.protobuf.message import DecodeError
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from xxhash import xxh3_64_intdigest

from gateway.errors import MalformedRequestError, TooLargeError
from gateway.kernel import FORMS, Kernel, NotBuiltError, load
from gateway.kernel.names import RESOURCE, SCOPE, SPAN, Look, Values
from gateway.otlp.join import cut, join
from gateway.otlp.split import Split, split
from tests.support import looks, wire

CORPUS = Path(__file__).with_name("corpus")

INTERESTING = (
    [bytes([byte]) for byte in (0x00, 0x01, 0x0A, 0x0B, 0x0C, 0x10, 0x12, 0x1A, 0x39, 0x41, 0x7A, 0x7F, 0x80, 0xFF)]
    + [b"\x0a\x10", b"\x12\x08", b"\x18\x02", bytes(8), bytes(16), b"\x80" * 5, b"\x82\x00", b"\x9e\x00"]
    + [b"\xff" * 9 + b"\x01", b"\x80" * 10]
    + [wire.varint(value, width) for value in (0, 31, 127, 128, 16_383, 16_384) for width in (1, 5)]
    + [wire.varint(2**bits + more) for bits in (31, 32, 35, 63) for more in (-1, 0)]
)
TABLE = array("i", [(7 * slot * slot) % 5 for slot in range(101)])
OWNERS = 5
ASKED: tuple[tuple[Look, ...], ...] = (
    *[(Look(SPAN, 9, key),) for key in ("http.status_code", "ok", "f", "route", "nowhere")],
    *[(Look(SPAN, field),) for field in looks.FIELDS[SPAN] if field > 2],
    *[(Look(RESOURCE, field),) for field in looks.FIELDS[RESOURCE]],
    *[(Look(SCOPE, field),) for field in looks.FIELDS[SCOPE]],
    (Look(RESOURCE, 1, "service.name"), Look(SCOPE, 1), Look(SPAN, 9, "route"), Look(SPAN, 9, "pad")),
    (Look(SPAN, 9, "pad"), Look(SPAN, 5), Look(SPAN, 15), Look(SPAN, 11)),
)
MEMO_MAX = 50
REQUESTS_A_MATCHER = 500  # what its listener remembers for us is not bounded


def corpus() -> list[bytes]:
    """The requests to begin with, sound and hostile ones."""
    return [path.read_bytes() for path in sorted(CORPUS.glob("*.bin"))]


# ---------------------------------------------------------------- mutations


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
    at, by = _place(data, dice), dice.choice((-2, -1, 1, 2))
    return data[:at] + bytes([(byte + by) % 256 for byte in data[at : at + 1]]) + data[at + 1 :]


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


def _wrap(data: bytes, others: list[bytes], dice: random.Random) -> bytes:
    """Wrap a stretch as a field: lengths that are right around contents that are not."""
    start = _place(data, dice)
    stop = dice.randrange(start, len(data) + 1)
    return data[:start] + wire.bytes_field(dice.choice((1, 2, 2, 3, 15, 99)), data[start:stop]) + data[stop:]


MUTATIONS: list[Callable[[bytes, list[bytes], random.Random], bytes]] = [
    *(_flip, _nudge, _truncate, _delete, _insert, _overwrite, _repeat, _splice, _wrap)
]

# ---------------------------------------------------------------- what must hold


class Found(NamedTuple):
    """What one form says of a request."""

    refused: str = ""
    offset: int = 0
    found: tuple[int, int, str] = (0, 0, "")
    scopes: tuple[tuple[bytes, bytes], ...] = ()
    rows: tuple[tuple[int, ...], ...] = ()
    divided: tuple[tuple[int, bytes, int], ...] = ()
    bounded: object = None  # divided again, with little room for envelopes
    told: tuple[tuple[Values, ...], ...] = ()  # by span and by ASKED


class Subject:
    """One form of the kernel; its objects are used for request after request, as in production."""

    def __init__(self, kernel: Kernel) -> None:
        self.form = kernel.form
        self._spans = kernel.Spans(facts=True)
        self._parts = kernel.Parts(self._spans)
        self._kernel = kernel
        self._matched = 0
        self._ask_anew()

    def _ask_anew(self) -> None:
        self._listener = looks.Listener(*ASKED)
        self._matcher = self._kernel.Matcher(self._listener.plan, MEMO_MAX)

    def look_at(self, request: bytes) -> Found:
        """Everything this form finds."""
        spans = self._spans
        try:
            spans.read(request)
        except MalformedRequestError as error:
            return Found(str(error), error.offset)
        divided = self._parts.divide(request, TABLE, OWNERS, 1 << 40)
        try:
            bounded: object = self._parts.divide(request, TABLE, OWNERS, 100)
        except TooLargeError as error:
            bounded = str(error)
        return Found(
            found=spans.found(),
            scopes=tuple(spans.scopes()),
            rows=tuple(spans.rows()),
            divided=tuple(divided),
            bounded=bounded,
            told=self._ask(request),
        )

    def _ask(self, request: bytes) -> tuple[tuple[Values, ...], ...]:
        self._matched += 1
        if self._matched % REQUESTS_A_MATCHER == 0:
            self._ask_anew()
        self._matcher.read(request, self._spans)
        return tuple(tuple(self._listener.told(mask)) for mask in self._matcher.masks())


def built(needed: Collection[str] = ()) -> list[Subject]:
    """All forms that are built, the pure one first. Raises NotBuiltError if one that is needed is not."""
    subjects = []
    for form in FORMS:
        try:
            subjects.append(Subject(load(form)))
        except NotBuiltError as error:
            if form in needed:
                raise
            sys.stderr.write(f"without {form}: {error}\n")
    return subjects


def check(request: bytes, subjects: list[Subject]) -> bool:
    """Everything that must hold of these bytes; whether they were taken for a request."""
    first = subjects[0].look_at(request)
    for subject in subjects[1:]:
        assert subject.look_at(request) == first, f"{subject.form} differs from {subjects[0].form}"
    if first.refused:
        assert 0 <= first.offset <= len(request), "the offset lies inside the request"
        assert first.refused.endswith(f" at byte {first.offset}")
        return False
    check_spans(request, first)
    check_told(request, first)
    check_divided(request, first)
    check_joined(request, split(request))
    return True


def check_spans(request: bytes, found: Found) -> None:
    """The official parser reads the envelopes, too, and finds the same spans, ids and facts in them."""
    official = wire.view_spans(request)
    assert len(official) == sum(found.found[:2])
    left = iter(official)
    for start, body, stop, trace, span, envelope, *facts in found.rows:
        message, trace_id, span_id = request[body:stop], request[trace : trace + 16], request[span : span + 8]
        assert message in left, "spans come in the official order with the official bytes"  # advances to it
        assert 0 <= start < body <= trace < trace + 16 <= stop <= len(request)
        assert body <= span < span + 8 <= stop
        assert trace_id != bytes(16) and span_id != bytes(8)
        assert 0 <= envelope < len(found.scopes)
        _check_against_official(message, trace_id, span_id, facts)


def _check_against_official(message: bytes, trace_id: bytes, span_id: bytes, facts: list[int]) -> None:
    try:
        parsed = Span.FromString(message)
    except DecodeError:
        return
    code = parsed.status.code if parsed.status.code in (0, 1, 2) else -1
    is_root = not any(parsed.parent_span_id)
    assert facts == [code, parsed.start_time_unix_nano, parsed.end_time_unix_nano, is_root]
    if not (message[:2] == b"\n\x10" and message[18:20] == b"\x12\x08"):
        assert (trace_id, span_id) == (parsed.trace_id, parsed.span_id)


def check_told(request: bytes, found: Found) -> None:
    """What is asked of each span, the official parser finds too where it can read span, resource and scope."""
    assert len(found.told) == len(found.rows)
    for row, told in zip(found.rows, found.told, strict=True):
        span, envelope = request[row[1] : row[2]], found.scopes[row[5]]
        for asked, values in zip(ASKED, told, strict=True):
            expected = looks.expected(asked, envelope, span)
            if expected is not None:
                assert expected == tuple(looks.understood(look, raw) for look, raw in zip(asked, values, strict=True))


def check_divided(request: bytes, found: Found) -> None:
    """Each owner got its spans, in order, byte for byte, in the envelopes they came in."""
    expected: dict[int, list[tuple[bytes, bytes, bytes]]] = {}
    for _, body, stop, trace, _, envelope, *_ in found.rows:
        owner = TABLE[xxh3_64_intdigest(request[trace : trace + 16]) % len(TABLE)]
        expected.setdefault(owner, []).append((*found.scopes[envelope], request[body:stop]))
    assert [(owner, count) for owner, _, count in found.divided] == [
        (owner, len(spans)) for owner, spans in expected.items()
    ]
    for owner, body, _ in found.divided:
        parts = split(body)
        got = [(*scope.envelope, body[at[3] : at[4]]) for scope in parts.scopes for at in scope.spans]
        assert got == expected[owner]
        assert wire.view_spans(body) == [span for *_, span in got]
    if isinstance(found.bounded, list):
        assert tuple(found.bounded) == found.divided


def check_joined(request: bytes, parts: Split) -> None:
    """Joined, or cut and joined, each valid span is there once with its bytes, and none is rejected any more."""
    spans = [(scope.envelope, at) for scope in parts.scopes for at in scope.spans]
    joined = join([(envelope, request[at[2] : at[4]]) for envelope, at in spans])
    again = split(joined)
    assert (again.spans, again.rejected) == (parts.spans, 0)
    assert [at[:2] for scope in again.scopes for at in scope.spans] == [at[:2] for _, at in spans]
    sent = Counter(request[at[3] : at[4]] for _, at in spans)
    assert Counter(wire.view_spans(joined)) == sent
    pieces = cut(request, 300)
    assert Counter(message for body, _ in pieces for message in wire.view_spans(body)) == sent
    assert sum(count for _, count in pieces) == parts.spans


# ---------------------------------------------------------------- running


def run(rounds: Iterator[object], seed: int, subjects: list[Subject]) -> tuple[int, int]:
    """One mutated request for each round; how many there were, and how many of them were taken."""
    dice = random.Random(seed)
    pool = corpus()
    count = taken = 0
    for _ in rounds:
        request = mutate(dice.choice(pool), pool, dice)
        try:
            accepted = check(request, subjects)
        except BaseException:
            sys.stderr.write(f"seed {seed}, request {count}: {request.hex()}\n")
            raise
        count += 1
        taken += accepted
        if accepted and len(request) < 20_000 and dice.random() < 0.02:  # what still is a request breeds further ones
            pool[dice.randrange(len(pool))] = request
            if dice.random() < 0.05:
                pool = corpus()
    return count, taken


def _for(seconds: float) -> Iterator[None]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield


def main(seconds: float, seed: int, needed: list[str]) -> None:
    """The corpus as it is, then mutated."""
    subjects = built(needed)
    for request in corpus():
        check(request, subjects)
    count, taken = run(_for(seconds), seed, subjects)
    forms = ", ".join(subject.form for subject in subjects)
    sys.stdout.write(f"{count} requests, {taken} of them taken, by {forms}; nothing amiss\n")


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0, sys.argv[3:])
