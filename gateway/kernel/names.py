"""What the kernel and its callers say to each other, the same for every form of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

Envelope = tuple[bytes, bytes]
"""What spans stand in, as raw protobuf fields exactly as they came: every field of ResourceSpans but scope_spans, and every
field of ScopeSpans but spans."""

# ---------------------------------------------------------------- what policies ask of single spans

RESOURCE, SCOPE, SPAN = range(3)
"""Whose field a Look reads: of the Resource, the InstrumentationScope or the Span message."""


class Look(NamedTuple):
    """One thing that a policy reads of a span or of what it stands in: the raw value of a field.

    Of a varint field its bytes, of a fixed one its 4 or 8, of a string or message its content, the last one counting. With a
    key, `field` is the message's attributes, and the look is the content of the AnyValue under that key, the first one
    counting. Of the span's repeated fields (events, links, and attributes without a key) all of them, each with its tag and
    length. None where there is none.
    """

    where: int
    field: int
    key: str = ""


Values = tuple[bytes | None, ...]
"""What a probe's looks found, in their order."""


class Probe(NamedTuple):
    """A question about each span: `judge(values)` gives the marks, a mask, that the span sets on its trace.

    It is pure: with `memo` its answers are remembered by the values.
    """

    looks: tuple[Look, ...]
    judge: Callable[[Values], int]
    memo: bool = True


class Plan(NamedTuple):
    """Everything that is asked of single spans. Mark N is bit N; `marks` says how many there are.

    `intervals` are (above, up to, mark), in ms: the mark is set once the duration of the trace so far lies inside. `pairs` is a
    mask of the marks N of which only the first of N and N + 1 to come is set.
    """

    marks: int = 0
    probes: tuple[Probe, ...] = ()
    intervals: tuple[tuple[int, int, int], ...] = ()
    pairs: int = 0


# ---------------------------------------------------------------- how a trace is decided

NO, KEEP, DROP, ERROR, SKIPPED = range(5)
"""Votes: no reason to keep it; keep; drop, whatever others say; could not be evaluated; was not asked."""

(
    ALWAYS,
    STATUS_IN,  # a: mask of status codes, bit N for code N
    LONGER_THAN,  # a: ms, exclusive; the longest duration after any span
    MARKED,  # a: a mark
    HASH_UPTO,  # a: state of FNV-1a after the salt, b: the largest hash
    LASTED,  # a: ms, exclusive, b: ms, inclusive: the duration of the whole trace
    SPANS_WITHIN,  # a: the least, b: the most
    JUDGED,  # a: a mark for keep, a + 1: the mark for an error
    SPAN_TOKENS,  # a: spans a second, b: the burst
    BYTE_TOKENS,  # a: bytes a second, b: the burst
    RANDOM_FROM,  # a: the least of the 56 bits of randomness that is kept: a threshold
    AND,  # the first child that does not say keep answers
    NOT,  # keep and no change places
    VETO,  # drop where AND would say keep
    COMPOSITE,  # a: spans a second of all; the first child that keeps answers, within its SHARE
    SHARE,  # a: spans a second, of one child
) = range(16)
"""The operations of a Node."""


class Node(NamedTuple):
    """A policy, or a part of one, as gateway.kernel.program evaluates it."""

    op: int
    a: int = 0
    b: int = 0
    children: tuple[Node, ...] = ()


class Rules(NamedTuple):
    """How the votes of several policies make a decision.

    `first_match`: the first that keeps ends the asking. `frugal`: limiters are asked last, and only if nobody else keeps.
    `overflow`: a composite's child that is over its share leaves the trace to the next, and all children share the total.
    `consistent`: traces that are due together are decided by falling randomness, and what is kept has a threshold; the mark
    `random_mark` says that a trace brings randomness of its own (-1: no trace does). `ingest`: traces are decided as soon as a
    span settles it; 1: those that none has settled are not kept, 2: those are decided at their time like any other.
    """

    first_match: bool = False
    frugal: bool = False
    overflow: bool = False
    consistent: bool = False
    random_mark: int = -1
    ingest: int = 0


class Added(NamedTuple):
    """What became of the spans of one request. `late` has the spans of kept traces: (trace id, span id, envelope, span field);
    `late_dropped` counts those of dropped ones by trace id."""

    spans: int
    traces: int
    duplicates: int
    late_dropped: dict[bytes, int]
    late: list[tuple[bytes, bytes, Envelope, bytes]]


class Kept(NamedTuple):
    """A trace that is kept: `request` holds all its spans in their envelopes, `span_ids` their ids end to end.

    `policy` is the index of the deciding one, `child` that of the composite's child that answered, -1 if it is none;
    `threshold` the least randomness (56 bits) with which it would have been kept, where that was asked for.
    """

    trace_id: bytes
    request: bytes
    spans: int
    span_ids: bytes
    policy: int
    child: int = -1
    threshold: int = 0


# ---------------------------------------------------------------- what was decided

DUE, ROOT, INGEST, EVICTED_BYTES, EVICTED_TRACES, TOO_LARGE, SHUTDOWN = range(7)
"""Why a trace was decided when it was: its time had come, or that after its root; one of its spans had settled it; the bound
on bytes or on traces was reached; it was too large itself; the process was ending."""


class Record(NamedTuple):
    """One decision as the journal keeps it. `votes` has a byte a policy; `policy` and `child` are -1 where none decided.

    `decided_at` is in seconds of the clock that the sampler is driven by; `size` is what the trace measured as protobuf.
    """

    trace_id: bytes
    decided_at: float
    spans: int
    size: int
    keep: bool
    policy: int
    child: int
    cause: int
    votes: bytes
