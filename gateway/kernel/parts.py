"""Divide one request among owners: each gets a request of its own, the spans byte for byte, in their envelopes.

Spans are copied straight from the request into place; envelopes are repeated for every owner that needs them. The owner of a
trace is what a slot table says for the hash of its id: who stands behind a number, and why, is not known here.
"""

from __future__ import annotations

from array import array

import cython

from gateway.errors import TooLargeError
from gateway.otlp import schema

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
    from cython.cimports.libc.string import memcpy

WIDTH = cython.declare(cython.int, 8)  # the columns of gateway.kernel.scan; tests/gateway/kernel holds them together
START = cython.declare(cython.int, 0)
STOP = cython.declare(cython.int, 2)
TRACE = cython.declare(cython.int, 3)
ENVELOPE = cython.declare(cython.int, 5)

# Columns of one owner.
_OWNER_WIDTH = cython.declare(cython.int, 5)
_SPANS = cython.declare(cython.int, 0)
_BYTES = cython.declare(cython.int, 1)  # of its whole request
_WRITTEN = cython.declare(cython.int, 2)
_HERE = cython.declare(cython.int, 3)  # bytes of spans in the scope at hand
_PLACE = cython.declare(cython.int, 4)  # in the order in which owners first come

# Columns of one section: what one owner gets of one scope.
_SECTION_WIDTH = cython.declare(cython.int, 3)
_SCOPE = cython.declare(cython.int, 0)
_OWNER = cython.declare(cython.int, 1)
_SIZE = cython.declare(cython.int, 2)  # bytes of spans

_ROWS_KEPT = cython.declare(cython.Py_ssize_t, 65_536)  # room for more is given back with the next request

_RESOURCE_SPANS = cython.declare(cython.uchar, 0x0A)
_SCOPE_SPANS = cython.declare(cython.uchar, 0x12)
assert (_RESOURCE_SPANS, _SCOPE_SPANS) == (schema.RESOURCE_SPANS_TAG, schema.SCOPE_SPANS_TAG)

_MASK = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_EVERY_OTHER_BYTE = cython.declare(cython.ulonglong, 0x00FF00FF00FF00FF)
_EVERY_OTHER_PAIR = cython.declare(cython.ulonglong, 0x0000FFFF0000FFFF)
_HALF = cython.declare(cython.ulonglong, 0xFFFFFFFF)
# XXH3's constants for inputs of 9 to 16 bytes and seed 0 (xxHash specification, "XXH3 Algorithm Overview")
_FLIP_LOW = cython.declare(cython.ulonglong, 0x1F67B3B7A4A44072 ^ 0x78E5C0CC4EE679CB)
_FLIP_LOW_SWAPPED = cython.declare(cython.ulonglong, 0xB93942EA7B738267)
_FLIP_HIGH = cython.declare(cython.ulonglong, 0x2172FFCC7DD05A82 ^ 0x8E2443F7744608B8)
_MIX = cython.declare(cython.ulonglong, 0x165667919E3779F9)


@cython.cclass
class Parts:
    """Divides what a gateway.kernel.scan.Spans has just read. Its workspace is used again and again."""

    _scanned: object
    _columns: object
    _table: object
    _at: cython.int[::1]  # the columns of the spans
    _slots: cython.const[cython.int][::1]
    _owner_of: cython.int[::1]  # by span
    _sections: cython.longlong[::1]
    _owners: cython.longlong[::1]
    _order: list  # the owners of the request at hand, as they first come
    _bodies: list  # what is written for each of them

    def __init__(self, spans: object) -> None:
        self._scanned = spans
        self._columns = self._table = None
        self._owner_of = array("i")
        self._sections = self._owners = array("q")
        self._order, self._bodies = [], []

    def divide(
        self, request: bytes, table: object, owners: int, envelope_bytes_max: int
    ) -> list[tuple[int, bytes, int]]:
        """(owner, request, spans) for every owner of a span, in the order in which they first come.

        `request` is what was read last. `table` is an array("i") of owners below `owners`, indexed by slot, that does not
        change. Raises TooLargeError, before anything is copied, when the envelopes, repeated for each owner, would take more
        than `envelope_bytes_max`.
        """
        columns = self._scanned.shared()[0]
        if columns is not self._columns:
            self._columns, self._at = columns, columns
        if table is not self._table:
            self._table, self._slots = table, table
        count: cython.Py_ssize_t = self._scanned.found()[0]
        self._make_room(count, owners)
        envelopes: list = self._scanned.scopes()
        sections: cython.Py_ssize_t = self._assign(request, count, envelopes, owners, envelope_bytes_max)
        owner: cython.Py_ssize_t
        self._bodies = []
        for owner in self._order:
            self._bodies.append(_new_body(self._owners[owner * _OWNER_WIDTH + _BYTES]))
        self._write(request, count, envelopes, sections)
        return self._finish()

    @cython.cfunc
    @cython.exceptval(-1)
    def _make_room(self, count: cython.Py_ssize_t, owners: cython.Py_ssize_t) -> cython.int:
        """Clean the workspace (the last request may have ended anywhere) and make it large enough."""
        owner: cython.Py_ssize_t
        column: cython.Py_ssize_t
        for owner in self._order:
            for column in range(owner * _OWNER_WIDTH, (owner + 1) * _OWNER_WIDTH):
                self._owners[column] = 0
        self._order = []
        if len(self._owners) < _OWNER_WIDTH * owners:
            self._owners = array("q", bytes(8 * _OWNER_WIDTH * owners))
        if len(self._owner_of) < count or len(self._owner_of) > _ROWS_KEPT:
            self._owner_of = array("i", bytes(4 * (2 * count if 2 * count < _ROWS_KEPT else count)))
        if len(self._sections) > _SECTION_WIDTH * _ROWS_KEPT:
            self._sections = array("q")
        return 0

    @cython.cfunc
    def _finish(self) -> list:
        owner: cython.Py_ssize_t
        row: cython.Py_ssize_t
        divided: list = []
        for owner in self._order:
            row = owner * _OWNER_WIDTH
            if self._owners[row + _WRITTEN] != self._owners[row + _BYTES]:
                raise AssertionError("the kernel has not written every byte that it promised")
            body = self._bodies[self._owners[row + _PLACE]]
            divided.append((owner, body if cython.compiled else bytes(body), self._owners[row + _SPANS]))
        self._bodies = []
        return divided

    # ------------------------------------------------------------ who gets what

    @cython.cfunc
    @cython.exceptval(-1)
    def _assign(
        self,
        request: bytes,
        count: cython.Py_ssize_t,
        envelopes: list,
        owner_count: cython.Py_ssize_t,
        envelope_bytes_max: cython.Py_ssize_t,
    ) -> cython.Py_ssize_t:
        """Find every span's owner and what each owner gets; how many sections there are. HOT: the loop runs once per span."""
        at: cython.int[::1] = self._at
        owner_of: cython.int[::1] = self._owner_of
        owners: cython.longlong[::1] = self._owners
        slots: cython.const[cython.int][::1] = self._slots
        slot_count: cython.ulonglong = len(slots)
        if slot_count == 0 and count:
            raise IndexError("an empty table has no owners")
        i: cython.Py_ssize_t
        row: cython.Py_ssize_t
        slot: cython.Py_ssize_t
        owner: cython.int
        own: cython.Py_ssize_t
        scope: cython.Py_ssize_t = -1
        sections: cython.Py_ssize_t = 0
        copied: cython.Py_ssize_t = 0
        here: list = []  # the owners in the scope at hand
        for i in range(count):
            row = i * WIDTH
            if at[row + ENVELOPE] != scope:
                sections = self._close_scope(scope, here, envelopes, sections)
                copied += _repeated(scope, here, envelopes)
                scope = at[row + ENVELOPE]
                here = []
                if copied > envelope_bytes_max:
                    break
            slot = _hash(request, at[row + TRACE]) % slot_count
            owner = slots[slot]
            if not 0 <= owner < owner_count:
                raise IndexError("the table names an owner that there is not")
            own = owner * _OWNER_WIDTH
            if owners[own + _HERE] == 0:
                here.append(owner)
                if owners[own + _SPANS] == 0:
                    owners[own + _PLACE] = len(self._order)
                    self._order.append(owner)
            owner_of[i] = owner
            owners[own + _SPANS] += 1
            owners[own + _HERE] += at[row + STOP] - at[row + START]
        sections = self._close_scope(scope, here, envelopes, sections)
        copied += _repeated(scope, here, envelopes)
        if copied > envelope_bytes_max:
            raise TooLargeError(
                f"its resources and scopes would take {copied} bytes, repeated for each sampler and scope"
            )
        return sections

    @cython.cfunc
    @cython.exceptval(-1)
    def _close_scope(
        self, scope: cython.Py_ssize_t, here: list, envelopes: list, sections: cython.Py_ssize_t
    ) -> cython.Py_ssize_t:
        """Note what each owner gets of this scope; how many sections there are now."""
        owner: cython.Py_ssize_t
        own: cython.Py_ssize_t
        row: cython.Py_ssize_t
        spans: cython.Py_ssize_t
        outer: cython.Py_ssize_t
        if scope < 0:
            return sections
        resource: cython.Py_ssize_t = len(envelopes[scope][0])
        inner: cython.Py_ssize_t = len(envelopes[scope][1])
        self._grow_sections(sections, len(here))
        for owner in here:
            own = owner * _OWNER_WIDTH
            spans = self._owners[own + _HERE]
            outer = resource + 1 + _varint_size(inner + spans) + inner + spans
            self._owners[own + _BYTES] += 1 + _varint_size(outer) + outer
            self._owners[own + _HERE] = 0
            row = sections * _SECTION_WIDTH
            self._sections[row + _SCOPE] = scope
            self._sections[row + _OWNER] = owner
            self._sections[row + _SIZE] = spans
            sections += 1
        return sections

    @cython.cfunc
    @cython.exceptval(-1)
    def _grow_sections(self, used: cython.Py_ssize_t, more: cython.Py_ssize_t) -> cython.int:
        grown: cython.longlong[::1]
        if len(self._sections) < _SECTION_WIDTH * (used + more):
            grown = array("q", bytes(8 * _SECTION_WIDTH * (2 * (used + more) + 16)))
            if used:
                grown[: _SECTION_WIDTH * used] = self._sections[: _SECTION_WIDTH * used]
            self._sections = grown
        return 0

    # ------------------------------------------------------------ copying

    @cython.cfunc
    @cython.exceptval(-1)
    def _write(
        self, request: bytes, count: cython.Py_ssize_t, envelopes: list, sections: cython.Py_ssize_t
    ) -> cython.int:
        """Copy everything into place. Spans side by side in the request and of one owner are copied at once. HOT."""
        at: cython.int[::1] = self._at
        owner_of: cython.int[::1] = self._owner_of
        i: cython.Py_ssize_t
        row: cython.Py_ssize_t
        owner: cython.Py_ssize_t = -1
        start: cython.Py_ssize_t = 0
        stop: cython.Py_ssize_t = -1
        scope: cython.Py_ssize_t = -1
        section: cython.Py_ssize_t = 0
        for i in range(count):
            row = i * WIDTH
            if owner_of[i] != owner or at[row + START] != stop or at[row + ENVELOPE] != scope:
                if stop >= 0:
                    self._put(owner, request, start, stop - start)
                if at[row + ENVELOPE] != scope:
                    scope = at[row + ENVELOPE]
                    section = self._open_scope(scope, section, sections, envelopes)
                owner = owner_of[i]
                start = at[row + START]
            stop = at[row + STOP]
        if stop >= 0:
            self._put(owner, request, start, stop - start)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _open_scope(
        self, scope: cython.Py_ssize_t, section: cython.Py_ssize_t, sections: cython.Py_ssize_t, envelopes: list
    ) -> cython.Py_ssize_t:
        """Write the envelope for every owner in this scope; the section after theirs."""
        resource: bytes = envelopes[scope][0]
        inner: bytes = envelopes[scope][1]
        owner: cython.Py_ssize_t
        body: cython.Py_ssize_t
        while section < sections and self._sections[section * _SECTION_WIDTH + _SCOPE] == scope:
            owner = self._sections[section * _SECTION_WIDTH + _OWNER]
            body = len(inner) + self._sections[section * _SECTION_WIDTH + _SIZE]
            self._put_head(owner, _RESOURCE_SPANS, len(resource) + 1 + _varint_size(body) + body)
            self._put(owner, resource, 0, len(resource))
            self._put_head(owner, _SCOPE_SPANS, body)
            self._put(owner, inner, 0, len(inner))
            section += 1
        return section

    @cython.cfunc
    @cython.exceptval(-1)
    def _put_head(self, owner: cython.Py_ssize_t, tag: cython.uchar, length: cython.Py_ssize_t) -> cython.int:
        """A tag and a length, at the place where this owner's request goes on."""
        own: cython.Py_ssize_t = owner * _OWNER_WIDTH
        body: bytes = self._bodies[self._owners[own + _PLACE]]
        pos: cython.Py_ssize_t = self._owners[own + _WRITTEN]
        _put_byte(body, pos, tag)
        pos += 1
        while length > 0x7F:
            _put_byte(body, pos, length & 0x7F | 0x80)
            length >>= 7
            pos += 1
        _put_byte(body, pos, length)
        self._owners[own + _WRITTEN] = pos + 1
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1)
    def _put(
        self, owner: cython.Py_ssize_t, source: bytes, start: cython.Py_ssize_t, size: cython.Py_ssize_t
    ) -> cython.int:
        """Copy source[start:start + size] to the place where this owner's request goes on."""
        own: cython.Py_ssize_t = owner * _OWNER_WIDTH
        body: bytes = self._bodies[self._owners[own + _PLACE]]
        pos: cython.Py_ssize_t = self._owners[own + _WRITTEN]
        if not (0 <= size <= len(source) and 0 <= start <= len(source) - size and 0 <= pos <= len(body) - size):
            raise IndexError("the kernel would copy past an end")
        if cython.compiled:
            memcpy(PyBytes_AS_STRING(body) + pos, PyBytes_AS_STRING(source) + start, size)
        else:
            body[pos : pos + size] = source[start : start + size]
        self._owners[own + _WRITTEN] = pos + size
        return 0


@cython.cfunc
def _new_body(size: cython.Py_ssize_t) -> object:
    """So many bytes to write on: until `divide` gives them out, nobody else sees them, though they are `bytes` when compiled."""
    if cython.compiled:
        return PyBytes_FromStringAndSize(cython.NULL, size)
    return bytearray(size)


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _put_byte(body: bytes, pos: cython.Py_ssize_t, value: cython.uchar) -> cython.int:
    if not 0 <= pos < len(body):
        raise IndexError("the kernel would write past the end")
    if cython.compiled:
        PyBytes_AS_STRING(body)[pos] = value
    else:
        body[pos] = value
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _repeated(scope: cython.Py_ssize_t, here: list, envelopes: list) -> cython.Py_ssize_t:
    """Bytes of the scope's envelope for all owners in it."""
    return 0 if scope < 0 else len(here) * (len(envelopes[scope][0]) + len(envelopes[scope][1]))


def slot_of(trace_id: bytes, slots: int) -> int:
    """The slot of a trace: xxh3 (64 bits, seed 0) of its 16 bytes of id, modulo the number of slots."""
    if len(trace_id) != 16 or slots <= 0:
        raise ValueError("a trace id has 16 bytes, and a ring a slot or more")
    return _hash(trace_id, 0) % cython.cast(cython.ulonglong, slots)


@cython.cfunc
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(0, check=True)
def _hash(data: bytes, at: cython.Py_ssize_t) -> cython.ulonglong:
    """XXH3_64bits of the 16 bytes at `at`."""
    low: cython.ulonglong = _load64(data, at)
    high: cython.ulonglong = _load64(data, at + 8) ^ _FLIP_HIGH
    swapped: cython.ulonglong = _swapped(low) ^ _FLIP_LOW_SWAPPED
    value: cython.ulonglong = 16 + swapped + high + _folded_product(low ^ _FLIP_LOW, high) & _MASK
    value = (value ^ value >> 37) * _MIX & _MASK
    return value ^ value >> 32


@cython.cfunc
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _folded_product(a: cython.ulonglong, b: cython.ulonglong) -> cython.ulonglong:
    """Both halves of the 128-bit product, xored."""
    if not cython.compiled:
        return (a * b & _MASK) ^ (a * b >> 64)
    low: cython.ulonglong = (a & _HALF) * (b & _HALF)
    one: cython.ulonglong = (a >> 32) * (b & _HALF)
    two: cython.ulonglong = (a & _HALF) * (b >> 32)
    cross: cython.ulonglong = (low >> 32) + (one & _HALF) + two
    return (cross << 32 | low & _HALF) ^ ((one >> 32) + (cross >> 32) + (a >> 32) * (b >> 32))


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


@cython.cfunc
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _swapped(value: cython.ulonglong) -> cython.ulonglong:
    """The bytes of the number the other way round."""
    if not cython.compiled:
        return int.from_bytes(value.to_bytes(8, "little"), "big")
    value = (value & _EVERY_OTHER_BYTE) << 8 | value >> 8 & _EVERY_OTHER_BYTE
    value = (value & _EVERY_OTHER_PAIR) << 16 | value >> 16 & _EVERY_OTHER_PAIR
    return value << 32 | value >> 32


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def _varint_size(value: cython.Py_ssize_t) -> cython.Py_ssize_t:
    size: cython.Py_ssize_t = 1
    while value > 0x7F:
        value >>= 7
        size += 1
    return size
