"""Ask of each span what policies want to know of single spans: a second pass over its fields, which gives its marks.

A plan is a list of probes: a judge each, and the raw values that it judges by. Judges are slow, so their answers are
remembered by the values: a mask of marks each time the same values are seen again. What only concerns the envelope is found
out once for each envelope. Nothing here knows policies, traces, or what a value means; a span that cannot be read to its end is
asked about what stands before that.
"""

from __future__ import annotations

from array import array
from typing import Any

import cython

from gateway import limits
from gateway.kernel.names import RESOURCE, SCOPE, SPAN, Look, Plan, Probe
from gateway.otlp import schema

if cython.compiled:
    from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
    from cython.cimports.libc.string import memcmp, memcpy

WIDTH = cython.declare(cython.int, 8)  # the columns of gateway.kernel.scan; tests/gateway/kernel holds them together
BODY = cython.declare(cython.int, 1)
STOP = cython.declare(cython.int, 2)
TRACE = cython.declare(cython.int, 3)
SPAN_ID = cython.declare(cython.int, 4)
ENVELOPE = cython.declare(cython.int, 5)

_RESOURCE = cython.declare(cython.int, 0)
_SCOPE = cython.declare(cython.int, 1)
_SPAN = cython.declare(cython.int, 2)
assert (_RESOURCE, _SCOPE, _SPAN) == (RESOURCE, SCOPE, SPAN)

_VARINT = cython.declare(cython.uint, 0)
_FIXED64 = cython.declare(cython.uint, 1)
_LENGTH = cython.declare(cython.uint, 2)
_GROUP_START = cython.declare(cython.uint, 3)
_GROUP_END = cython.declare(cython.uint, 4)
_FIXED32 = cython.declare(cython.uint, 5)
_FIRST_TAG = cython.declare(cython.uint, 0x0A)  # of the resource in ResourceSpans, the scope in ScopeSpans, a trace id
_SPAN_ID_TAG = cython.declare(cython.uint, 0x12)
_KEY_TAG = cython.declare(cython.uint, 0x0A)
_VALUE_TAG = cython.declare(cython.uint, 0x12)
assert (_VARINT, _FIXED64, _LENGTH) == (schema.VARINT, schema.FIXED64, schema.LENGTH)
assert (_GROUP_START, _GROUP_END, _FIXED32) == (schema.GROUP_START, schema.GROUP_END, schema.FIXED32)
assert (_FIRST_TAG, _FIRST_TAG) == (schema.RESOURCE_FIELD << 3 | schema.LENGTH, schema.SCOPE_FIELD << 3 | schema.LENGTH)
assert (_FIRST_TAG, _SPAN_ID_TAG) == (schema.TRACE_ID_TAG, schema.SPAN_ID_TAG)
assert (_KEY_TAG, _VALUE_TAG) == (schema.KEY_TAG, schema.VALUE_TAG)

_WIRE_TYPES = (schema.RESOURCE_WIRE_TYPES, schema.SCOPE_WIRE_TYPES, schema.SPAN_WIRE_TYPES)
_REPEATED = (schema.RESOURCE_REPEATED, schema.SCOPE_REPEATED, schema.SPAN_REPEATED)
_ATTRIBUTES = (schema.RESOURCE_ATTRIBUTES, schema.SCOPE_ATTRIBUTES, schema.SPAN_ATTRIBUTES)

_VARINT_BYTES_MAX = cython.declare(cython.int, 10)
_SHORT_BYTES_MAX = cython.declare(cython.int, 5)  # of tags and lengths
_NESTING_MAX = cython.declare(cython.int, limits.FIELD_NESTING_MAX)
_USUAL_IDS = cython.declare(cython.int, 28)  # how far the ids of a span reach that begins with them
_TAGS = cython.declare(cython.int, 256)  # every field that may be asked for has a tag below this
_ROWS_MIN = cython.declare(cython.Py_ssize_t, 512)
_ROWS_KEPT = cython.declare(cython.Py_ssize_t, 65_536)  # marks of more spans are given back with the next request

_VALUES_BYTES_MAX = cython.declare(cython.Py_ssize_t, 1024)  # longer values are hardly ever the same twice
_ENVELOPE_BYTES_MAX = cython.declare(cython.Py_ssize_t, 16_384)  # and of an envelope
_MEMO_BYTES_MAX = cython.declare(cython.Py_ssize_t, limits.MEMO_BYTES_MAX)
_ENTRY_BYTES = cython.declare(
    cython.Py_ssize_t, 200
)  # what an answer takes besides its values: a key, an answer, a place
_SLOT_BYTES = cython.declare(cython.Py_ssize_t, 16)

# Before the memos stand two tables of what was asked lately, by their bytes in the request: there no object is made of them.
# One has whole fields, of which a single probe wants to know one; the other whatever else was asked.
_RECENT = cython.declare(cython.Py_ssize_t, 8192)
_RECENT_SHIFT = cython.declare(cython.int, 51)
assert _RECENT == 1 << 64 - _RECENT_SHIFT
_RECENT_BYTES_MAX = cython.declare(cython.Py_ssize_t, 128)
_MASK = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_MIX_1 = cython.declare(cython.ulonglong, 0x9E3779B97F4A7C15)  # odd, without pattern: the multipliers of SplitMix64
_MIX_2 = cython.declare(cython.ulonglong, 0xBF58476D1CE4E5B9)


@cython.final
@cython.cclass
class _Standing:
    """What an envelope gives to all spans in it."""

    always: bytes  # the marks that each of them has
    waits: cython.bint  # whether any probe is `waiting`
    values: list  # by slot, of the looks at resource and scope
    numbers: list  # by slot: one for each value, never given again
    waiting: list  # probes that set marks even where none of what they look at in a span is there
    absent: list  # and which marks each of these sets then


@cython.final
@cython.cclass
class Matcher:
    """Asks the probes of a plan of what a gateway.kernel.scan.Spans has read. Its workspace is used again and again.

    A slot is a look that at least one probe has; those at resources and scopes come first.
    """

    _words: cython.Py_ssize_t
    _count: cython.Py_ssize_t  # spans
    _room: cython.Py_ssize_t
    _marks: cython.ulonglong[::1]
    _shared: object
    _columns: object
    _at: cython.int[::1]

    # probes: their looks as slots, end to end
    _probes: cython.Py_ssize_t
    _judges: list
    _looks_at: cython.int[::1]
    _looks: cython.int[::1]
    _alone: cython.int[::1]  # the slot of its only look if it is quick: its memo goes by that value; else -1
    _remembers: cython.int[::1]  # 1 where answers are remembered
    _of_span: cython.int[::1]  # 1 where any look is at the span
    _asked: cython.longlong[::1]  # when it was asked last

    # slots
    _outer: cython.Py_ssize_t  # how many are of resources and scopes
    _at_resources: cython.bint  # whether any is
    _at_scopes: cython.bint
    _slots: cython.Py_ssize_t
    _where: cython.int[::1]
    _tag_of: cython.int[::1]
    _repeats: cython.int[::1]  # 1 where all fields of the tag are looked at
    _quick: cython.int[::1]  # the probe that answers as soon as the value is found, -1 for none
    _keys: list
    _next_key: cython.int[::1]  # the slot with the next key in the same bucket
    _askers_at: cython.int[::1]
    _askers: cython.int[::1]  # the probes that look at it, end to end

    # by RESOURCE, SCOPE, SPAN
    _wanted: cython.int[::1]  # slot by tag, -1 for none
    _buckets: cython.int[::1]  # slot by bucket of a key
    _keyed: cython.int[::1]  # the tag of attributes if keys are looked for in them, else 0
    _enough: cython.int[::1]  # how many values end the walk; -1 where later ones may replace them

    # what the walk at hand has found
    _now: cython.longlong  # its number
    _seen: cython.longlong[::1]  # by slot: in which walk it was found last
    _field_at: cython.Py_ssize_t[::1]
    _start: cython.Py_ssize_t[::1]  # -1 where repeated fields are scattered
    _stop: cython.Py_ssize_t[::1]
    _found: cython.int[::1]
    _founds: cython.int
    _keys_found: cython.int
    _row: cython.Py_ssize_t  # where the marks of the span at hand are
    _body: cython.Py_ssize_t
    _walked: cython.Py_ssize_t  # how far the message could be read
    _value: cython.ulonglong
    _tag: cython.ulonglong
    _begin: cython.Py_ssize_t
    _key: cython.Py_ssize_t
    _key_stop: cython.Py_ssize_t
    _content: cython.Py_ssize_t
    _content_stop: cython.Py_ssize_t
    _standing: _Standing

    # memory
    _nothing: bytes
    _memo_max: cython.Py_ssize_t
    _memos: list  # by probe: answers by values, or None; then standings by envelope, and _outer_values
    _outer_values: dict  # values in envelopes: themselves, and their numbers
    _outer_numbers: cython.ulonglong  # ever given
    _held: cython.longlong[::1]  # bytes, by memo
    _held_all: cython.Py_ssize_t
    _field: list
    _field_slot: cython.int[::1]
    _field_marks: cython.ulonglong[::1]
    _case_probe: cython.int[::1]
    _case_values: list
    _case_answer: list

    def __init__(self, plan: Plan, memo_max: int = limits.MEMO_MAX) -> None:
        """Raises ValueError for a look at a field that there is not."""
        assert memo_max > 0
        self._words = max(1, -(-plan.marks // 64))
        self._nothing = bytes(8 * self._words)
        self._columns = None
        self._room = self._count = 0
        self._memo_max = memo_max
        looks = _looked_at(plan)
        self._take_probes(plan.probes, looks)
        self._take_slots(looks)
        self._find_quick()
        self._take_memory(plan.probes)
        self._make_room(0)

    @property
    def words(self) -> int:
        """How many 64-bit words of marks a span has."""
        return self._words

    def shared(self) -> object:
        """The marks, `words` for each span in the order of the columns, least first; another object after it has grown."""
        return self._shared

    def masks(self) -> list[int]:
        """Each span's marks as one number."""
        masks = []
        i: cython.Py_ssize_t
        for i in range(self._count):
            mask = 0
            for word in reversed(self._shared[i * self._words : (i + 1) * self._words]):
                mask = mask << 64 | word
            masks.append(mask)
        return masks

    def remembered(self) -> tuple[int, int]:
        """(answers, bytes) in memory."""
        return sum([len(memo) for memo in self._memos if memo is not None]), self._held_all

    def read(self, request: bytes, spans: object) -> None:
        """Fill in the marks of each span that `spans`, a Spans, has found in this request: call it after spans.read(request).

        Nothing in a request makes this raise; what a judge raises goes through.
        """
        count: cython.Py_ssize_t = spans.found()[0]
        self._make_room(count)
        self._count = count
        if self._probes == 0:
            return
        columns = spans.shared()[0]
        if columns is not self._columns:
            self._columns, self._at = columns, columns
        self._read(request, spans.scopes())

    # ------------------------------------------------------------ the plan

    @cython.cfunc
    @cython.exceptval(-1)
    def _take_probes(self, probes: tuple, looks: dict) -> cython.int:
        self._probes = len(probes)
        self._judges = [probe.judge for probe in probes]
        each = [[looks[look] for look in probe.looks] for probe in probes]
        self._looks_at, self._looks = _end_to_end(each)
        askers: list = [[] for _ in looks]
        for probe, slots in enumerate(each):
            for slot in slots:
                if probe not in askers[slot]:
                    askers[slot].append(probe)
        self._askers_at, self._askers = _end_to_end(askers)
        self._of_span = array("i", [_sees_spans(probe) for probe in probes])
        self._remembers = array("i", [probe.memo for probe in probes])
        self._asked = array("q", bytes(8 * len(probes)))
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _take_slots(self, looks: dict) -> cython.int:
        slots = len(looks)
        self._slots = slots
        self._outer = len([look for look in looks if look.where != SPAN])
        where: list = [look.where for look in looks]
        self._where = array("i", where)
        self._at_resources, self._at_scopes = RESOURCE in where, SCOPE in where
        self._tag_of = array("i", [look.field << 3 | _WIRE_TYPES[look.where][look.field] for look in looks])
        self._repeats = array("i", [not look.key and look.field in _REPEATED[look.where] for look in looks])
        self._keys = [look.key.encode() for look in looks]
        self._next_key = array("i", [-1] * slots)
        self._wanted = array("i", [-1] * (3 * _TAGS))
        self._buckets = array("i", [-1] * (3 * _TAGS))
        self._keyed = array("i", [0, 0, 0])
        self._enough = array("i", [0, 0, 0])
        for slot, look in enumerate(looks):
            if look.key:
                self._want_key(slot)
            else:
                self._wanted[look.where * _TAGS + self._tag_of[slot]] = slot
                self._enough[look.where] = -1
        self._now = 0
        self._seen = array("q", bytes(8 * slots))
        self._field_at, self._start, self._stop = [array("q", bytes(8 * slots)) for _ in range(3)]
        self._found = array("i", bytes(4 * slots))
        self._founds = self._keys_found = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _find_quick(self) -> cython.int:
        """Probes that look at one thing in a span, at which nobody else looks, can answer as soon as it is found."""
        slot: cython.int
        probe: cython.int
        self._quick = array("i", [-1] * self._slots)
        self._alone = array("i", [-1] * self._probes)
        for slot in range(self._outer, self._slots):
            probe = self._askers[self._askers_at[slot]]
            if (
                self._askers_at[slot + 1] - self._askers_at[slot] == 1
                and self._looks_at[probe + 1] - self._looks_at[probe] == 1
                and not self._repeats[slot]
                and self._remembers[probe]
            ):
                self._quick[slot], self._alone[probe] = probe, slot
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _want_key(self, slot: cython.int) -> cython.int:
        key: bytes = self._keys[slot]
        where: cython.int = self._where[slot]
        bucket: cython.Py_ssize_t = where * _TAGS + _bucket(key, 0, len(key))
        self._next_key[slot] = self._buckets[bucket]
        self._buckets[bucket] = slot
        self._keyed[where] = self._tag_of[slot]
        if self._enough[where] >= 0:
            self._enough[where] += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _take_memory(self, probes: tuple) -> cython.int:
        self._memos = [{} if probe.memo else None for probe in probes]
        self._outer_values = {}
        self._memos += [{}, self._outer_values]
        self._held = array("q", bytes(8 * len(self._memos)))
        self._held_all = 0
        self._outer_numbers = 0
        self._standing = _Standing()
        self._field = [b""] * _RECENT
        self._field_slot = array("i", bytes(4 * _RECENT))
        self._field_marks = array("Q", bytes(8 * self._words * _RECENT))
        self._case_probe = array("i", [-1] * _RECENT)
        self._case_values = [()] * _RECENT
        self._case_answer = [self._nothing] * _RECENT
        return 0

    # ------------------------------------------------------------ spans

    @cython.cfunc
    @cython.exceptval(-1)
    def _make_room(self, spans: cython.Py_ssize_t) -> cython.int:
        """Marks for so many spans. Fresh ones are zero, and where nothing is asked they stay so."""
        if self._room < spans or self._room > _ROWS_KEPT or self._room == 0:
            self._room = max(spans, min(2 * spans, _ROWS_KEPT), _ROWS_MIN)
            marks = array("Q", bytes(8 * self._words * self._room))
            self._shared, self._marks = marks, marks
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _read(self, data: bytes, envelopes: list) -> cython.int:
        """HOT: the loop runs once per span."""
        i: cython.Py_ssize_t
        row: cython.Py_ssize_t
        body: cython.Py_ssize_t
        word: cython.Py_ssize_t
        envelope: cython.Py_ssize_t = -1
        asks_ids: cython.bint = (
            self._wanted[_SPAN * _TAGS + _FIRST_TAG] >= 0 or self._wanted[_SPAN * _TAGS + _SPAN_ID_TAG] >= 0
        )
        for i in range(self._count):
            row = i * WIDTH
            if self._at[row + ENVELOPE] != envelope:
                envelope = self._at[row + ENVELOPE]
                self._enter(envelopes[envelope])
            self._row = i * self._words
            for word in range(self._words):
                self._marks[self._row + word] = _load64(self._standing.always, 8 * word)
            if self._slots == self._outer:
                continue
            body = self._at[row + BODY]
            if not asks_ids and self._at[row + TRACE] == body + 2 and self._at[row + SPAN_ID] == body + 20:
                body += _USUAL_IDS
            self._walk(data, body, self._at[row + STOP], _SPAN)
            if self._founds or self._standing.waits:
                self._ask(data)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _ask(self, data: bytes) -> cython.int:
        """Ask the probes that have not answered yet and look at something in this span. HOT."""
        n: cython.Py_ssize_t
        i: cython.Py_ssize_t
        slot: cython.int
        probe: cython.int
        for n in range(self._founds):
            slot = self._found[n]
            if self._quick[slot] >= 0:
                self._answer_field(data, slot)
                continue
            for i in range(self._askers_at[slot], self._askers_at[slot + 1]):
                probe = self._askers[i]
                if self._asked[probe] != self._now:
                    self._asked[probe] = self._now
                    self._set(self._answer_case(data, probe))
        if self._standing.waits:
            self._answer_absent()
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _answer_absent(self) -> cython.int:
        """The answers of probes of whose looks at this span none found anything."""
        n: cython.Py_ssize_t
        slot: cython.int
        probe: cython.int
        standing: _Standing = self._standing
        for n in range(len(standing.waiting)):
            probe = standing.waiting[n]
            slot = self._alone[probe]
            if (self._seen[slot] if slot >= 0 else self._asked[probe]) != self._now:
                self._set(standing.absent[n])
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1)
    def _set(self, answer: bytes) -> cython.int:
        """Set these marks on the span at hand."""
        word: cython.Py_ssize_t
        if answer is not self._nothing:
            for word in range(self._words):
                self._marks[self._row + word] |= _load64(answer, 8 * word)
        return 0

    # ------------------------------------------------------------ answers

    @cython.cfunc
    @cython.exceptval(-1)
    def _answer_field(self, data: bytes, slot: cython.int) -> cython.int:
        """Let the probe answer that looks at nothing but this slot, whose value has been found. HOT."""
        at: cython.Py_ssize_t = self._field_at[slot]
        stop: cython.Py_ssize_t = self._stop[slot]
        place: cython.Py_ssize_t = -1
        if stop - at <= _RECENT_BYTES_MAX:
            place = _place(data, self._start[slot], stop, slot)
            if _same(self._field[place], data, at, stop):
                self._set_again(place)
                return 0
        self._answer_new(data, slot, place, at, self._start[slot], stop)
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1)
    def _set_again(self, place: cython.Py_ssize_t) -> cython.int:
        word: cython.Py_ssize_t
        for word in range(self._words):
            self._marks[self._row + word] |= self._field_marks[place * self._words + word]
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _answer_new(
        self,
        data: bytes,
        slot: cython.int,
        place: cython.Py_ssize_t,
        at: cython.Py_ssize_t,
        start: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
    ) -> cython.int:
        """The same where the field has not been met lately. It is data[at:stop], its value data[start:stop]; `place` is where
        it goes among the recent ones, -1 for nowhere."""
        word: cython.Py_ssize_t
        answer: bytes = self._answer(self._quick[slot], _piece(data, start, stop))
        self._set(answer)
        if place >= 0:
            self._field[place] = _piece(data, at, stop)
            self._field_slot[place] = slot
            for word in range(self._words):
                self._field_marks[place * self._words + word] = _load64(answer, 8 * word)
        return 0

    @cython.cfunc
    def _answer_case(self, data: bytes, probe: cython.int) -> bytes:
        """The marks for whatever this probe looks at. HOT."""
        place: cython.Py_ssize_t
        if self._remembers[probe] == 0:
            return self._answer(probe, self._values(data, probe))
        place = self._case_place(data, probe)
        if place < 0:
            return self._answer(probe, self._values(data, probe))
        if self._case_probe[place] == probe and self._is_case(data, probe, self._case_values[place]):
            return self._case_answer[place]
        values = self._values(data, probe)
        answer: bytes = self._answer(probe, values)
        self._case_probe[place] = probe
        self._case_values[place] = values
        self._case_answer[place] = answer
        return answer

    @cython.cfunc
    @cython.overflowcheck(False)
    @cython.exceptval(-2)
    def _case_place(self, data: bytes, probe: cython.int) -> cython.Py_ssize_t:
        """Where among the recent cases this one would stand; -1 if it is too large for that."""
        i: cython.Py_ssize_t
        slot: cython.int
        left: cython.Py_ssize_t = _RECENT_BYTES_MAX
        number: cython.ulonglong
        mixed: cython.ulonglong = probe
        for i in range(self._looks_at[probe], self._looks_at[probe + 1]):
            slot = self._looks[i]
            if slot < self._outer or self._seen[slot] != self._now:
                number = self._standing.numbers[slot] if slot < self._outer else 0
                mixed = (mixed * _MIX_1 ^ number) & _MASK
                continue
            left -= self._stop[slot] - self._start[slot]
            if left < 0 or self._start[slot] < 0:
                return -1
            mixed = (mixed * _MIX_1 ^ _place(data, self._start[slot], self._stop[slot], 1)) & _MASK
        return (mixed * _MIX_2 & _MASK) >> _RECENT_SHIFT

    @cython.cfunc
    @cython.exceptval(-1)
    def _is_case(self, data: bytes, probe: cython.int, values: tuple) -> cython.int:
        """Whether what the probe looks at are these values."""
        i: cython.Py_ssize_t
        slot: cython.int
        first: cython.Py_ssize_t = self._looks_at[probe]
        for i in range(len(values)):
            slot = self._looks[first + i]
            value = values[i]
            if slot < self._outer:
                if value is not self._standing.values[slot]:
                    return 0
            elif self._seen[slot] != self._now:
                if value is not None:
                    return 0
            elif value is None or not _same(value, data, self._start[slot], self._stop[slot]):
                return 0
        return 1

    @cython.cfunc
    def _answer(self, probe: cython.int, values: object) -> bytes:
        """The marks for these values; for this value where the probe is quick."""
        memo: dict = self._memos[probe]
        if memo is None:
            return self._judged(probe, values)
        answer = memo.get(values)
        if answer is None:
            answer = self._judged(probe, values)
            size: cython.Py_ssize_t = _size(values)
            if size <= _VALUES_BYTES_MAX:
                self._remember(probe, values, answer, size)
        return answer

    @cython.cfunc
    def _judged(self, probe: cython.int, values: object) -> bytes:
        mask = self._judges[probe]((values,) if self._alone[probe] >= 0 else values)
        return mask.to_bytes(8 * self._words, "little") if mask else self._nothing

    @cython.cfunc
    @cython.exceptval(-1)
    def _remember(self, which: cython.Py_ssize_t, key: object, answer: object, size: cython.Py_ssize_t) -> cython.int:
        """Put an answer into a memo; one that is full is emptied first, all are when they hold too much together."""
        memo: dict
        other: cython.Py_ssize_t
        size += _ENTRY_BYTES + self._words * 8
        if self._held_all + size > _MEMO_BYTES_MAX:
            for other in range(self._probes + 2):
                self._forget(other)
        memo = self._memos[which]
        if len(memo) >= self._memo_max:
            self._forget(which)
        memo[key] = answer
        self._held[which] += size
        self._held_all += size
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _forget(self, which: cython.Py_ssize_t) -> cython.int:
        memo = self._memos[which]
        if memo is not None:
            memo.clear()
        self._held_all -= self._held[which]
        self._held[which] = 0
        return 0

    @cython.cfunc
    def _values(self, data: bytes, probe: cython.int) -> tuple:
        """What the looks of the probe find, in their order."""
        i: cython.Py_ssize_t
        slot: cython.int
        values: list = []
        for i in range(self._looks_at[probe], self._looks_at[probe + 1]):
            slot = self._looks[i]
            values.append(self._standing.values[slot] if slot < self._outer else self._found_value(data, slot))
        return tuple(values)

    @cython.cfunc
    def _found_value(self, data: bytes, slot: cython.int) -> object:
        """What the walk at hand, through `data`, has found for this slot."""
        if self._seen[slot] != self._now:
            return None
        if self._start[slot] < 0:
            return self._gathered(data, self._tag_of[slot])
        return _piece(data, self._start[slot], self._stop[slot])

    @cython.cfunc
    def _gathered(self, data: bytes, tag: cython.ulonglong) -> bytes:
        """All fields with this tag in the message that was walked through last."""
        pieces: list = []
        at: cython.Py_ssize_t = self._body
        after: cython.Py_ssize_t
        while at < self._walked:
            after = self._next_field(data, at, self._walked)
            if after <= at:
                raise AssertionError("the kernel cannot read again what it has read before")
            if self._tag == tag:
                pieces.append(_piece(data, at, after))
            at = after
        return b"".join(pieces)

    # ------------------------------------------------------------ envelopes

    @cython.cfunc
    @cython.exceptval(-1)
    def _enter(self, envelope: tuple) -> cython.int:
        """The spans to come stand in this envelope."""
        standing: _Standing
        resource: bytes = b""
        scope: bytes = b""
        memo: dict = self._memos[self._probes]
        if self._at_resources:
            resource = envelope[0]
        if self._at_scopes:
            scope = envelope[1]
        key = (resource, scope)
        known = memo.get(key)
        if known is None:
            known = self._stand(resource, scope)
            size: cython.Py_ssize_t = len(resource) + len(scope)
            if size <= _ENVELOPE_BYTES_MAX:
                self._remember(self._probes, key, known, size + _SLOT_BYTES * (self._outer + self._probes))
        standing = known
        self._standing = standing
        return 0

    @cython.cfunc
    def _stand(self, resource: bytes, scope: bytes) -> _Standing:
        """Find out what this envelope gives to its spans: each probe is asked as for a span with nothing in it."""
        standing: _Standing = _Standing()
        probe: cython.int
        always = 0
        standing.values = [None] * self._outer
        standing.numbers = [0] * self._outer
        standing.waiting, standing.absent = [], []
        if self._at_resources:
            self._look_around(standing, resource, _RESOURCE)
        if self._at_scopes:
            self._look_around(standing, scope, _SCOPE)
        self._standing = standing
        self._open()
        for probe in range(self._probes):
            answer = self._answer(probe, None if self._alone[probe] >= 0 else self._values(b"", probe))
            if not self._of_span[probe]:
                always |= int.from_bytes(answer, "little")
            elif answer is not self._nothing:
                standing.waiting.append(probe)
                standing.absent.append(answer)
        standing.waits = len(standing.waiting) > 0
        standing.always = always.to_bytes(8 * self._words, "little")
        return standing

    @cython.cfunc
    @cython.exceptval(-1)
    def _look_around(self, standing: _Standing, envelope: bytes, where: cython.int) -> cython.int:
        """The values of all looks at the resource, or at the scope, of which `envelope` has the fields around it."""
        slot: cython.int
        message = self._message(envelope)
        self._walk(message, 0, len(message), where)
        for slot in range(self._outer):
            if self._where[slot] == where:
                standing.values[slot], standing.numbers[slot] = self._known(self._found_value(message, slot))
        return 0

    @cython.cfunc
    def _known(self, value: object) -> tuple:
        """The value and its number, the same objects for equal values."""
        known = self._outer_values.get(value)
        if known is None:
            self._outer_numbers += 1
            known = (value, self._outer_numbers)
            size: cython.Py_ssize_t = _size(value)
            if size <= _VALUES_BYTES_MAX:
                self._remember(self._probes + 1, value, known, size)
        return known

    @cython.cfunc
    def _message(self, envelope: bytes) -> bytes:
        """The message in its first field; if the field is given again, as much of each as can be read, for they merge."""
        at: cython.Py_ssize_t = 0
        after: cython.Py_ssize_t
        places: list = []
        while at < len(envelope):
            after = self._next_field(envelope, at, len(envelope))
            if after <= at:
                break  # the scan has read these fields: this is for whoever calls without it
            if self._tag == _FIRST_TAG:
                places.append((self._begin, after))
            at = after
        if len(places) == 1:
            return envelope[places[0][0] : places[0][1]]
        return b"".join([envelope[start : self._readable(envelope, start, stop)] for start, stop in places])

    @cython.cfunc
    @cython.exceptval(-1)
    def _readable(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """How far the message at data[at:end] can be read."""
        after: cython.Py_ssize_t
        while at < end:
            after = self._next_field(data, at, end)
            if after == 0:
                break
            at = after
        return at

    # ------------------------------------------------------------ fields

    @cython.cfunc
    @cython.exceptval(-1)
    def _walk(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, where: cython.int) -> cython.int:
        """Note where in the message at data[at:end] the values of the slots stand, as far as it can be read."""
        after: cython.Py_ssize_t
        self._open()
        self._body = at
        while at < end:
            at = self._usual_fields(data, at, end, where)
            if at < end:
                after = self._next_field(data, at, end)
                if after == 0:
                    break
                self._take(data, at, after, where)
                at = after
        self._walked = at
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1)
    def _open(self) -> cython.int:
        """Nothing has been found yet."""
        self._now += 1
        self._founds = self._keys_found = 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _usual_fields(
        self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, where: cython.int
    ) -> cython.Py_ssize_t:
        """Take the fields from `at` on that are written as every SDK writes them; where the first that is not begins, or `end`.

        Usual: tags and lengths of at most two bytes, numbers of one. HOT.
        """
        pos: cython.Py_ssize_t
        size: cython.Py_ssize_t
        tag: cython.uint
        slot: cython.int
        keyed: cython.uint = self._keyed[where]
        enough: cython.int = self._enough[where]
        base: cython.Py_ssize_t = where * _TAGS
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
            elif tag & 7 == _VARINT and data[pos] <= 0x7F:
                size = 1
            elif tag & 7 == _FIXED64:
                size = 8
            elif tag & 7 == _FIXED32:
                size = 4
            else:
                break
            if size > end - pos:
                break
            if tag == keyed:
                self._attribute(data, at, pos, pos + size, where)
                if self._keys_found == enough:
                    return end
            if tag < _TAGS:
                slot = self._wanted[base + tag]
                if slot >= 0:
                    self._note(slot, at, pos, pos + size)
            at = pos + size
        return at

    @cython.cfunc
    @cython.exceptval(-1)
    def _take(self, data: bytes, at: cython.Py_ssize_t, after: cython.Py_ssize_t, where: cython.int) -> cython.int:
        """The field at `at`, which has just been read, if it is wanted."""
        slot: cython.int
        begin: cython.Py_ssize_t = self._begin
        tag: cython.ulonglong = self._tag
        if tag >= _TAGS:
            return 0
        if tag == self._keyed[where]:
            self._attribute(data, at, begin, after, where)
        slot = self._wanted[where * _TAGS + tag]
        if slot >= 0:
            self._note(slot, at, begin, after)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _note(
        self, slot: cython.int, at: cython.Py_ssize_t, start: cython.Py_ssize_t, stop: cython.Py_ssize_t
    ) -> cython.int:
        """A value for the slot: the field begins at `at`, its value is data[start:stop]. The last one counts, or all do."""
        if self._repeats[slot] == 0:
            self._find(slot, at, start, stop)
        elif self._seen[slot] != self._now:
            self._find(slot, at, at, stop)
        else:
            if self._stop[slot] != at:
                self._start[slot] = -1
            self._stop[slot] = stop
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1)
    def _find(
        self, slot: cython.int, at: cython.Py_ssize_t, start: cython.Py_ssize_t, stop: cython.Py_ssize_t
    ) -> cython.int:
        if self._seen[slot] != self._now:
            self._seen[slot] = self._now
            self._found[self._founds] = slot
            self._founds += 1
        self._field_at[slot] = at
        self._start[slot] = start
        self._stop[slot] = stop
        return 0

    # ------------------------------------------------------------ attributes

    @cython.cfunc
    @cython.exceptval(-1)
    def _attribute(
        self, data: bytes, at: cython.Py_ssize_t, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, where: cython.int
    ) -> cython.int:
        """The field at `at`, with the KeyValue data[start:stop]. HOT: most keys are wanted by nobody, and most end here."""
        slot: cython.int
        if self._usual_pair(data, start, stop) == 0:
            self._any_pair(data, start, stop)
        if self._key < self._key_stop:
            slot = self._buckets[where * _TAGS + _bucket(data, self._key, self._key_stop)]
            if slot >= 0:
                self._wanted_pair(data, at, stop, slot, where)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _wanted_pair(
        self, data: bytes, at: cython.Py_ssize_t, stop: cython.Py_ssize_t, slot: cython.int, where: cython.int
    ) -> cython.int:
        """An attribute whose key may be that of `slot` or one after it. Of each key the first one counts. HOT."""
        place: cython.Py_ssize_t = -1
        if where == _SPAN and stop - at <= _RECENT_BYTES_MAX:
            place = _place(data, self._content, stop, slot)
            if _same(self._field[place], data, at, stop):
                slot = self._field_slot[place]
                if self._seen[slot] != self._now:
                    self._seen[slot] = self._now
                    self._keys_found += 1
                    self._set_again(place)
                return 0
        while slot >= 0 and _same(self._keys[slot], data, self._key, self._key_stop) == 0:
            slot = self._next_key[slot]
        if slot < 0 or self._seen[slot] == self._now:
            return 0
        self._keys_found += 1
        if self._quick[slot] < 0:
            self._find(slot, at, self._content, self._content_stop)
        else:
            self._seen[slot] = self._now
            self._answer_new(data, slot, place, at, self._content, self._content_stop)
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1)
    def _usual_pair(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Find key and value where nothing but these two stands, in this order, as every SDK writes them. HOT."""
        key_stop: cython.Py_ssize_t
        size: cython.Py_ssize_t
        if end - at < 4 or data[at] != _KEY_TAG or data[at + 1] > 0x7F:
            return 0
        key_stop = at + 2 + data[at + 1]
        if key_stop > end - 2 or data[key_stop] != _VALUE_TAG:
            return 0
        size = data[key_stop + 1]
        self._content = key_stop + 2
        if size > 0x7F:
            if self._content == end or data[self._content] > 0x7F:
                return 0
            size = size & 0x7F | data[self._content] << 7
            self._content += 1
        self._key = at + 2
        self._key_stop = key_stop
        self._content_stop = end
        return size == end - self._content

    @cython.cfunc
    @cython.exceptval(-1)
    def _any_pair(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.int:
        """Find key and value however they are written; what is not there is empty, and the last of each counts."""
        after: cython.Py_ssize_t
        self._key = self._key_stop = self._content = self._content_stop = at
        while at < end:
            after = self._next_field(data, at, end)
            if after == 0:
                break
            if self._tag == _KEY_TAG:
                self._key, self._key_stop = self._begin, after
            elif self._tag == _VALUE_TAG:
                self._content, self._content_stop = self._begin, after
            at = after
        return 0

    # ------------------------------------------------------------ framing

    @cython.cfunc
    @cython.exceptval(-1)
    def _next_field(self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Read the field at `at`: its tag goes into _tag, where its value begins into _begin. Where it ends; 0 if it cannot be
        read."""
        tag: cython.ulonglong
        pos: cython.Py_ssize_t = self._varint(data, at, end, _SHORT_BYTES_MAX)
        if pos == 0 or not 1 <= self._value >> 3 <= 0x1FFFFFFF:
            return 0
        tag = self._value
        pos = self._skip(data, pos, end, tag, 0)
        self._tag = tag
        return pos

    @cython.cfunc
    @cython.exceptval(-1)
    def _skip(
        self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, tag: cython.ulonglong, depth: cython.int
    ) -> cython.Py_ssize_t:
        """Where the value at `at` ends; 0 if it cannot be read."""
        wire_type: cython.uint = tag & 7
        size: cython.ulonglong
        self._begin = at
        if wire_type == _VARINT:
            return self._varint(data, at, end, _VARINT_BYTES_MAX)
        if wire_type == _GROUP_START:
            return self._skip_group(data, at, end, tag >> 3, depth + 1)
        if wire_type == _LENGTH:
            at = self._varint(data, at, end, _SHORT_BYTES_MAX)
            if at == 0:
                return 0
            size = self._value
            self._begin = at
        elif wire_type == _FIXED64:
            size = 8
        elif wire_type == _FIXED32:
            size = 4
        else:
            return 0
        left: cython.ulonglong = end - at
        return at + size if size <= left else 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _skip_group(
        self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, field: cython.ulonglong, depth: cython.int
    ) -> cython.Py_ssize_t:
        tag: cython.ulonglong
        if depth > _NESTING_MAX:
            return 0
        while at < end:
            at = self._varint(data, at, end, _SHORT_BYTES_MAX)
            if at == 0 or not 1 <= self._value >> 3 <= 0x1FFFFFFF:
                return 0
            tag = self._value
            if tag & 7 == _GROUP_END:
                return at if tag >> 3 == field else 0
            at = self._skip(data, at, end, tag, depth)
            if at == 0:
                return 0
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def _varint(
        self, data: bytes, at: cython.Py_ssize_t, end: cython.Py_ssize_t, most: cython.int
    ) -> cython.Py_ssize_t:
        """Read the varint at `at` into _value; where it ends, 0 if there is none. Values keep 64 bits, as protobuf does."""
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
        return 0


# ---------------------------------------------------------------- the plan


def _looked_at(plan: Plan) -> dict[Look, int]:
    """Every look of the plan with its slot: those at resources and scopes first."""
    looks = dict.fromkeys(look for probe in plan.probes for look in probe.looks)
    for look in looks:
        if look.field not in _WIRE_TYPES[look.where] or (look.key and look.field != _ATTRIBUTES[look.where]):
            raise ValueError(f"there is nothing to be seen by {look}")
    ordered = [look for look in looks if look.where != SPAN] + [look for look in looks if look.where == SPAN]
    return {look: slot for slot, look in enumerate(ordered)}


def _sees_spans(probe: Probe) -> bool:
    return any(look.where == SPAN for look in probe.looks)


def _end_to_end(lists: list[list[int]]) -> tuple[Any, Any]:
    """Where each list begins, and the end of the last; all their numbers."""
    at, numbers = array("i", [0]), array("i")
    for each in lists:
        numbers.extend(each)
        at.append(len(numbers))
    return at, numbers


@cython.cfunc
@cython.exceptval(-1)
def _size(values: object) -> cython.Py_ssize_t:
    """Bytes of the values, or of the value, of which any may be None."""
    size: cython.Py_ssize_t = 0
    for value in values if isinstance(values, tuple) else (values,):
        if value is not None:
            size += len(value)
    return size


# ---------------------------------------------------------------- bytes


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _bucket(data: bytes, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Where the key at data[start:stop], which is not empty, would be found: its length and last byte say."""
    return 31 * (stop - start) + data[stop - 1] & 0xFF


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _same(value: bytes, data: bytes, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.int:
    """Whether data[start:stop] is this value."""
    if len(value) != stop - start:
        return 0
    if not 0 <= start <= stop <= len(data):
        raise IndexError("the kernel would read past the end")
    if cython.compiled:
        return memcmp(PyBytes_AS_STRING(value), PyBytes_AS_STRING(data) + start, stop - start) == 0
    return data.startswith(value, start)


@cython.cfunc
@cython.inline
def _piece(data: bytes, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> bytes:
    if not 0 <= start <= stop <= len(data):
        raise IndexError("the kernel would read past the end")
    if cython.compiled:
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(data) + start, stop - start)
    return data[start:stop]


@cython.cfunc
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(-1)
def _place(data: bytes, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, seed: cython.ulonglong) -> cython.Py_ssize_t:
    """Where in a table of recent answers that for data[start:stop] would stand. Every byte counts: names of hosts, say, begin
    and end alike."""
    mixed: cython.ulonglong = (seed << 8 ^ stop - start) & _MASK
    while stop - start >= 8:
        mixed = (mixed ^ _load64(data, start)) * _MIX_1 & _MASK
        mixed ^= mixed >> 32
        start += 8
    if start < stop:
        mixed ^= _load_short(data, start, stop)
    mixed = mixed * _MIX_2 & _MASK
    return ((mixed ^ mixed >> 32) * _MIX_1 & _MASK) >> _RECENT_SHIFT


@cython.cfunc
@cython.inline
@cython.exceptval(0, check=True)
def _load_short(data: bytes, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.ulonglong:
    """The bytes data[start:stop], one to seven, as a number."""
    if stop >= 8:
        return _load64(data, stop - 8) >> 8 * (8 - stop + start)
    value: cython.ulonglong = 0
    for pos in range(start, stop):
        value |= cython.cast(cython.ulonglong, data[pos]) << 8 * (pos - start)
    return value


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
