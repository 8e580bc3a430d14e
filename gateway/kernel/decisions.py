"""What was decided of past traces: keep or drop and a note, in 20 bytes a trace, the least recently asked for forgotten first.

A trace is known by a 64-bit hash of its id: among a million remembered ones a new trace is taken for one of them once in 10^13.
Recency is kept as a second chance: a trace that was asked for since it joined the queue goes back to its beginning when it
reaches the end.
"""

from __future__ import annotations

from array import array

import cython

if cython.compiled:
    from cython.cimports.libc.string import memcpy

_SIZE_MIN = cython.declare(cython.Py_ssize_t, 4096)
_TOUCHED = cython.declare(cython.ulonglong, 1)
_MASK = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_KEY = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFE)
_MIX_1 = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)  # odd, without pattern: the multipliers of SplitMix64
_MIX_2 = cython.declare(cython.ulonglong, 0xBF58476D1CE4E5B9)
_MIX_3 = cython.declare(cython.ulonglong, 0x94D049BB133111EB)

# One queue for each kind of decision, dropped (0) and kept (1), described by six numbers.
_NUMBERS = cython.declare(cython.int, 6)
_BASE = cython.declare(cython.int, 0)  # where its places begin
_SIZE = cython.declare(cython.int, 1)  # how many places it has now; it grows up to its capacity
_CAPACITY = cython.declare(cython.int, 2)
_OLDEST = cython.declare(cython.int, 3)  # the first place in use, counted from the base
_USED = cython.declare(cython.int, 4)  # places in use, those of withdrawn decisions included
_COUNT = cython.declare(cython.int, 5)


@cython.cclass
class Decisions:
    """Past decisions by trace id: at most `kept_max` and `dropped_max` of each kind. `seed` makes the hashes unforeseeable."""

    _seed: cython.ulonglong
    _queue: cython.longlong[::1]  # see above, twice
    _places: cython.ulonglong[::1]  # hashes, the lowest bit set when asked for; 0 where one was withdrawn
    _notes: cython.uint[::1]  # by place
    _index: cython.uint[::1]  # open addressing: place + 1, 0 for none; twice as long as there are places

    def __init__(self, kept_max: int, dropped_max: int, seed: int = 0) -> None:
        assert 1 <= kept_max < 1 << 30 and 1 <= dropped_max < 1 << 30
        self._seed = seed
        self._queue = array("q", bytes(2 * 6 * 8))
        self._queue[_CAPACITY] = dropped_max
        self._queue[_NUMBERS + _CAPACITY] = kept_max
        self._resize(min(dropped_max, _SIZE_MIN), min(kept_max, _SIZE_MIN))

    @property
    def kept(self) -> int:
        """How many kept traces are remembered."""
        return self._queue[_NUMBERS + _COUNT]

    @property
    def dropped(self) -> int:
        """How many traces decided against are remembered."""
        return self._queue[_COUNT]

    @property
    def bytes(self) -> int:
        """What the memory takes."""
        return 12 * len(self._places) + 4 * len(self._index)

    def remember(self, trace_id: bytes, keep: bool, note: cython.uint = 0) -> None:
        """Remember the decision, in place of any earlier one on this trace. What the note (32 bits) means is the caller's."""
        key: cython.ulonglong = self._key(trace_id)
        kind: cython.int = _NUMBERS if keep else 0
        at: cython.Py_ssize_t = self._find(key)
        place: cython.Py_ssize_t
        if self._index[at]:
            place = self._index[at]
            place -= 1
            if self._kind_of(place) == kind:
                self._places[place] |= _TOUCHED
                self._notes[place] = note
                return
            self._forget(at, place)
        self._make_place(kind)
        self._append(key, kind, note)

    def recall(self, trace_id: bytes) -> bool | None:
        """Whether the trace was kept; None if there is no memory of it. Asking keeps the memory fresh."""
        at: cython.Py_ssize_t = self._find(self._key(trace_id))
        place: cython.Py_ssize_t = self._index[at]
        if not place:
            return None
        self._places[place - 1] |= _TOUCHED
        return self._kind_of(place - 1) != 0

    def note(self, trace_id: bytes) -> int:
        """The note on a trace; 0 if there is no memory of it."""
        place: cython.Py_ssize_t = self._index[self._find(self._key(trace_id))]
        return self._notes[place - 1] if place else 0

    @cython.cfunc
    @cython.overflowcheck(False)
    def _key(self, trace_id: bytes) -> cython.ulonglong:
        if len(trace_id) != 16:
            raise ValueError("a trace id has 16 bytes")
        low: cython.ulonglong = 0
        high: cython.ulonglong = 0
        if cython.compiled:
            raw: cython.p_const_uchar = (
                trace_id  # a pointer: acquiring a view of 16 bytes costs more than all else here
            )
            memcpy(cython.address(low), raw, 8)
            memcpy(cython.address(high), raw + 8, 8)
        else:
            low, high = int.from_bytes(trace_id[:8], "little"), int.from_bytes(trace_id[8:], "little")
        value: cython.ulonglong = (low ^ self._seed) * _MIX_1 & _MASK
        value = ((value ^ value >> 32) + high) * _MIX_2 & _MASK
        value = (value ^ value >> 29) * _MIX_3 & _MASK
        value = (value ^ value >> 32) & _KEY
        return value or 2  # 0 stands for nothing

    @cython.cfunc
    @cython.exceptval(check=False)
    def _kind_of(self, place: cython.Py_ssize_t) -> cython.int:
        return _NUMBERS if place >= self._queue[_NUMBERS + _BASE] else 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def _home(self, key: cython.ulonglong) -> cython.Py_ssize_t:
        """Where in the index the search for a hash begins: its upper half, scaled to the index."""
        return (key >> 32) * len(self._index) >> 32

    @cython.cfunc
    @cython.exceptval(check=False)
    def _find(self, key: cython.ulonglong) -> cython.Py_ssize_t:
        """The place in the index that points to this hash, or the empty one where it would stand."""
        at: cython.Py_ssize_t = self._home(key)
        while self._index[at] and self._places[self._index[at] - 1] & _KEY != key:
            at += 1
            if at == len(self._index):
                at = 0
        return at

    @cython.cfunc
    def _append(self, value: cython.ulonglong, kind: cython.int, note: cython.uint) -> cython.void:
        """To the end of the queue, where a place is free: a hash, its lowest bit set when it was asked for."""
        queue: cython.longlong[::1] = self._queue
        place: cython.Py_ssize_t = queue[kind + _OLDEST] + queue[kind + _USED]
        if place >= queue[kind + _SIZE]:
            place -= queue[kind + _SIZE]
        place += queue[kind + _BASE]
        self._places[place] = value
        self._notes[place] = note
        self._index[self._find(value & _KEY)] = place + 1
        queue[kind + _USED] += 1
        queue[kind + _COUNT] += 1

    @cython.cfunc
    def _forget(self, hole: cython.Py_ssize_t, place: cython.Py_ssize_t) -> cython.void:
        """Empty a place, and its place in the index, closing the gap behind that."""
        size: cython.Py_ssize_t = len(self._index)
        at: cython.Py_ssize_t = hole
        home: cython.Py_ssize_t
        self._places[place] = 0
        self._queue[self._kind_of(place) + _COUNT] -= 1
        while True:
            at = at + 1 if at + 1 < size else 0
            if not self._index[at]:
                break
            home = self._home(self._places[self._index[at] - 1] & _KEY)
            # it moves back into the hole unless its home lies behind the hole, up to where it stands
            if (hole < home <= at) if hole <= at else (hole < home or home <= at):
                continue
            self._index[hole] = self._index[at]
            hole = at
        self._index[hole] = 0

    @cython.cfunc
    def _make_place(self, kind: cython.int) -> cython.void:
        """A free place in the queue, forgetting the oldest that nobody asked for."""
        queue: cython.longlong[::1] = self._queue
        value: cython.ulonglong
        note: cython.uint
        place: cython.Py_ssize_t
        if queue[kind + _USED] < queue[kind + _SIZE]:
            return
        if queue[kind + _SIZE] < queue[kind + _CAPACITY]:
            twice = min(2 * queue[kind + _SIZE], queue[kind + _CAPACITY])
            self._resize(queue[_SIZE] if kind else twice, twice if kind else queue[_NUMBERS + _SIZE])
            return
        while queue[kind + _USED] == queue[kind + _SIZE]:
            place = queue[kind + _BASE] + queue[kind + _OLDEST]
            value = self._places[place]
            note = self._notes[place]
            if value:
                self._forget(self._find(value & _KEY), place)
            queue[kind + _OLDEST] = queue[kind + _OLDEST] + 1 if queue[kind + _OLDEST] + 1 < queue[kind + _SIZE] else 0
            queue[kind + _USED] -= 1
            if value & _TOUCHED:
                self._append(value & _KEY, kind, note)

    @cython.cfunc
    def _resize(self, dropped: cython.Py_ssize_t, kept: cython.Py_ssize_t) -> cython.void:
        """Move everything into queues of so many places, oldest first."""
        places: cython.ulonglong[::1] = self._places if self._queue[_SIZE] else array("Q")
        notes: cython.uint[::1] = self._notes if self._queue[_SIZE] else array("I")
        at: cython.Py_ssize_t
        before: cython.longlong[::1] = array("q", self._queue)
        kind: cython.int
        i: cython.Py_ssize_t
        value: cython.ulonglong
        self._places = array("Q", bytes(8 * (dropped + kept)))
        self._notes = array("I", bytes(4 * (dropped + kept)))
        self._index = array("I", bytes(8 * (dropped + kept) + 8))
        self._queue[_SIZE], self._queue[_NUMBERS + _SIZE] = dropped, kept
        self._queue[_NUMBERS + _BASE] = dropped
        for kind in (0, 6):
            self._queue[kind + _OLDEST] = self._queue[kind + _USED] = self._queue[kind + _COUNT] = 0
            for i in range(before[kind + _USED]):
                at = before[kind + _BASE] + (before[kind + _OLDEST] + i) % before[kind + _SIZE]
                value = places[at]
                if value:
                    self._append(value, kind, notes[at])
