"""Split a request into its spans, by offsets: nothing is decoded, nothing copied but ids and envelopes."""

from __future__ import annotations

from typing import NamedTuple


class Envelope(NamedTuple):
    """What spans stand in, as raw protobuf fields exactly as they came. Equal envelopes may share one ResourceSpans."""

    resource: bytes  # every field of ResourceSpans but scope_spans: resource, schema_url, unknown ones
    scope: bytes  # every field of ScopeSpans but spans: scope, schema_url, unknown ones


class SpanAt(NamedTuple):
    """One valid span. `request[start:stop]` is the field with its tag and length, `request[body:stop]` the Span message."""

    trace_id: bytes
    span_id: bytes
    start: int
    body: int
    stop: int


class Scope(NamedTuple):
    """The valid spans of one ScopeSpans, in order; never empty."""

    envelope: Envelope
    spans: list[SpanAt]


class Split(NamedTuple):
    """A whole request. `rejected` counts the spans with an invalid id; `reason` says what was wrong with the first of them."""

    scopes: list[Scope]
    spans: int  # valid ones
    rejected: int
    reason: str


def split(request: bytes) -> Split:
    """Walk the request once. Raises MalformedRequestError (with the byte offset) if its framing cannot be read.

    A span whose trace id is not 16 bytes or is zero, or whose span id is not 8 bytes or is zero, is left out and counted
    (OTLP S-10). Runs of scopes keep their order; a ScopeSpans without a valid span does not appear.
    """
    raise NotImplementedError
