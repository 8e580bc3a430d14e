"""The facts of a trace, by the official classes and the plainest arithmetic: the slow twin of what the kernel folds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.otlp.facts import Facts, Interval

MS = 1_000_000


def facts_of(spans: Iterable[Span], marks: Sequence[Interval] = ()) -> Facts:
    """The aggregate of these spans, which came in this order."""
    made = list(spans)
    prefixes = _prefixes(made)
    return Facts(
        span_count=len(made),
        start_min=prefixes[-1][0] if prefixes else 0,
        end_max=prefixes[-1][1] if prefixes else 0,
        duration_max=max([0, *(end - start for start, end in prefixes)]),
        statuses=sum(1 << code for code in {each.status.code for each in made} if 0 <= code <= 2),
        inside=frozenset(
            (above, upto)
            for above, upto in marks
            if any(above < whole_ms(end - start) <= upto for start, end in prefixes)
        ),
    )


def whole_ms(duration: int) -> int:
    """Nanoseconds as milliseconds, cut off towards zero as Go does."""
    return duration // MS if duration >= 0 else -(-duration // MS)


def _prefixes(spans: list[Span]) -> list[tuple[int, int]]:
    """(start, end) of the trace after each span. As in the Collector's latency.go a 0 counts as not yet set."""
    least = greatest = 0
    out = []
    for each in spans:
        if least == 0 or each.start_time_unix_nano < least:
            least = each.start_time_unix_nano
        if greatest == 0 or each.end_time_unix_nano > greatest:
            greatest = each.end_time_unix_nano
        out.append((least, greatest))
    return out
