"""The journal: the last decisions, in records of one size in a ring. The kernel (gateway.kernel.program) writes it.

This module is no part of any form: it is never compiled, for reading is rare.
"""

from __future__ import annotations

import struct
from array import array

from gateway.kernel.names import Record

_HEAD = struct.Struct("<16sQIIhhBBxx")  # id, microseconds, spans, bytes, policy, child, keep, cause
HEAD_BYTES = _HEAD.size


class Journal:
    """Decisions on `policies` policies, in about `bytes_max` bytes. `ring` and `state` are for the kernel alone."""

    def __init__(self, policies: int, bytes_max: int) -> None:
        self._policies = policies
        self.record_bytes = -(-(HEAD_BYTES + policies) // 8) * 8
        self.capacity = max(1, bytes_max // self.record_bytes)
        self.ring = bytearray()
        """Grown by the kernel, up to `capacity` records: who decides little needs little."""
        self.state = array("q", [0])
        """How many records were written, ever."""

    @property
    def written(self) -> int:
        """How many decisions were noted, ever."""
        return self.state[0]

    @property
    def held(self) -> int:
        """Bytes that it takes."""
        return len(self.ring)

    def make_room(self) -> bytearray:
        """A larger ring: called by the kernel when it has used the one there is."""
        records = len(self.ring) // self.record_bytes
        grown = min(self.capacity, max(1024, 2 * records))
        self.ring = bytearray(self.ring).ljust(grown * self.record_bytes, b"\0")
        return self.ring

    def since(self, number: int) -> list[Record]:
        """The records from this number on, counted from 0, as far as they are still there."""
        first = max(number, self.written - len(self.ring) // self.record_bytes, 0)
        return [self._record(each) for each in range(first, self.written)]

    def find(self, trace_id: bytes) -> Record | None:
        """The newest record of this trace; None if it is not there any more."""
        size, records = self.record_bytes, len(self.ring) // self.record_bytes
        newest: int | None = None
        if not any(trace_id):  # no trace has this id, and unwritten records are full of it
            return None
        at = self.ring.find(trace_id)
        while at >= 0:
            if at % size == 0:
                number = self._number_at(at // size, records)
                if number is not None and (newest is None or number > newest):
                    newest = number
            at = self.ring.find(trace_id, at + 1)
        return None if newest is None else self._record(newest)

    def _number_at(self, place: int, records: int) -> int | None:
        """The number of the record at this place of the ring; None if none was written there yet."""
        last = self.written - 1
        number = last - (last - place) % records
        return number if number >= 0 else None

    def _record(self, number: int) -> Record:
        at = number % (len(self.ring) // self.record_bytes) * self.record_bytes
        trace_id, micros, spans, size, policy, child, keep, cause = _HEAD.unpack_from(self.ring, at)
        votes = bytes(self.ring[at + HEAD_BYTES : at + HEAD_BYTES + self._policies])
        return Record(trace_id, micros / 1_000_000, spans, size, bool(keep), policy, child, cause, votes)
