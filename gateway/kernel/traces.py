"""Undecided traces: their spans in an arena, an index on the trace id, one aggregate of facts each, and the decision by them.

The arena is one range of address space cut into segments; spans are appended to the segment at hand and never move. A trace is
a row of sixteen words, two lines of the processor's cache, and a chain of fragments: spans of one request that stood side by
side in one envelope. A segment returns when the last trace in it has been taken out, and its memory goes back to the system
beyond what is kept for the next one.

Nothing here knows a clock (traces wait in numbered buckets), a policy (gateway.kernel.program votes), or what becomes of what is
taken out.
"""

from __future__ import annotations

import mmap
import sys
from array import array
from collections.abc import Callable
from hashlib import sha256
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

import cython

from gateway import limits
from gateway.kernel import names
from gateway.kernel.names import Added, Kept, Plan
from gateway.otlp import schema

if TYPE_CHECKING:
    from gateway.kernel.program import Program

if cython.compiled:
    from cython.cimports.libc.string import memcpy

WIDTH = cython.declare(cython.int, 8)  # the columns of gateway.kernel.scan
START = cython.declare(cython.int, 0)
STOP = cython.declare(cython.int, 2)
TRACE = cython.declare(cython.int, 3)
SPAN = cython.declare(cython.int, 4)
ENVELOPE = cython.declare(cython.int, 5)
STATUS = cython.declare(cython.int, 6)
ROOT = cython.declare(cython.int, 7)

# The words of a row. Instants are unix nanoseconds, durations nanoseconds; a row is a trace's number, counted from 1.
_ROW = cython.declare(cython.Py_ssize_t, 16)  # and behind them the further words of marks
_LOW = cython.declare(cython.int, 0)  # the id's first eight bytes, least significant first
_HIGH = cython.declare(cython.int, 1)
_START_MIN = cython.declare(cython.int, 2)
_END_MAX = cython.declare(cython.int, 3)
_DURATION_MAX = cython.declare(cython.int, 4)
_MARKS = cython.declare(cython.int, 5)
_HEAD = cython.declare(cython.int, 6)  # address + 1 of the newest fragment
_SPANS = cython.declare(cython.int, 7)
_FRAGMENTS = cython.declare(cython.int, 8)  # how many, and in the upper half in how many segments they lie
_STATUSES = cython.declare(cython.int, 9)  # bit N: a span has status code N; flags, see below; the bucket it is due in
_SEEN = cython.declare(cython.int, 10)  # a Bloom filter of the span ids, 64 bits
_NEXT = cython.declare(cython.int, 11)  # the row that is due after this one; of a free row, the next free one
_SEGMENTS = cython.declare(cython.int, 12)  # the first segment with a fragment in the upper half, the last in the lower
_BYTES = cython.declare(
    cython.int, 13
)  # what the trace measures as protobuf, resources and scopes once for each request
_GROUP = cython.declare(cython.int, 14)  # what the last span stood in: the request's number, and the envelope's in it
_NEXT_EARLY = cython.declare(cython.int, 15)  # the row that is due after this one among those whose root has come
LAYOUT = (_LOW, _HIGH, _START_MIN, _END_MAX, _DURATION_MAX, _MARKS, _SPANS, _STATUSES, _BYTES, _ROW)
_HALF = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_HAS_APART = cython.declare(cython.ulonglong, 0x100)  # in _STATUSES: some of the spans lie apart
_HASTENED = cython.declare(cython.ulonglong, 0x200)  # it stands among the early ones too
_GONE = cython.declare(cython.ulonglong, 0x400)  # it was taken out before its bucket was due, which frees the row
_BUCKET_SHIFT = cython.declare(cython.int, 16)
_BUCKET_MASK = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFF)
_GROUP_SHIFT = cython.declare(cython.int, 24)  # a request of 64 MiB has fewer envelopes than 2^24

# A fragment: address + 1 of the one before (8 bytes), bytes of spans (4), envelope (4), number of spans (4), span ids, spans.
_FRAGMENT = cython.declare(cython.Py_ssize_t, 20)
_APART = cython.declare(
    cython.uint, 0x80000000
)  # in the envelope: the spans are too large for a segment, and lie apart

_HEADS_MAX = cython.declare(cython.Py_ssize_t, 22)  # two tags and two lengths of at most ten bytes
_CHUNK = cython.declare(cython.Py_ssize_t, 8192)  # rows whose memory goes back together
assert _CHUNK * 8 % (1 << 16) == 0, "whole pages, which have 64 KiB at most"
_ROOM_MIN = cython.declare(cython.Py_ssize_t, 1 << 16)
_ROOM_KEPT = cython.declare(cython.Py_ssize_t, 1 << 23)  # what a larger trace needed is given back with the next one
_TAKEN_MAX = cython.declare(cython.Py_ssize_t, limits.DECIDE_BYTES_AT_ONCE)
_INDEX_MIN = cython.declare(cython.Py_ssize_t, 1024)
_MASK = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_SPREAD = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)
_MS = cython.declare(cython.ulonglong, 1_000_000)  # nanoseconds
_SET_FROM = cython.declare(
    cython.int, 64
)  # spans of a trace from which on their ids are kept in a set: the filter is full
_RESOURCE_SPANS = cython.declare(cython.uchar, 0x0A)
_SCOPE_SPANS = cython.declare(cython.uchar, 0x12)
assert (_RESOURCE_SPANS, _SCOPE_SPANS) == (schema.RESOURCE_SPANS_TAG, schema.SCOPE_SPANS_TAG)

_PAST_THE_END = "the kernel would reach past the end of its memory"
# Without it Linux refuses a range that is larger than the machine's memory; Python names the flag only from 3.13 on.
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000 if sys.platform == "linux" else 0)

# What a trace, an id in a set and an envelope cost beside their bytes.
ROW_BYTES = 16 * 8 + 32  # the row and its share of the index
SET_ID_BYTES = 96  # measured 85 to 115
ENVELOPE_BYTES = 500  # two bytes objects, the pair, its entry in the table

NO_PLAN = Plan()
_DUE = cython.declare(cython.int, 0)
_BY_ROOT = cython.declare(cython.int, 1)
_INGEST = cython.declare(cython.int, 2)
_TOO_LARGE = cython.declare(cython.int, 5)
_SHUTDOWN = cython.declare(cython.int, 6)
assert (_DUE, _BY_ROOT, _INGEST) == (names.DUE, names.ROOT, names.INGEST)
assert (_TOO_LARGE, _SHUTDOWN) == (names.TOO_LARGE, names.SHUTDOWN)


@cython.cclass
class Traces:
    """All undecided traces of a process. `spans` is the gateway.kernel.scan.Spans (with facts) that reads its requests, and
    `matcher` the gateway.kernel.match.Matcher that looks into its spans, of the same `plan`; None if nothing is asked of them.

    `bytes_max` is the budget that the caller keeps `bytes` under; a little beyond it there is no more room at all. A trace of
    more than `trace_bytes_max` bytes (0: no bound) has to be settled, and with `eager` every trace that was added to.
    """

    count: cython.Py_ssize_t
    spans: cython.longlong
    _scanned: object
    _columns_object: object
    _at: cython.int[::1]
    _time: cython.ulonglong[::1]
    _seed: cython.ulonglong
    _spread: cython.ulonglong  # two odd multipliers that nobody can foresee either: see _slot
    _spread_2: cython.ulonglong
    # what is asked of spans
    _matcher: object
    _span_marks: cython.ulonglong[::1]
    _span_marks_object: object
    _words: cython.Py_ssize_t  # of marks
    _stride: cython.Py_ssize_t  # words of a row
    _row_bytes: cython.longlong
    _intervals: cython.longlong[::1]
    _pairs: cython.ulonglong[::1]
    _has_pairs: cython.bint
    # traces to be settled before their time
    _trace_bytes_max: cython.ulonglong
    _eager: cython.bint
    _touched: list
    _gone: cython.Py_ssize_t  # rows that were taken out and whose bucket is still to come
    _gone_kept: cython.Py_ssize_t  # those that the last sweep had to leave
    _early_first: dict  # by bucket, as _first and _last
    _early_last: dict
    _early_buckets: list
    _requests: cython.ulonglong  # how many there were
    _resource_of: cython.int[::1]  # by envelope of the request at hand: the first one with the same resource
    # the arena
    _segment: cython.Py_ssize_t  # bytes of a segment, a power of two …
    _shift: cython.int  # … of this exponent: a division costs as much as everything else that finds a segment
    _arena_memory: object
    _arena: cython.uchar[::1]
    _users: cython.int[::1]  # traces with a fragment in it, by segment
    _used_here: list  # by segment: the envelopes that its fragments stand in
    _here: cython.Py_ssize_t  # where the next fragment goes
    _stop: cython.Py_ssize_t  # the end of the segment at hand
    _fresh: cython.Py_ssize_t  # segments from this one on were never used
    _warm: list  # free segments whose memory is kept
    _cold: list  # free ones whose memory went back
    _warm_max: cython.Py_ssize_t
    _taken: cython.Py_ssize_t  # segments in use
    _apart: dict  # spans too large for a segment, by address
    _apart_bytes: cython.longlong
    # rows and index
    _rows_memory: object
    _rows: cython.ulonglong[::1]
    _index: cython.ulonglong[
        ::1
    ]  # open addressing: 32 bits of the id's hash, and in the lower half the row; 0: nobody's place
    _chunk_used: cython.int[::1]
    _chunk_free: cython.uint[::1]  # the first free row of each chunk; 0: none
    _chunk_fresh: cython.int[::1]  # rows of each chunk that were used since its memory went back
    _chunk: cython.Py_ssize_t  # no chunk before this one has a free row
    # deadlines
    _first: dict  # by bucket: the row that is due first
    _buckets: list  # a heap of their numbers
    _due_bucket: cython.longlong  # the bucket that rows were last taken from, and the row in it that is due now
    _due_row: cython.Py_ssize_t
    _open_bucket: cython.longlong  # the bucket that rows were last added to, and the last row in it
    _open_last: cython.Py_ssize_t
    _last: dict
    # envelopes
    _numbered: dict
    _envelopes: list
    _free_envelopes: list
    _uses: cython.int[::1]  # segments with a fragment in it, by envelope
    _last_use: cython.int[::1]  # the last of those
    _numbers: cython.int[::1]  # of the envelopes of the request at hand; -1: not used yet
    _envelope_bytes: cython.longlong
    # sets of span ids, by row
    _sets: dict
    _set_ids: cython.longlong
    # workspace
    _chain: cython.ulonglong[::1]
    _room_view: object
    _room: cython.uchar[::1]
    _end: cython.Py_ssize_t
    _id_object: bytearray
    _id: cython.uchar[::1]

    def __init__(
        self,
        spans: object,
        *,
        bytes_max: int,
        plan: Plan = NO_PLAN,
        matcher: object = None,
        trace_bytes_max: int = 0,
        eager: bool = False,
        seed: int = 0,
    ) -> None:
        self._words = max(1, -(-plan.marks // 64))
        self._stride = _ROW + self._words - 1
        self._row_bytes = ROW_BYTES + 8 * (self._words - 1)
        self._intervals = array("q", [number for interval in plan.intervals for number in interval])
        self._pairs = array("Q", [plan.pairs >> 64 * word & (1 << 64) - 1 for word in range(self._words)])
        self._has_pairs = plan.pairs != 0
        self._matcher = matcher
        self._span_marks_object, self._span_marks = None, array("Q")
        self._trace_bytes_max, self._eager = trace_bytes_max, eager
        self._touched, self._gone, self._gone_kept = [], 0, 0
        self._early_first, self._early_last, self._early_buckets = {}, {}, []
        self._requests = 0
        self._resource_of = array("i")
        self._scanned = spans
        self._columns_object = None
        self._seed = seed
        self._spread, self._spread_2 = [
            int.from_bytes(sha256(b"%d %d" % (seed, each)).digest()[:8], "little") | 1 for each in (1, 2)
        ]
        segment = segment_bytes(bytes_max)
        self._segment, self._shift = segment, segment.bit_length() - 1
        # beyond the budget: what one request may add before it is trimmed, and the ends of segments that stay empty
        segments: cython.Py_ssize_t = (2 * bytes_max + 2 * limits.REQUEST_BYTES_MAX) // self._segment + 2
        self._arena_memory = _reserve_memory(segments * self._segment)
        self._arena = self._arena_memory
        self._users = array("i", bytes(4 * segments))
        self._used_here = []
        self._here = self._stop = self._fresh = self._taken = 0
        self._warm, self._cold = [], []
        self._warm_max = max(1, min(limits.FREED_BYTES_KEPT, bytes_max // 4) // self._segment)
        self._apart, self._apart_bytes = {}, 0
        # No bound on traces would do: rows of those decided before their time stay until then. Beyond the budget: the traces
        # of one request, each a span of 30 bytes at least.
        rows = 2 * bytes_max // self._row_bytes + limits.REQUEST_BYTES_MAX // 30
        chunks: cython.Py_ssize_t = rows // _CHUNK + 2
        self._rows_memory = _reserve_memory(chunks * _CHUNK * self._stride * 8)
        self._rows = memoryview(self._rows_memory).cast("Q")
        self._chunk_used = array("i", bytes(4 * chunks))
        self._chunk_free = array("I", bytes(4 * chunks))
        self._chunk_fresh = array("i", bytes(4 * chunks))
        self._chunk_used[0] = self._chunk_fresh[0] = 1  # row 0 is nobody's
        self._chunk = 0
        self._index = array("Q", bytes(8 * _INDEX_MIN))
        self.count = self.spans = 0
        self._first, self._last, self._buckets = {}, {}, []
        self._open_bucket, self._open_last = -1, 0
        self._due_bucket, self._due_row = -1, 0
        self._numbered, self._envelopes, self._free_envelopes = {}, [], []
        self._uses, self._last_use = array("i", bytes(4 * 64)), array("i", bytes(4 * 64))
        self._numbers = array("i")
        self._envelope_bytes = 0
        self._sets, self._set_ids = {}, 0
        self._chain = array("Q", bytes(8 * 64))
        self._make_room(_ROOM_MIN)
        self._id_object = bytearray(16)
        self._id = self._id_object

    @cython.cfunc
    def _make_room(self, size: cython.Py_ssize_t) -> cython.void:
        room = bytearray(size)
        self._room_view = memoryview(room)
        self._room = room
        self._end = 0

    # ------------------------------------------------------------ what is held

    def __len__(self) -> int:
        """How many traces."""
        return self.count

    def join(self, program: Program) -> None:
        """The program is about the rows of these traces."""
        program.join(self._rows, LAYOUT)

    @property
    def held(self) -> tuple[int, int]:
        """(spans, bytes) of all traces. Bytes count whole segments while anything in them is in use, as the system does."""
        return self.spans, self._bytes()

    @cython.cfunc
    def _bytes(self) -> cython.longlong:
        arena: cython.longlong = self._taken * self._segment - (self._stop - self._here)
        rows: cython.longlong = (self.count + self._gone) * self._row_bytes + self._set_ids * SET_ID_BYTES
        return arena + rows + self._apart_bytes + self._envelope_bytes

    def first_bucket(self) -> int | None:
        """The bucket that is due first; None if there is nothing in any."""
        if self._early_buckets and (not self._buckets or self._early_buckets[0] < self._buckets[0]):
            return self._early_buckets[0]
        return self._buckets[0] if self._buckets else None

    def look(self, trace_id: bytes) -> tuple[int, int, int] | None:
        """(spans, bytes, the bucket it is due in) of a trace; None if it is not here."""
        row: cython.Py_ssize_t = self._find(
            int.from_bytes(trace_id[:8], "little"), int.from_bytes(trace_id[8:16], "little")
        )
        if row == 0:
            return None
        place: cython.Py_ssize_t = row * self._stride
        due: cython.ulonglong = self._rows[place + _STATUSES] >> _BUCKET_SHIFT
        return self._rows[place + _SPANS], self._rows[place + _BYTES], due

    # ------------------------------------------------------------ taking in

    def add(self, request: bytes, bucket: int, past: Callable[[bytes], bool | None], early_bucket: int = 0) -> Added:
        """Take in the spans of `request`, which was just read. New traces are due in `bucket`, and those whose root is among the
        spans in `early_bucket` (0: never mind) if that comes before. HOT: once per span.

        Spans of unknown traces are asked about: `past(trace_id)` is True for a kept one, False for one decided against (its
        spans are counted and forgotten), None for a new one. A span id the trace has already is left out and counted.
        """
        data: cython.const[cython.uchar][::1] = request
        i: cython.int
        envelopes: list = self._look_at_columns()
        at: cython.int[::1] = self._at
        total: cython.int = self._scanned.found()[0]
        added: cython.int = 0
        opened: cython.int = 0
        duplicates: cython.int = 0
        late_dropped: dict = {}
        late: list = []
        early: cython.longlong = early_bucket
        first: cython.int = 0  # of the run of spans, side by side, that will make one fragment
        last: cython.int = -1  # of them so far
        run: cython.Py_ssize_t = 0  # its trace's row; 0: there is none
        row: cython.Py_ssize_t = 0
        low: cython.ulonglong
        high: cython.ulonglong
        c: cython.Py_ssize_t
        for i in range(total):
            c = i * WIDTH
            low = _load64(data, at[c + TRACE])
            high = _load64(data, at[c + TRACE] + 8)
            if (
                run == 0
                or self._rows[run * self._stride + _LOW] != low
                or self._rows[run * self._stride + _HIGH] != high
            ):
                row = self._find(low, high)
                if row == 0:
                    trace_id = request[at[c + TRACE] : at[c + TRACE] + 16]
                    decided = past(trace_id)
                    if decided is None:
                        row = self._open(low, high, bucket)
                        opened += 1
                    elif decided:
                        span_id = request[at[c + SPAN] : at[c + SPAN] + 8]
                        late.append(
                            (trace_id, span_id, envelopes[at[c + ENVELOPE]], request[at[c + START] : at[c + STOP]])
                        )
                        continue
                    else:
                        late_dropped[trace_id] = late_dropped.get(trace_id, 0) + 1
                        continue
            else:
                row = run
            if self._is_duplicate(row, data, i, first, last if row == run else first - 1):
                duplicates += 1
                continue
            added += 1
            self._fold(row, i)
            if early and at[c + ROOT]:
                self._hasten(row, early)
            # in two envelopes spans never stand side by side: a tag and a length are between them
            if row != run or last + 1 != i or at[c + START] != at[c - WIDTH + STOP]:
                if run:
                    self._store_run(run, data, first, last, envelopes)
                run, first = row, i
            last = i
        if run:
            self._store_run(run, data, first, last, envelopes)
        self.spans += added
        return Added(added, opened, duplicates, late_dropped, late)

    @cython.cfunc
    def _look_at_columns(self) -> list:
        """Get ready for what was just read: its envelopes."""
        i: cython.int
        columns, times = self._scanned.shared()
        if columns is not self._columns_object:
            self._columns_object, self._at, self._time = columns, columns, times
        envelopes: list = self._scanned.scopes()
        if len(self._numbers) < len(envelopes):
            self._numbers = array("i", bytes(8 * len(envelopes)))
            self._resource_of = array("i", bytes(8 * len(envelopes)))
        resource: object = None
        same: cython.int = 0
        for i in range(len(envelopes)):
            self._numbers[i] = -1
            envelope: tuple = envelopes[i]
            if envelope[0] is not resource:
                resource, same = envelope[0], i
            self._resource_of[i] = same
        self._requests += 1
        self._touched = []
        if self._matcher is not None:
            span_marks = self._matcher.shared()
            if span_marks is not self._span_marks_object:
                self._span_marks_object, self._span_marks = span_marks, span_marks
        return envelopes

    @cython.cfunc
    @cython.exceptval(-1)
    def _is_duplicate(
        self,
        row: cython.Py_ssize_t,
        data: cython.const[cython.uchar][::1],
        i: cython.int,
        first: cython.int,
        last: cython.int,
    ) -> cython.int:
        """Whether the trace has the span's id already; if not, it has it now. Its spans first … last are not stored yet."""
        place: cython.Py_ssize_t = row * self._stride
        span_id: cython.ulonglong = _load64(data, self._at[i * WIDTH + SPAN])
        bit: cython.ulonglong = _filter_bit(span_id)
        j: cython.int
        if self._rows[place + _SPANS] >= _SET_FROM:
            known: set | None = self._sets.get(row)
            if known is None:
                known = self._ids_in_set(row)
                for j in range(first, last + 1):
                    known.add(_load64(data, self._at[j * WIDTH + SPAN]))
                self._sets[row] = known
                self._set_ids += len(known)
            if span_id in known:
                return 1
            known.add(span_id)
            self._set_ids += 1
            return 0
        if self._rows[place + _SEEN] & bit:
            for j in range(first, last + 1):
                if _load64(data, self._at[j * WIDTH + SPAN]) == span_id:
                    return 1
            if self._has_id(row, span_id):
                return 1
        self._rows[place + _SEEN] |= bit
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def _has_id(self, row: cython.Py_ssize_t, span_id: cython.ulonglong) -> cython.bint:
        """Whether a stored fragment of the trace has this span id."""
        head: cython.ulonglong = self._rows[row * self._stride + _HEAD]
        at: cython.Py_ssize_t
        n: cython.Py_ssize_t
        while head:
            at = head - 1
            for n in range(_load32(self._arena, at + 16)):
                if _load64(self._arena, at + _FRAGMENT + 8 * n) == span_id:
                    return True
            head = _load64(self._arena, at)
        return False

    @cython.cfunc
    def _ids_in_set(self, row: cython.Py_ssize_t) -> set:
        ids: bytes = self._ids(row)
        return {int.from_bytes(ids[at : at + 8], "little") for at in range(0, len(ids), 8)}

    @cython.cfunc
    @cython.exceptval(check=False)
    def _fold(self, row: cython.Py_ssize_t, i: cython.int) -> cython.void:
        """Fold the facts of span `i` into the trace's. A start of 0 counts as the Collector counts it: it is the least of all,
        and the next span replaces it. HOT."""
        place: cython.Py_ssize_t = row * self._stride
        rows: cython.ulonglong[::1] = self._rows
        start: cython.ulonglong = self._time[2 * i]
        end: cython.ulonglong = self._time[2 * i + 1]
        status: cython.int = self._at[i * WIDTH + STATUS]
        duration: cython.ulonglong
        one: cython.ulonglong = 1
        rows[place + _SPANS] += 1
        if status >= 0:
            rows[place + _STATUSES] |= one << status
        if start < rows[place + _START_MIN] or rows[place + _START_MIN] == 0:
            rows[place + _START_MIN] = start
        if end > rows[place + _END_MAX]:
            rows[place + _END_MAX] = end
        duration = 0
        if rows[place + _END_MAX] > rows[place + _START_MIN]:
            duration = rows[place + _END_MAX] - rows[place + _START_MIN]
        if duration > rows[place + _DURATION_MAX]:
            rows[place + _DURATION_MAX] = duration
        if self._matcher is not None:
            self._take_marks(place, i)
        if len(self._intervals):
            self._mark(place)

    @cython.cfunc
    @cython.exceptval(check=False)
    def _mark(self, place: cython.Py_ssize_t) -> cython.void:
        """Set the marks of the intervals in which the trace's duration lies now; milliseconds are cut off towards zero."""
        k: cython.int
        start: cython.ulonglong = self._rows[place + _START_MIN]
        end: cython.ulonglong = self._rows[place + _END_MAX]
        duration: cython.longlong = (end - start) // _MS if end >= start else 0
        if end < start:
            duration = (start - end) // _MS
            duration = -duration
        one: cython.ulonglong = 1
        mark: cython.Py_ssize_t
        for k in range(len(self._intervals) // 3):
            if self._intervals[3 * k] < duration <= self._intervals[3 * k + 1]:
                mark = self._intervals[3 * k + 2]
                self._rows[self._marks_at(place, mark >> 6)] |= one << (mark & 63)

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def _marks_at(self, place: cython.Py_ssize_t, word: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Where this word of the marks of the row at `place` is."""
        return place + _MARKS if word == 0 else place + _ROW + word - 1

    @cython.cfunc
    @cython.exceptval(check=False)
    def _take_marks(self, place: cython.Py_ssize_t, i: cython.int) -> cython.void:
        """Give the row the marks of span `i`; of a pair only what comes first. HOT."""
        word: cython.Py_ssize_t
        at: cython.Py_ssize_t
        marks: cython.ulonglong
        pairs: cython.ulonglong
        taken: cython.ulonglong
        for word in range(self._words):
            marks = self._span_marks[i * self._words + word]
            if marks == 0:
                continue
            at = self._marks_at(place, word)
            if self._has_pairs:
                pairs = self._pairs[word]
                taken = (self._rows[at] | self._rows[at] >> 1) & pairs
                marks &= ~(taken | taken << 1)
            self._rows[at] |= marks

    # ------------------------------------------------------------ the arena

    @cython.cfunc
    @cython.exceptval(-1)
    def _store_run(
        self,
        row: cython.Py_ssize_t,
        data: cython.const[cython.uchar][::1],
        first: cython.int,
        last: cython.int,
        envelopes: list,
    ) -> cython.int:
        """Store the spans first … last, which stand side by side: in pieces that leave little of a segment's end empty."""
        at: cython.int[::1] = self._at
        i: cython.int
        for i in range(first + 1, last + 1):
            if at[i * WIDTH + STOP] - at[first * WIDTH + START] > self._segment // 8:
                self._store(row, data, first, i, envelopes)
                first = i
        return self._store(row, data, first, last + 1, envelopes)

    @cython.cfunc
    @cython.exceptval(-1)
    def _store(
        self,
        row: cython.Py_ssize_t,
        data: cython.const[cython.uchar][::1],
        first: cython.int,
        end: cython.int,
        envelopes: list,
    ) -> cython.int:
        """Store the spans first … end - 1, which stand side by side, as one fragment."""
        at: cython.int[::1] = self._at
        place: cython.Py_ssize_t = row * self._stride
        start: cython.Py_ssize_t = at[first * WIDTH + START]
        size: cython.Py_ssize_t = at[(end - 1) * WIDTH + STOP] - start
        scope: cython.int = at[first * WIDTH + ENVELOPE]
        if self._numbers[scope] < 0:
            self._numbers[scope] = self._number_of(envelopes[scope])
        envelope: cython.uint = self._numbers[scope]
        ids: cython.Py_ssize_t = 8 * (end - first)
        apart: cython.bint = size > self._segment // 8
        address: cython.Py_ssize_t = self._reserve(_FRAGMENT + ids + (0 if apart else size))
        j: cython.int
        self._note_use(place, address >> self._shift, envelope)
        _put64(self._arena, address, self._rows[place + _HEAD])
        _put32(self._arena, address + 8, size)
        _put32(self._arena, address + 12, envelope | _APART if apart else envelope)
        _put32(self._arena, address + 16, end - first)
        for j in range(end - first):
            _copy(self._arena, address + _FRAGMENT + 8 * j, data, at[(first + j) * WIDTH + SPAN], 8)
        if apart:
            self._apart[address] = bytes(data[start : start + size])
            self._apart_bytes += size
            self._rows[place + _STATUSES] |= _HAS_APART
        else:
            _copy(self._arena, address + _FRAGMENT + ids, data, start, size)
        self._rows[place + _HEAD] = address + 1
        self._rows[place + _FRAGMENTS] += 1
        self._measure(row, size, scope, envelopes)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _measure(
        self, row: cython.Py_ssize_t, size: cython.Py_ssize_t, scope: cython.int, envelopes: list
    ) -> cython.int:
        """Add to a trace's bytes those of its spans that were stored, and of what they stand in unless they share it with the
        spans before: as the Collector does, which copies the resource and the scope once for each request and trace."""
        place: cython.Py_ssize_t = row * self._stride
        group: cython.ulonglong = self._rows[place + _GROUP]
        inner: cython.Py_ssize_t
        before: cython.Py_ssize_t
        number: cython.ulonglong = scope
        known: cython.bint = group >> _GROUP_SHIFT == self._requests
        total: cython.Py_ssize_t = size
        if not known or group & 0xFFFFFF != number:
            envelope: tuple = envelopes[scope]
            inner = len(envelope[1]) + size
            total = 1 + _varint_size(inner) + inner
            before = group & 0xFFFFFF
            if not known or self._resource_of[before] != self._resource_of[scope]:
                inner = len(envelope[0]) + total
                total = 1 + _varint_size(inner) + inner
            self._rows[place + _GROUP] = self._requests << _GROUP_SHIFT | number
            if self._eager and not known:
                self._touched.append(row)
        self._rows[place + _BYTES] += total
        if self._trace_bytes_max and self._rows[place + _BYTES] > self._trace_bytes_max and not self._eager:
            self._touched.append(row)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _reserve(self, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Room for a fragment: its address."""
        segment: cython.Py_ssize_t
        assert size <= self._segment
        if self._here + size > self._stop:
            if self._warm:
                segment = self._warm.pop()
            elif self._cold:
                segment = self._cold.pop()
            else:
                segment = self._fresh
                self._fresh += 1
                assert self._fresh <= len(self._users), "the caller keeps the bytes under their bound"
                self._used_here.append([])
            self._taken += 1
            self._here = segment * self._segment
            self._stop = self._here + self._segment
        address: cython.Py_ssize_t = self._here
        self._here += size
        return address

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1)
    def _note_use(self, place: cython.Py_ssize_t, segment: cython.Py_ssize_t, envelope: cython.uint) -> cython.int:
        """A fragment of the trace in the row at `place`, standing in this envelope, goes into this segment. So a trace is
        taken out, and a segment freed, without looking at the fragments: each was a miss of the processor's cache."""
        one: cython.ulonglong = 1
        here: cython.ulonglong = segment
        if self._rows[place + _HEAD] == 0:
            self._rows[place + _SEGMENTS] = here << 32 | here
            self._rows[place + _FRAGMENTS] += one << 32
            self._users[segment] += 1
        elif self._rows[place + _SEGMENTS] & _HALF != here:
            self._rows[place + _SEGMENTS] = self._rows[place + _SEGMENTS] >> 32 << 32 | here
            self._rows[place + _FRAGMENTS] += one << 32
            self._users[segment] += 1
        if self._last_use[envelope] != segment:
            self._last_use[envelope] = segment
            self._uses[envelope] += 1
            self._used_here[segment].append(envelope)
        return 0

    @cython.cfunc
    def _free_segment(self, segment: cython.Py_ssize_t) -> cython.void:
        self._taken -= 1
        if len(self._warm) < self._warm_max:
            self._warm.append(segment)
        else:
            self._arena_memory.madvise(mmap.MADV_DONTNEED, segment * self._segment, self._segment)
            self._cold.append(segment)

    @cython.cfunc
    @cython.exceptval(-1)
    def _release_fragments(self, row: cython.Py_ssize_t) -> cython.int:
        place: cython.Py_ssize_t = row * self._stride
        segments: cython.ulonglong = self._rows[place + _FRAGMENTS] >> 32
        first: cython.Py_ssize_t = self._rows[place + _SEGMENTS] >> 32
        last: cython.Py_ssize_t = self._rows[place + _SEGMENTS] & _HALF
        segment: cython.Py_ssize_t = last
        at: cython.Py_ssize_t
        head: cython.ulonglong = self._rows[place + _HEAD]
        between: list = []
        if segments > 2 or self._rows[place + _STATUSES] & _HAS_APART:
            while head:
                at = head - 1
                head = _load64(self._arena, at)
                if _load32(self._arena, at + 12) & _APART:
                    self._apart_bytes -= _load32(self._arena, at + 8)
                    del self._apart[at]
                if at >> self._shift != segment:
                    segment = at >> self._shift
                    between.append(segment)
            if segments > 2:
                between.pop()  # the first one, as below
                for segment in between:  # only now: the memory of a segment that is left may be gone
                    self._leave_segment(segment)
        if segments > 1:
            self._leave_segment(last)
        if segments:
            self._leave_segment(first)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _leave_segment(self, segment: cython.Py_ssize_t) -> cython.int:
        """One trace less in this segment."""
        self._users[segment] -= 1
        if self._users[segment]:
            return 0
        for envelope in self._used_here[segment]:
            self._release_envelope(envelope)
        self._used_here[segment] = []
        if segment << self._shift < self._stop <= segment + 1 << self._shift:
            self._here = segment << self._shift  # the segment at hand: it begins anew
        else:
            self._free_segment(segment)
        return 0

    # ------------------------------------------------------------ envelopes

    @cython.cfunc
    @cython.exceptval(-1, check=True)
    def _number_of(self, envelope: tuple) -> cython.longlong:
        """The number of an envelope; the caller counts its use."""
        number = self._numbered.get(envelope)
        if number is None:
            if self._free_envelopes:
                number = self._free_envelopes.pop()
                self._envelopes[number] = envelope
            else:
                number = len(self._envelopes)
                self._envelopes.append(envelope)
                if number == len(self._uses):
                    self._uses = _doubled(self._uses)
                    self._last_use = _doubled(self._last_use)
            self._uses[number] = 0
            self._last_use[number] = -1
            self._numbered[envelope] = number
            self._envelope_bytes += ENVELOPE_BYTES + len(envelope[0]) + len(envelope[1])
        return number

    @cython.cfunc
    def _release_envelope(self, number: cython.Py_ssize_t) -> cython.void:
        self._uses[number] -= 1
        self._last_use[number] = -1
        if self._uses[number] == 0:
            envelope = self._envelopes[number]
            self._envelopes[number] = None
            del self._numbered[envelope]
            self._free_envelopes.append(number)
            self._envelope_bytes -= ENVELOPE_BYTES + len(envelope[0]) + len(envelope[1])

    # ------------------------------------------------------------ rows and index

    @cython.cfunc
    @cython.exceptval(check=False)
    @cython.overflowcheck(False)
    def _hash(self, low: cython.ulonglong, high: cython.ulonglong) -> cython.ulonglong:
        """32 bits of an id. With multipliers that are known, ids that differ by a multiple of one's inverse would share a place
        under every seed, and a request of them cost minutes."""
        value: cython.ulonglong = (low ^ self._seed) * self._spread & _MASK
        value = ((value ^ value >> 32) + high) * self._spread_2 & _MASK
        return value >> 32

    @cython.cfunc
    @cython.exceptval(check=False)
    def _slot(self, low: cython.ulonglong, high: cython.ulonglong) -> cython.Py_ssize_t:
        """Where the search for an id begins."""
        return self._hash(low, high) * len(self._index) >> 32

    @cython.cfunc
    @cython.exceptval(check=False)
    def _find(self, low: cython.ulonglong, high: cython.ulonglong) -> cython.Py_ssize_t:
        """The row of a trace; 0 if there is none. Rows of others are not looked at: each was a miss of the processor's cache."""
        wanted: cython.ulonglong = self._hash(low, high)
        size: cython.Py_ssize_t = len(self._index)
        at: cython.Py_ssize_t = wanted * size >> 32
        row: cython.Py_ssize_t
        entry: cython.ulonglong = self._index[at]
        while entry:
            if entry >> 32 == wanted:
                row = entry & _HALF
                if self._rows[row * self._stride + _LOW] == low and self._rows[row * self._stride + _HIGH] == high:
                    return row
            at = at + 1 if at + 1 < size else 0
            entry = self._index[at]
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _open(self, low: cython.ulonglong, high: cython.ulonglong, bucket: cython.longlong) -> cython.Py_ssize_t:
        """A row for a new trace, the last that is due in its bucket."""
        row: cython.Py_ssize_t = self._take_row()
        place: cython.Py_ssize_t = row * self._stride
        word: cython.int
        due: cython.ulonglong = bucket
        for word in range(self._stride):
            self._rows[place + word] = 0
        self._rows[place + _STATUSES] = (due & _BUCKET_MASK) << _BUCKET_SHIFT
        self._rows[place + _LOW] = low
        self._rows[place + _HIGH] = high
        self.count += 1
        if 2 * self.count > len(self._index):
            self._resize_index(2 * len(self._index))
        number: cython.ulonglong = row
        self._enter(self._hash(low, high) << 32 | number)
        if bucket != self._open_bucket:
            self._open_bucket_of(bucket)
        if self._open_last:
            self._rows[self._open_last * self._stride + _NEXT] = row
        else:
            self._first[bucket] = row
            heappush(self._buckets, bucket)
        self._open_last = row
        return row

    @cython.cfunc
    @cython.exceptval(-1)
    def _hasten(self, row: cython.Py_ssize_t, bucket: cython.longlong) -> cython.int:
        """The trace's root has come: it is due in this bucket, if that is before its own. It stands in both from then on."""
        place: cython.Py_ssize_t = row * self._stride
        state: cython.ulonglong = self._rows[place + _STATUSES]
        due: cython.ulonglong = bucket
        last: cython.Py_ssize_t
        if state & _HASTENED or due >= state >> _BUCKET_SHIFT:
            return 0
        self._rows[place + _STATUSES] = state & 0xFFFF | _HASTENED | due << _BUCKET_SHIFT
        self._rows[place + _NEXT_EARLY] = 0
        last = self._early_last.get(bucket, 0)
        if last:
            self._rows[last * self._stride + _NEXT_EARLY] = row
        else:
            self._early_first[bucket] = row
            heappush(self._early_buckets, bucket)
        self._early_last[bucket] = row
        return 0

    @cython.cfunc
    def _open_bucket_of(self, bucket: cython.longlong) -> cython.void:
        """Make this the bucket at hand."""
        if self._open_last:
            self._last[self._open_bucket] = self._open_last
        self._open_bucket = bucket
        self._open_last = self._last.get(bucket, 0)

    @cython.cfunc
    @cython.exceptval(-1)
    def _take_row(self) -> cython.Py_ssize_t:
        chunk: cython.Py_ssize_t = self._chunk
        row: cython.Py_ssize_t
        while self._chunk_used[chunk] == _CHUNK:
            chunk += 1
        self._chunk = chunk
        self._chunk_used[chunk] += 1
        row = self._chunk_free[chunk]
        if row:
            self._chunk_free[chunk] = self._rows[row * self._stride + _NEXT]
            return row
        row = chunk * _CHUNK + self._chunk_fresh[chunk]
        self._chunk_fresh[chunk] += 1
        return row

    @cython.cfunc
    def _free_row(self, row: cython.Py_ssize_t) -> cython.void:
        chunk: cython.Py_ssize_t = row // _CHUNK
        self._chunk_used[chunk] -= 1
        if self._chunk_used[chunk] == 0 and chunk > self._chunk + 1:
            self._chunk_free[chunk] = self._chunk_fresh[chunk] = 0
            size: cython.Py_ssize_t = _CHUNK * self._stride * 8
            self._rows_memory.madvise(mmap.MADV_DONTNEED, chunk * size, size)
        else:
            self._rows[row * self._stride + _NEXT] = self._chunk_free[chunk]
            self._chunk_free[chunk] = row
        self._chunk = min(self._chunk, chunk)

    @cython.cfunc
    def _enter(self, entry: cython.ulonglong) -> cython.void:
        at: cython.Py_ssize_t = (entry >> 32) * len(self._index) >> 32
        while self._index[at]:
            at = at + 1 if at + 1 < len(self._index) else 0
        self._index[at] = entry

    @cython.cfunc
    def _resize_index(self, size: cython.Py_ssize_t) -> cython.void:
        old: cython.ulonglong[::1] = self._index
        at: cython.Py_ssize_t
        self._index = array("Q", bytes(8 * size))
        for at in range(len(old)):
            if old[at]:
                self._enter(old[at])

    @cython.cfunc
    def _leave(self, row: cython.Py_ssize_t) -> cython.void:
        """Take a row out of the index, closing the gap behind it."""
        place: cython.Py_ssize_t = row * self._stride
        size: cython.Py_ssize_t = len(self._index)
        hole: cython.Py_ssize_t = self._slot(self._rows[place + _LOW], self._rows[place + _HIGH])
        home: cython.Py_ssize_t
        number: cython.ulonglong = row
        while self._index[hole] & _HALF != number:
            hole = hole + 1 if hole + 1 < size else 0
        at: cython.Py_ssize_t = hole
        while True:
            at = at + 1 if at + 1 < size else 0
            if not self._index[at]:
                break
            home = (self._index[at] >> 32) * size >> 32
            # it moves back into the hole unless its home lies behind the hole, up to where it stands
            if (hole < home <= at) if hole <= at else (hole < home or home <= at):
                continue
            self._index[hole] = self._index[at]
            hole = at
        self._index[hole] = 0

    # ------------------------------------------------------------ taking out

    def decide(
        self,
        program: Program,
        bucket_max: int,
        most: int,
        remember: Callable[[bytes, bool, int], None],
        now: float = 0.0,
        cause: int = names.DUE,
        stamp: int = 0,
        drop: bool = False,
        randomness: Callable[[bytes, bytes], int] | None = None,
    ) -> tuple[int, int, list[Kept]]:
        """Decide at most `most` traces of the buckets up to `bucket_max`, those first that are due first, and take them out.
        It is fewer when what is kept comes to limits.DECIDE_BYTES_AT_ONCE.

        (traces, spans dropped, those to be kept). With `drop` nobody is asked and none is kept. `remember(trace_id, keep, note)`
        is told of every one: the note is `stamp` and, in its ten lowest bits, the index of the deciding policy + 1. A consistent
        program is asked about all of them together: `randomness(trace_id, request)` reads what a trace brings of its own.
        """
        kept: list[Kept] = []
        dropped: cython.longlong = 0
        done: cython.Py_ssize_t = 0
        taken: cython.Py_ssize_t = 0
        row: cython.Py_ssize_t
        decider: cython.int
        why: cython.int
        nobody: cython.bint = drop
        program.begin(now)
        if program.consistent and not nobody:
            return self._decide_together(program, bucket_max, most, remember, cause, stamp, randomness)
        while done < most and taken < _TAKEN_MAX:
            row = self._next_due(bucket_max)
            if row == 0:
                break
            done += 1
            why = cause
            if why == _DUE and self._rows[row * self._stride + _STATUSES] & _GONE:
                why = _BY_ROOT
            if nobody:
                program.skip()
                decider = -1
            else:
                decider = program.evaluate(row * self._stride)
            if decider < 0:
                dropped += self._rows[row * self._stride + _SPANS]
            taken += self._part_with(program, row, decider, why, remember, stamp, kept)
        if self._gone > self.count + 2 * self._gone_kept + _CHUNK:
            self._sweep()
        return done, dropped, kept

    def settle(
        self, program: Program, remember: Callable[[bytes, bool, int], None], now: float = 0.0, stamp: int = 0
    ) -> tuple[int, int, list[Kept]]:
        """Decide those of the traces that the last request added to that are too large, or that are settled already if it was
        asked for to be eager. As `decide` tells it."""
        kept: list[Kept] = []
        dropped: cython.longlong = 0
        done: cython.Py_ssize_t = 0
        row: cython.Py_ssize_t
        place: cython.Py_ssize_t
        decider: cython.int
        why: cython.int
        touched = self._touched
        self._touched = []
        program.begin(now)
        for each in touched:
            row = each
            place = row * self._stride
            if self._rows[place + _STATUSES] & _GONE:
                continue
            if self._trace_bytes_max and self._rows[place + _BYTES] > self._trace_bytes_max:
                program.skip()
                decider, why = -1, _TOO_LARGE
            else:
                decider, why = program.evaluate_early(place), _INGEST
                if decider == -1:
                    continue
            done += 1
            if decider < 0:
                dropped += self._rows[place + _SPANS]
            self._rows[place + _STATUSES] |= _GONE
            self._gone += 1
            self._part_with(program, row, decider, why, remember, stamp, kept)
        if self._gone > self.count + 2 * self._gone_kept + _CHUNK:
            self._sweep()
        return done, dropped, kept

    @cython.cfunc
    def _decide_together(
        self,
        program: object,
        bucket_max: cython.longlong,
        most: cython.Py_ssize_t,
        remember: Any,
        cause: cython.int,
        stamp: cython.longlong,
        randomness: Any,
    ) -> tuple:
        """Decide traces by falling randomness: once to see how far the limiters reach, and once more to say so."""
        row: cython.Py_ssize_t
        due: list = []
        kept: list = []
        dropped: cython.longlong = 0
        decider: cython.int
        why: cython.int
        while len(due) < most:
            row = self._next_due(bucket_max)
            if row == 0:
                break
            due.append((self._randomness_of(program, row, randomness), -len(due), row))
        program.begin_round(False)
        for value, _, each in sorted(due, reverse=True):
            program.evaluate_random(each * self._stride, value)
        program.begin_round(True)
        for value, _, each in due:
            row = each
            decider = program.evaluate_random(row * self._stride, value)
            why = cause
            if why == _DUE and self._rows[row * self._stride + _STATUSES] & _GONE:
                why = _BY_ROOT
            if decider < 0:
                dropped += self._rows[row * self._stride + _SPANS]
            self._part_with(program, row, decider, why, remember, stamp, kept)
        if self._gone > self.count + 2 * self._gone_kept + _CHUNK:
            self._sweep()
        return len(due), dropped, kept

    @cython.cfunc
    def _randomness_of(self, program: object, row: cython.Py_ssize_t, randomness: Any) -> object:
        """The 56 bits that decide about a trace: the last seven bytes of its id, or what it brings."""
        mark: cython.longlong = program.random_mark
        trace_id = self._trace_id(row)
        if mark >= 0 and self._rows[self._marks_at(row * self._stride, mark >> 6)] >> (mark & 63) & 1:
            return randomness(trace_id, self._join(row))
        return int.from_bytes(trace_id[9:], "big")

    @cython.cfunc
    @cython.exceptval(-1)
    def _part_with(
        self,
        program: object,
        row: cython.Py_ssize_t,
        decider: cython.int,
        cause: cython.int,
        remember: Any,
        stamp: cython.longlong,
        kept: list,
    ) -> cython.Py_ssize_t:
        """A trace was decided, as the program has evaluated it last: take it out. The bytes that are kept of it."""
        size: cython.Py_ssize_t = 0
        place: cython.Py_ssize_t = row * self._stride
        trace_id = self._trace_id(row)
        policy: cython.longlong = decider if decider >= -1 else -2 - decider
        remember(trace_id, decider >= 0, stamp | policy + 1)
        program.note(place, decider, cause)
        if decider >= 0:
            spans = self._rows[place + _SPANS]
            ids = self._ids(row)
            request: bytes = self._join(row)
            size = len(request)
            kept.append(Kept(trace_id, request, spans, ids, decider, program.child, program.threshold))
        self._release(row)
        return size

    @cython.cfunc
    @cython.exceptval(-1)
    def _next_due(self, bucket_max: cython.longlong) -> cython.Py_ssize_t:
        """Take the row that is due first out of its bucket; 0 if none is due."""
        row: cython.Py_ssize_t
        while True:
            if self._early_buckets and (not self._buckets or self._early_buckets[0] <= self._buckets[0]):
                row = self._next_early(bucket_max)
            else:
                row = self._next_usual(bucket_max)
            if row >= 0:
                return row

    @cython.cfunc
    @cython.exceptval(-2)
    def _next_early(self, bucket_max: cython.longlong) -> cython.Py_ssize_t:
        """The same of those whose root has come; -1 for one that is gone already."""
        bucket: cython.longlong = self._early_buckets[0]
        if bucket > bucket_max:
            return 0
        row: cython.Py_ssize_t = self._early_first[bucket]
        place: cython.Py_ssize_t = row * self._stride
        if self._rows[place + _NEXT_EARLY]:
            self._early_first[bucket] = self._rows[place + _NEXT_EARLY]
        else:
            heappop(self._early_buckets)
            del self._early_first[bucket]
            del self._early_last[bucket]
        self._rows[place + _STATUSES] &= ~_HASTENED
        if self._rows[place + _STATUSES] & _GONE:
            return -1
        self._rows[place + _STATUSES] |= _GONE
        self._gone += 1
        return row

    @cython.cfunc
    @cython.exceptval(-2)
    def _next_usual(self, bucket_max: cython.longlong) -> cython.Py_ssize_t:
        """The same of all others; -1 for one that is gone, whose row is freed."""
        if not self._buckets:
            return 0
        bucket: cython.longlong = self._buckets[0]
        if bucket > bucket_max:
            return 0
        if bucket != self._due_bucket:
            if self._due_bucket in self._first:
                self._first[self._due_bucket] = self._due_row
            self._due_bucket, self._due_row = bucket, self._first[bucket]
        row: cython.Py_ssize_t = self._due_row
        self._due_row = self._rows[row * self._stride + _NEXT]
        if self._due_row == 0:
            heappop(self._buckets)
            del self._first[bucket]
            self._last.pop(bucket, None)
            self._due_bucket = -1
            if bucket == self._open_bucket:
                self._open_bucket, self._open_last = -1, 0
        if self._rows[row * self._stride + _STATUSES] & _GONE:
            self._gone -= 1
            self._free_row(row)
            return -1
        return row

    @cython.cfunc
    @cython.exceptval(-1)
    def _sweep(self) -> cython.int:
        """Free the rows of traces that are gone, all but those that still stand among the early ones. It looks at every row, and
        is done when more of them are gone than are not: left alone, they would fill the budget until their buckets are due."""
        if self._due_bucket in self._first:
            self._first[self._due_bucket] = self._due_row
        self._due_bucket = -1
        if self._open_last:
            self._last[self._open_bucket] = self._open_last
        self._open_bucket, self._open_last = -1, 0
        for bucket in list(self._first):
            self._sweep_bucket(bucket)
        self._buckets = [bucket for bucket in self._buckets if bucket in self._first]
        heapify(self._buckets)
        self._gone_kept = self._gone
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _sweep_bucket(self, bucket: object) -> cython.int:
        row: cython.Py_ssize_t = self._first[bucket]
        first: cython.Py_ssize_t = 0
        last: cython.Py_ssize_t = 0
        following: cython.Py_ssize_t
        state: cython.ulonglong
        while row:
            following = self._rows[row * self._stride + _NEXT]
            state = self._rows[row * self._stride + _STATUSES]
            if state & _GONE and not state & _HASTENED:
                self._gone -= 1
                self._free_row(row)
            else:
                if last:
                    self._rows[last * self._stride + _NEXT] = row
                else:
                    first = row
                last = row
            row = following
        if last:
            self._rows[last * self._stride + _NEXT] = 0
            self._first[bucket], self._last[bucket] = first, last
        else:
            del self._first[bucket]
            del self._last[bucket]
        return 0

    @cython.cfunc
    def _release(self, row: cython.Py_ssize_t) -> cython.void:
        if self._rows[row * self._stride + _SPANS] >= _SET_FROM and row in self._sets:
            self._set_ids -= len(self._sets.pop(row))
        self._release_fragments(row)
        self.spans -= self._rows[row * self._stride + _SPANS]
        self.count -= 1
        self._leave(row)
        if not self._rows[row * self._stride + _STATUSES] & _GONE:
            self._free_row(row)
        if 16 * self.count < len(self._index) > _INDEX_MIN:
            self._resize_index(len(self._index) // 4)

    @cython.cfunc
    def _trace_id(self, row: cython.Py_ssize_t) -> bytes:
        _put64(self._id, 0, self._rows[row * self._stride + _LOW])
        _put64(self._id, 8, self._rows[row * self._stride + _HIGH])
        return bytes(self._id_object)

    @cython.cfunc
    @cython.exceptval(-1)
    def _gather(self, row: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The addresses of the trace's fragments into _chain, oldest first; how many there are."""
        count: cython.Py_ssize_t = self._rows[row * self._stride + _FRAGMENTS] & _HALF
        head: cython.ulonglong = self._rows[row * self._stride + _HEAD]
        i: cython.Py_ssize_t
        if len(self._chain) < count or len(self._chain) > 1 << 16:
            self._chain = array("Q", bytes(8 * max(64, 2 * count)))
        for i in range(count):
            self._chain[count - 1 - i] = head - 1
            head = _load64(self._arena, head - 1)
        return count

    @cython.cfunc
    def _ids(self, row: cython.Py_ssize_t) -> bytes:
        """The span ids of the trace end to end, in the order in which they came."""
        count: cython.Py_ssize_t = self._gather(row)
        i: cython.Py_ssize_t
        self._clear_room(8 * self._rows[row * self._stride + _SPANS])
        for i in range(count):
            self._put(self._arena, self._chain[i] + _FRAGMENT, 8 * _load32(self._arena, self._chain[i] + 16))
        return bytes(self._room_view[: self._end])

    @cython.cfunc
    def _join(self, row: cython.Py_ssize_t) -> bytes:
        """One request holding the trace. Fragments side by side in the chain and in one envelope share one ResourceSpans."""
        count: cython.Py_ssize_t = self._gather(row)
        i: cython.Py_ssize_t
        j: cython.Py_ssize_t = 0
        size: cython.Py_ssize_t = 0
        number: cython.uint = _APART  # nobody's
        for i in range(count):
            size += _load32(self._arena, self._chain[i] + 8)
            if _load32(self._arena, self._chain[i] + 12) & ~_APART != number:
                number = _load32(self._arena, self._chain[i] + 12) & ~_APART
                envelope = self._envelopes[number]
                size += len(envelope[0]) + len(envelope[1]) + _HEADS_MAX
        self._clear_room(size)
        i = 0
        while i < count:
            number = _load32(self._arena, self._chain[i] + 12) & ~_APART
            size = 0
            j = i
            while j < count and _load32(self._arena, self._chain[j] + 12) & ~_APART == number:
                size += _load32(self._arena, self._chain[j] + 8)
                j += 1
            self._put_heads(self._envelopes[number], size)
            while i < j:
                self._put_fragment(self._chain[i])
                i += 1
        return bytes(self._room_view[: self._end])

    @cython.cfunc
    def _clear_room(self, size: cython.Py_ssize_t) -> cython.void:
        if size > len(self._room) or len(self._room) > _ROOM_KEPT:
            self._make_room(max(size, _ROOM_MIN))
        self._end = 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _put(
        self, source: cython.const[cython.uchar][::1], start: cython.Py_ssize_t, size: cython.Py_ssize_t
    ) -> cython.int:
        _copy(self._room, self._end, source, start, size)
        self._end += size
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _put_fragment(self, at: cython.Py_ssize_t) -> cython.int:
        size: cython.Py_ssize_t = _load32(self._arena, at + 8)
        if _load32(self._arena, at + 12) & _APART:
            return self._put(self._apart[at], 0, size)
        return self._put(self._arena, at + _FRAGMENT + 8 * _load32(self._arena, at + 16), size)

    @cython.cfunc
    @cython.exceptval(-1)
    def _put_heads(self, envelope: tuple, size: cython.Py_ssize_t) -> cython.int:
        """The beginning of one ResourceSpans that will hold `size` bytes of spans in this envelope."""
        resource: bytes = envelope[0]
        scope: bytes = envelope[1]
        inner: cython.Py_ssize_t = len(scope) + size
        self._put_head(_RESOURCE_SPANS, len(resource) + 1 + _varint_size(inner) + inner)
        self._put(resource, 0, len(resource))
        self._put_head(_SCOPE_SPANS, inner)
        return self._put(scope, 0, len(scope))

    @cython.cfunc
    @cython.exceptval(-1)
    def _put_head(self, tag: cython.uchar, length: cython.Py_ssize_t) -> cython.int:
        self._room[self._end] = tag
        self._end += 1
        while length > 0x7F:
            self._room[self._end] = length & 0x7F | 0x80
            length >>= 7
            self._end += 1
        self._room[self._end] = length
        self._end += 1
        return 0


def segment_bytes(bytes_max: int) -> int:
    """The size of a segment for a budget: small enough that one is little of it, a multiple of the system's pages."""
    size = mmap.PAGESIZE
    while size < limits.ARENA_SEGMENT_BYTES and 256 * size < bytes_max:
        size *= 2
    return size


def _reserve_memory(size: int) -> mmap.mmap:
    """Address space that takes no memory until it is written to."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE
    return mmap.mmap(-1, -(-size // mmap.PAGESIZE) * mmap.PAGESIZE, flags=flags)


def _doubled(numbers: Any) -> array[int]:
    """An array with twice as many numbers, the first half as they were."""
    grown = array("i", bytes(8 * len(numbers)))
    memoryview(grown)[: len(numbers)] = memoryview(numbers)
    return grown


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _varint_size(value: cython.Py_ssize_t) -> cython.Py_ssize_t:
    size: cython.Py_ssize_t = 1
    while value > 0x7F:
        value >>= 7
        size += 1
    return size


@cython.cfunc
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _filter_bit(span_id: cython.ulonglong) -> cython.ulonglong:
    one: cython.ulonglong = 1
    return one << ((span_id * _SPREAD & _MASK) >> 58)


# Reading and writing the arena. Every access is checked, against the ends of the arena, in every form. The compiled form moves
# words as little-endian machines keep them (others run uncompiled); byte by byte it took 300 instructions a span more.


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=True)
def _load64(data: cython.const[cython.uchar][::1], at: cython.Py_ssize_t) -> cython.ulonglong:
    if at < 0 or at + 8 > len(data):
        raise IndexError(_PAST_THE_END)
    if not cython.compiled:
        return int.from_bytes(data[at : at + 8], "little")
    value: cython.ulonglong = 0
    memcpy(cython.address(value), cython.address(data[at]), 8)
    return value


@cython.cfunc
@cython.inline
@cython.exceptval(-1, check=True)
def _load32(data: cython.const[cython.uchar][::1], at: cython.Py_ssize_t) -> cython.uint:
    if at < 0 or at + 4 > len(data):
        raise IndexError(_PAST_THE_END)
    if not cython.compiled:
        return int.from_bytes(data[at : at + 4], "little")
    value: cython.uint = 0
    memcpy(cython.address(value), cython.address(data[at]), 4)
    return value


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _put64(data: cython.uchar[::1], at: cython.Py_ssize_t, value: cython.ulonglong) -> cython.int:
    if at < 0 or at + 8 > len(data):
        raise IndexError(_PAST_THE_END)
    if cython.compiled:
        memcpy(cython.address(data[at]), cython.address(value), 8)
    else:
        data[at : at + 8] = value.to_bytes(8, "little")
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _put32(data: cython.uchar[::1], at: cython.Py_ssize_t, value: cython.uint) -> cython.int:
    if at < 0 or at + 4 > len(data):
        raise IndexError(_PAST_THE_END)
    if cython.compiled:
        memcpy(cython.address(data[at]), cython.address(value), 4)
    else:
        data[at : at + 4] = value.to_bytes(4, "little")
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _copy(
    target: cython.uchar[::1],
    to: cython.Py_ssize_t,
    source: cython.const[cython.uchar][::1],
    start: cython.Py_ssize_t,
    size: cython.Py_ssize_t,
) -> cython.int:
    if start < 0 or start + size > len(source) or to < 0 or to + size > len(target):
        raise IndexError(_PAST_THE_END)
    if cython.compiled:
        if size:
            memcpy(cython.address(target[to]), cython.address(source[start]), size)
    else:
        target[to : to + size] = source[start : start + size]
    return 0
