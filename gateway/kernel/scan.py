"""Scan one request: where each span stands, whose it is, in which envelope, and the facts that policies ask of it.

Nothing is decoded, nothing copied but the envelopes; every length is checked against the end that it must not pass. What is
found lies in columns that the other parts of the kernel read and that the next request overwrites. Nothing here knows owners,
traces that wait, or policies.
"""

from __future__ import annotations

from array import array

import cython

from gateway import limits
from gateway.errors import MalformedRequestError
from gateway.otlp import schema

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING
    from cython.cimports.libc.string import memcpy

# Columns of one span: positions in the request, the index of its envelope, its status code (-1 when it is none of OTLP's).
WIDTH = cython.declare(cython.int, 8)
START = cython.declare(cython.int, 0)  # the field with its tag and length
BODY = cython.declare(cython.int, 1)  # the Span message
STOP = cython.declare(cython.int, 2)
TRACE = cython.declare(cython.int, 3)  # its 16 bytes of trace id
SPAN = cython.declare(cython.int, 4)  # its 8 bytes of span id
ENVELOPE = cython.declare(cython.int, 5)
STATUS = cython.declare(cython.int, 6)
ROOT = cython.declare(cython.int, 7)  # 1 when it names no parent

# Numbers from gateway.otlp.schema as C integers; the assertions keep them one fact.
_VARINT = cython.declare(cython.uint, 0)
_FIXED64 = cython.declare(cython.uint, 1)
_LENGTH = cython.declare(cython.uint, 2)
_GROUP_START = cython.declare(cython.uint, 3)
_GROUP_END = cython.declare(cython.uint, 4)
_FIXED32 = cython.declare(cython.uint, 5)
_SCOPE_SPANS_TAG = cython.declare(cython.uint, 0x12)
_SPANS_TAG = cython.declare(cython.uint, 0x12)
_TRACE_ID_TAG = cython.declare(cython.uint, 0x0A)
_SPAN_ID_TAG = cython.declare(cython.uint, 0x12)
_START_TIME_TAG = cython.declare(cython.uint, 0x39)
_END_TIME_TAG = cython.declare(cython.uint, 0x41)
_PARENT_TAG = cython.declare(cython.uint, 0x22)
_STATUS_TAG = cython.declare(cython.uint, 0x7A)
_STATUS_CODE_TAG = cython.declare(cython.uint, 0x18)
assert (_VARINT, _FIXED64, _LENGTH) == (schema.VARINT, schema.FIXED64, schema.LENGTH)
assert (_GROUP_START, _GROUP_END, _FIXED32) == (schema.GROUP_START, schema.GROUP_END, schema.FIXED32)
assert (_SCOPE_SPANS_TAG, _SPANS_TAG) == (schema.SCOPE_SPANS_TAG, schema.SPANS_TAG)
assert (_TRACE_ID_TAG, _SPAN_ID_TAG) == (schema.TRACE_ID_TAG, schema.SPAN_ID_TAG)
assert (_START_TIME_TAG, _END_TIME_TAG) == (schema.START_TIME_TAG, schema.END_TIME_TAG)
assert _PARENT_TAG == schema.PARENT_SPAN_ID_TAG
assert (_STATUS_TAG, _STATUS_CODE_TAG) == (schema.STATUS_TAG, schema.STATUS_CODE_TAG)
assert schema.RESOURCE_SPANS_LENGTH_FIELDS == schema.SCOPE_SPANS_LENGTH_FIELDS == {1, 2, 3}
assert schema.RESOURCE_SPANS_FIELD == 1

_VARINT_BYTES_MAX = cython.declare(cython.int, 10)
_SHORT_BYTES_MAX = cython.declare(cython.int, 5)  # tags and lengths have 32 bits; official parsers refuse longer ones
_NESTING_MAX = cython.declare(cython.int, limits.FIELD_NESTING_MAX)
_USUAL_HEAD = cython.declare(cython.int, 31)  # tag, two bytes of length, 2 + 16 of trace id, 2 + 8 of span id
_USUAL_IDS = cython.declare(cython.int, 28)  # how far those of a usual span reach
_ZERO_TRACE, _ZERO_SPAN = bytes(schema.TRACE_ID_BYTES), bytes(schema.SPAN_ID_BYTES)
_BYTES_MAX = cython.declare(cython.Py_ssize_t, 0x7FFFFFFF)  # protobuf's own bound, and what the columns can hold
_ROWS_MIN = cython.declare(cython.int, 512)
_ROWS_KEPT = cython.declare(cython.int, 65_536)  # columns for more spans are given back with the next request

Envelope = tuple[bytes, bytes]
"""What spans stand in, as raw protobuf fields exactly as they came: every field of ResourceSpans but scope_spans, and every
field of ScopeSpans but spans. Equal envelopes may share one ResourceSpans."""


@cython.cclass
class Spans:
    """The valid spans of the last request that was read. With `facts` their times and status codes too."""

    count: cython.Py_ssize_t
    rejected: cython.Py_ssize_t
    reason: str
    envelopes: list
    columns: object
    times: object
    _facts: cython.bint
    _room: cython.Py_ssize_t
    _at: cython.int[::1]
    _time: cython.ulonglong[::1]
    _value: cython.ulonglong
    _start: cython.Py_ssize_t
    _trace: cython.Py_ssize_t
    _span: cython.Py_ssize_t
    _start_time: cython.ulonglong
    _end_time: cython.ulonglong
    _status: cython.ulonglong
    _parent_at: cython.Py_ssize_t  # where the parent's id stands, and how long it is
    _parent_size: cython.Py_ssize_t

    def __init__(self, *, facts: bool) -> None:
        self._facts = facts
        self._clear()
        self._make_room(_ROWS_MIN)

    def found(self) -> tuple[int, int, str]:
        """(valid spans, rejected ones, what was wrong with the first of those)."""
        return self.count, self.rejected, self.reason

    def scopes(self) -> list[Envelope]:
        """The envelopes, one for each ScopeSpans with a valid span, in order."""
        return self.envelopes

    def shared(self) -> tuple[object, object]:
        """The columns and the times (start, end by turns), for the rest of the kernel; other objects after they have grown."""
        return self.columns, self.times

    def rows(self) -> list[tuple[int, ...]]:
        """Each span as (start, body, stop, trace at, span at, envelope, status, start time, end time, root)."""
        i: cython.Py_ssize_t
        rows = []
        for i in range(self.count):
            row = [self._at[i * WIDTH + column] for column in range(7)]
            rows.append((*row, self._time[2 * i], self._time[2 * i + 1], self._at[i * WIDTH + ROOT]))
        return rows

    def read(self, request: bytes) -> int:
        """Walk the request once; how many valid spans it has. Raises MalformedRequestError (with the byte offset) if its
        framing cannot be read.

        A span whose trace id is not 16 bytes or is zero, or whose span id is not 8 bytes or is zero, is left out and counted.
        """
        at: cython.Py_ssize_t = 0
        end: cython.Py_ssize_t = len(request)
        field_at: cython.Py_ssize_t
        tag: cython.uint
        self._clear()
        if self._room > _ROWS_KEPT:
            self._make_room(_ROWS_MIN)
        if end > _BYTES_MAX:
            raise MalformedRequestError(f"over {_BYTES_MAX} bytes, which no message may have", _BYTES_MAX)
        while at < end:
            field_at = at
            at = self._tag(request, at, end)
            tag = self._value
            if tag >> 3 != 1:
                at = self._skip(
                    request, at, end, tag, 0
                )  # a field of the request itself belongs to no span: it ends here
                continue
            _expect_length(tag, field_at)
            at = self._length(request, at, end)
            self._resource_spans(request, self._start, at)
        return self.count

    @cython.cfunc
    @cython.exceptval(-1)
    def _clear(self) -> cython.int:
        self.count = self.rejected = 0
        self.reason = ""
        self.envelopes = []
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _make_room(self, spans: cython.Py_ssize_t) -> cython.int:
        """Columns for so many spans, those found so far in them."""
        columns, times = array("i", bytes(4 * WIDTH * spans)), array("Q", bytes(16 * spans))
        at: cython.int[::1] = columns
        time: cython.ulonglong[::1] = times
        if self.count:
            at[: WIDTH * self.count] = self._at[: WIDTH * self.count]
            time[: 2 * self.count] = self._time[: 2 * self.count]
        self.columns, self.times, self._at, self._time, self._room = columns, times, at, time, spans
        return 0

    # ------------------------------------------------------------ the messages around spans

    @cython.cfunc
    @cython.exceptval(-1)
    def _resource_spans(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        field_at: cython.Py_ssize_t
        tag: cython.uint
        before: cython.Py_ssize_t
        index: cython.Py_ssize_t
        fields: list = []
        first: cython.Py_ssize_t = len(self.envelopes)
        while at < end:
            field_at = at
            at = self._tag(data, at, end)
            tag = self._value
            if tag >> 3 <= 3:
                _expect_length(tag, field_at)
            if tag != _SCOPE_SPANS_TAG:
                at = self._skip(data, at, end, tag, 0)
                fields.append(data[field_at:at])
                continue
            at = self._length(data, at, end)
            before = self.count
            scope = self._scope_spans(data, self._start, at)
            if self.count > before:
                self.envelopes.append(scope)
        resource = fields[0] if len(fields) == 1 else b"".join(fields)
        for index in range(first, len(self.envelopes)):
            self.envelopes[index] = (resource, self.envelopes[index])
        return 0

    @cython.cfunc
    def _scope_spans(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> bytes:
        """The scope's own fields; its spans go into the columns."""
        field_at: cython.Py_ssize_t
        body: cython.Py_ssize_t
        tag: cython.uint
        fields: list = []
        while at < end:
            at = self._usual_spans(data, at, end)
            if at == end:
                break
            field_at = at
            at = self._tag(data, at, end)
            tag = self._value
            if tag >> 3 <= 3:
                _expect_length(tag, field_at)
            if tag != _SPANS_TAG:
                at = self._skip(data, at, end, tag, 0)
                fields.append(data[field_at:at])
                continue
            at = self._length(data, at, end)
            body = self._start
            wrong = self._ids(data, body, at)
            if wrong is None:
                self._add(data, field_at, body, at)
            else:
                self.rejected += 1
                self.reason = self.reason or wrong
        return fields[0] if len(fields) == 1 else b"".join(fields)

    # ------------------------------------------------------------ spans

    @cython.cfunc
    @cython.exceptval(-1)
    def _usual_spans(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Add the spans from `at` on that begin as every SDK writes them; where the first that does not begins, or `end`.

        Usual: a two-byte length (128 to 16,383), trace id first, span id second, both valid. HOT.
        """
        usual_end: cython.Py_ssize_t = end - _USUAL_HEAD
        body: cython.Py_ssize_t
        stop: cython.Py_ssize_t
        low: cython.int
        high: cython.int
        while at <= usual_end:
            low, high = data[at + 1], data[at + 2]
            if data[at] != _SPANS_TAG or low < 0x80 or high > 0x7F:
                break
            body = at + 3
            stop = body + (low & 0x7F | high << 7)
            if stop > end or stop < at + _USUAL_HEAD:
                break
            if not _is_usual_head(data, body) or _is_zero_trace(data, body + 2) or _is_zero_span(data, body + 20):
                break
            self._trace, self._span = body + 2, body + 20
            self._add(data, at, body, stop)
            at = stop
        return at

    @cython.cfunc
    def _ids(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> object:
        """Find the ids of the Span message at data[at:end]; what is wrong with them, None if nothing.

        Behind a usual head nothing is looked at; else the ids stand anywhere, and the last of each counts.
        """
        tag: cython.uint
        trace_length: cython.Py_ssize_t = 0
        span_length: cython.Py_ssize_t = 0
        if end - at >= _USUAL_IDS and _is_usual_head(data, at):
            self._trace, self._span = at + 2, at + 20
            trace_length, span_length = 16, 8
            at = end
        while at < end:
            at = self._tag(data, at, end)
            tag = self._value
            if tag == _TRACE_ID_TAG:
                at = self._length(data, at, end)
                self._trace, trace_length = self._start, at - self._start
            elif tag == _SPAN_ID_TAG:
                at = self._length(data, at, end)
                self._span, span_length = self._start, at - self._start
            else:
                at = self._skip(data, at, end, tag, 0)
        if trace_length != 16:
            return f"trace id of {trace_length} bytes, must be 16"
        if _is_zero_trace(data, self._trace):
            return "trace id is zero"
        if span_length != 8:
            return f"span id of {span_length} bytes, must be 8"
        return "span id is zero" if _is_zero_span(data, self._span) else None

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1)
    def _add(
        self, data: bytes, start: cython.Py_ssize_t, body: cython.Py_ssize_t, stop: cython.Py_ssize_t
    ) -> cython.int:
        """Take the span whose ids were found into the columns."""
        count: cython.Py_ssize_t = self.count
        if count == self._room:
            self._make_room(2 * count)
        row: cython.Py_ssize_t = count * WIDTH
        self._at[row + START] = start
        self._at[row + BODY] = body
        self._at[row + STOP] = stop
        self._at[row + TRACE] = self._trace
        self._at[row + SPAN] = self._span
        self._at[row + ENVELOPE] = len(self.envelopes)
        if self._facts:
            # ids in their usual place need not be passed again
            self._read_facts(
                data, body + _USUAL_IDS if self._trace == body + 2 and self._span == body + 20 else body, stop
            )
            self._at[row + STATUS] = self._status if self._status <= 2 else -1
            self._at[row + ROOT] = self._names_no_parent(data)
            self._time[2 * count] = self._start_time
            self._time[2 * count + 1] = self._end_time
        self.count = count + 1
        return 0

    # ------------------------------------------------------------ facts

    @cython.cfunc
    @cython.exceptval(-1)
    def _read_facts(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """The times and the status code of the Span message at data[at:end]; 0 where it names none.

        Reading stops at the first byte that is not protobuf: what was read before counts, for what is inside a span never
        costs the span.
        """
        self._start_time = self._end_time = self._status = 0
        self._parent_at = self._parent_size = 0
        at = self._usual_fields(data, at, end)
        if at < end:
            try:
                self._any_fields(data, at, end)
            except MalformedRequestError:
                return 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _names_no_parent(self, data: bytes) -> cython.int:
        """Whether the span whose facts were read is a root: its parent's id is not there, or nothing but zeros."""
        i: cython.Py_ssize_t
        if self._parent_size == 8:
            return _is_zero_span(data, self._parent_at)
        for i in range(self._parent_at, self._parent_at + self._parent_size):
            if data[i]:
                return 0
        return 1

    @cython.cfunc
    @cython.exceptval(-1)
    def _usual_fields(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the fields from `at` on that are written as every SDK writes them; where the first that is not begins, or `end`.

        Usual: tags and lengths of at most two bytes, numbers of one, a status of nothing but a code. HOT.
        """
        pos: cython.Py_ssize_t
        size: cython.Py_ssize_t
        tag: cython.uint
        while at < end:
            tag = data[at]
            pos = at + 1
            if tag > 0x7F:
                if pos == end or data[pos] > 0x7F:
                    break
                tag = tag & 0x7F | data[pos] << 7
                pos += 1
            if tag < 8 or pos == end:
                break
            if tag & 7 == _LENGTH:
                size = data[pos]
                pos += 1
                if size > 0x7F:
                    if pos == end or data[pos] > 0x7F:
                        break
                    size = size & 0x7F | data[pos] << 7
                    pos += 1
                if size > end - pos:
                    break
                if tag == _STATUS_TAG and size:
                    if size != 2 or data[pos] != _STATUS_CODE_TAG or data[pos + 1] > 0x7F:
                        break
                    self._status = data[pos + 1]
                elif tag == _PARENT_TAG:
                    self._parent_at, self._parent_size = pos, size
                at = pos + size
            elif tag & 7 == _FIXED64:
                if end - pos < 8:
                    break
                if tag == _START_TIME_TAG:
                    self._start_time = _load64(data, pos)
                elif tag == _END_TIME_TAG:
                    self._end_time = _load64(data, pos)
                at = pos + 8
            elif tag & 7 == _FIXED32 and end - pos >= 4:
                at = pos + 4
            elif tag & 7 == _VARINT and data[pos] <= 0x7F:
                at = pos + 1
            else:
                break
        return at

    @cython.cfunc
    @cython.exceptval(-1)
    def _any_fields(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Read the fields from `at` on, however they are written."""
        tag: cython.uint
        while at < end:
            at = self._tag(data, at, end)
            tag = self._value
            if tag == _STATUS_TAG:
                at = self._length(data, at, end)
                self._read_status(data, self._start, at)
            elif tag == _PARENT_TAG:
                at = self._length(data, at, end)
                self._parent_at, self._parent_size = self._start, at - self._start
            elif tag == _START_TIME_TAG and end - at >= 8:
                self._start_time = _load64(data, at)
                at += 8
            elif tag == _END_TIME_TAG and end - at >= 8:
                self._end_time = _load64(data, at)
                at += 8
            else:
                at = self._skip(data, at, end, tag, 0)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _read_status(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """The code in the Status message at data[at:end]; as it was if it names none (sub-messages given twice merge)."""
        code: cython.ulonglong = self._status
        tag: cython.uint
        while at < end:
            at = self._tag(data, at, end)
            tag = self._value
            if tag == _STATUS_CODE_TAG:
                at = self._varint(data, at, end, _VARINT_BYTES_MAX)
                code = (
                    self._value & 0xFFFFFFFF
                )  # an enum has 32 bits; what is beyond them is cut off, as official parsers do
            else:
                at = self._skip(data, at, end, tag, 0)
        self._status = code
        return 0

    # ------------------------------------------------------------ framing

    @cython.cfunc
    @cython.exceptval(-1)
    def _varint(
        self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, most: cython.int
    ) -> cython.Py_ssize_t:
        """Read the varint at `at` into _value; where it ends. Values keep 64 bits, as protobuf does."""
        value: cython.ulonglong = 0
        shift: cython.int = 0
        byte: cython.ulonglong
        pos: cython.Py_ssize_t = at
        while pos < end and pos - at < most:
            byte = data[pos]
            pos += 1
            value |= (byte & (1 if shift == 63 else 0x7F)) << shift
            if byte < 0x80:
                self._value = value
                return pos
            shift += 7
        raise MalformedRequestError("truncated varint" if end - at < most else f"varint of over {most} bytes", at)

    @cython.cfunc
    @cython.exceptval(-1)
    def _tag(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the tag (field number << 3 | wire type) at `at` into _value; where it ends."""
        pos: cython.Py_ssize_t = self._varint(data, at, end, _SHORT_BYTES_MAX)
        if not 1 <= self._value >> 3 <= 0x1FFFFFFF:
            raise MalformedRequestError(f"field number {self._value >> 3} is not possible", at)
        return pos

    @cython.cfunc
    @cython.exceptval(-1)
    def _length(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """The end of the value whose length stands at `at`; its beginning goes into _start."""
        start: cython.Py_ssize_t = self._varint(data, at, end, _SHORT_BYTES_MAX)
        left: cython.ulonglong = end - start
        if self._value > left:
            raise MalformedRequestError(f"length {self._value} passes the end ({left} bytes left)", at)
        self._start = start
        return start + self._value

    @cython.cfunc
    @cython.exceptval(-1)
    def _skip(
        self,
        data: bytes,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        tag: cython.uint,
        depth: cython.int,
    ) -> cython.Py_ssize_t:
        """Where the value after `tag`, which begins at `at`, ends."""
        wire_type: cython.uint = tag & 7
        if wire_type == _VARINT:
            return self._varint(data, at, end, _VARINT_BYTES_MAX)
        if wire_type == _LENGTH:
            return self._length(data, at, end)
        if wire_type == _GROUP_START:
            return self._skip_group(data, at, end, tag >> 3, depth + 1)
        if wire_type != _FIXED64 and wire_type != _FIXED32:
            raise MalformedRequestError(f"wire type {wire_type} is not possible here", at)
        size: cython.Py_ssize_t = 8 if wire_type == _FIXED64 else 4
        if size > end - at:
            raise MalformedRequestError("truncated fixed-size value", at)
        return at + size

    @cython.cfunc
    @cython.exceptval(-1)
    def _skip_group(
        self,
        data: bytes,
        at: cython.Py_ssize_t,
        end: cython.Py_ssize_t,
        field: cython.uint,
        depth: cython.int,
    ) -> cython.Py_ssize_t:
        tag: cython.uint
        if depth > _NESTING_MAX:
            raise MalformedRequestError("groups nested too deep", at)
        while at < end:
            at = self._tag(data, at, end)
            tag = self._value
            if tag & 7 == _GROUP_END:
                if tag >> 3 != field:
                    raise MalformedRequestError("group ends under another field number", at)
                return at
            at = self._skip(data, at, end, tag, depth)
        raise MalformedRequestError("truncated group", at)


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _expect_length(tag: cython.uint, at: cython.Py_ssize_t) -> cython.int:
    if tag & 7 != _LENGTH:
        raise MalformedRequestError(
            f"field {tag >> 3} has wire type {tag & 7} where OTLP has a message or a string", at
        )
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _is_usual_head(data: bytes, at: cython.Py_ssize_t) -> cython.int:
    """Whether the bytes at `at` begin a trace id of 16 bytes and, behind it, a span id of 8."""
    return data[at] == _TRACE_ID_TAG and data[at + 1] == 16 and data[at + 18] == _SPAN_ID_TAG and data[at + 19] == 8


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _is_zero_trace(data: bytes, at: cython.Py_ssize_t) -> cython.int:
    if cython.compiled:
        return _load64(data, at) == 0 and _load64(data, at + 8) == 0
    return data.startswith(_ZERO_TRACE, at)


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _is_zero_span(data: bytes, at: cython.Py_ssize_t) -> cython.int:
    if cython.compiled:
        return _load64(data, at) == 0
    return data.startswith(_ZERO_SPAN, at)


@cython.cfunc
@cython.inline
@cython.exceptval(0, check=True)
def _load64(data: bytes, at: cython.Py_ssize_t) -> cython.ulonglong:
    """The eight bytes at `at`, least significant first (what compiles runs on such machines alone)."""
    value: cython.ulonglong = 0
    if not 0 <= at <= len(data) - 8:
        raise IndexError("the kernel would read past the end")
    if cython.compiled:
        memcpy(cython.address(value), PyBytes_AS_STRING(data) + at, 8)
        return value
    return int.from_bytes(data[at : at + 8], "little")
