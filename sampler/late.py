"""How many late spans there were of single traces: for whoever asks why one looks as it does. Bounded; the oldest go first."""

from __future__ import annotations


class LateCounts:
    """Late spans by trace id, of the `traces_max` traces that had one last."""

    def __init__(self, traces_max: int) -> None:
        self._traces_max = traces_max
        self._spans: dict[bytes, int] = {}

    def add(self, trace_id: bytes, spans: int) -> None:
        """Count spans of a trace."""
        self._spans[trace_id] = self._spans.pop(trace_id, 0) + spans
        if len(self._spans) > self._traces_max:
            del self._spans[next(iter(self._spans))]

    def of(self, trace_id: bytes) -> int:
        """How many there were, as far as is known."""
        return self._spans.get(trace_id, 0)
