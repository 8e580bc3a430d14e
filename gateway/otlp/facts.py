"""Facts: the few numbers policies ask of a trace, read from span bytes and folded into one aggregate a trace."""

from __future__ import annotations


class Facts:
    """The aggregate of one trace. Instants are unix nanoseconds; 0 means that no span has named one."""

    __slots__ = ("durations", "end_max", "span_count", "start_min", "statuses")

    def __init__(self, *, prefixes: bool = False) -> None:
        self.span_count = 0
        self.start_min = 0
        self.end_max = 0
        self.statuses = 0  # bit N is set when a span has status code N (0 unset, 1 ok, 2 error)
        self.durations: list[int] | None = [] if prefixes else None
        """With `prefixes`: the distinct durations end_max - start_min (ns) seen after each span, growing. Latency with an
        upper bound asks whether any prefix of the trace fell inside its bounds (Collector parity)."""


def fold(facts: Facts, request: bytes, body: int, stop: int) -> None:
    """Fold the Span message at request[body:stop] into `facts`. Never refuses: what cannot be read adds nothing."""
    raise NotImplementedError
