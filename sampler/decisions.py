"""What was exported: the span ids of kept traces, for spans that are sent again. Bounded; knows no policies.

What was decided is remembered by the kernel (gateway.kernel.decisions).
"""

from __future__ import annotations

from collections import deque

from sampler.seen import Seen, size_of, with_id

EXPORTED_TRACE_BYTES = (
    260  # id, entry, place in dict and queue, head of the ids; tests/sampler/test_decisions.py measures it
)


class _Entry:
    """One kept trace's span ids and when they may be forgotten."""

    __slots__ = ("expire_at", "seen", "threshold")

    def __init__(self, expire_at: float, seen: Seen, threshold: int | None) -> None:
        self.expire_at = expire_at
        self.seen = seen
        self.threshold = threshold


class Exported:
    """Span ids of kept traces, each trace for `window` seconds after its last new span, within `bytes_max` bytes.

    Beyond either bound a span sent again is taken for a new one. The oldest traces are forgotten first.
    """

    def __init__(self, window: float, bytes_max: int) -> None:
        self._window = window
        self._bytes_max = bytes_max
        self._entries: dict[bytes, _Entry] = {}
        self._queue: deque[tuple[float, bytes]] = (
            deque()
        )  # in the order in which they were remembered or looked at last
        self.bytes = 0

    def remember(self, trace_id: bytes, seen: Seen, now: float, threshold: int | None = None) -> None:
        """Remember these ids, in place of what is known of the trace, and the threshold that it was kept at. The set, if it is
        one, is ours from now on."""
        self._forget(trace_id)
        entry = _Entry(now + self._window, seen, threshold)
        self._entries[trace_id] = entry
        self._queue.append((entry.expire_at, trace_id))
        self.bytes += EXPORTED_TRACE_BYTES + size_of(seen)
        self._trim(now)

    def threshold(self, trace_id: bytes) -> int | None:
        """The threshold that a trace was kept at; None if none is known."""
        entry = self._entries.get(trace_id)
        return None if entry is None else entry.threshold

    def add(self, trace_id: bytes, span_id: bytes, now: float) -> bool:
        """Take in one late span; False if it came out already, within the window."""
        entry = self._entries.get(trace_id)
        if entry is None or entry.expire_at <= now:
            self.remember(trace_id, span_id, now)
            return True
        before = size_of(entry.seen)
        seen = with_id(entry.seen, span_id)
        if seen is None:
            return False
        entry.seen = seen
        entry.expire_at = now + self._window
        self.bytes += size_of(seen) - before
        self._trim(now)
        return True

    def _trim(self, now: float) -> None:
        """Forget what has expired, and the oldest while there is too much."""
        queue = self._queue
        while queue and (queue[0][0] <= now or self.bytes > self._bytes_max):
            at, trace_id = queue.popleft()
            entry = self._entries.get(trace_id)
            if entry is None:
                continue
            if entry.expire_at > max(at, now) and self.bytes <= self._bytes_max:
                queue.append((entry.expire_at, trace_id))  # it had late spans since
            else:
                self._forget(trace_id)

    def _forget(self, trace_id: bytes) -> None:
        entry = self._entries.pop(trace_id, None)
        if entry is not None:
            self.bytes -= EXPORTED_TRACE_BYTES + size_of(entry.seen)
