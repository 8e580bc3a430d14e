"""What the kernel's scan finds, as Python objects: for tests, for cutting and for whatever else is done to few requests.

Costs a microsecond a span. What is done to every request takes gateway.kernel's columns as they are.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway import kernel
from gateway.otlp.schema import SPAN_ID_BYTES, TRACE_ID_BYTES


class Envelope(NamedTuple):
    """What spans stand in, as raw protobuf fields exactly as they came. Equal envelopes may share one ResourceSpans."""

    resource: bytes  # every field of ResourceSpans but scope_spans: resource, schema_url, unknown ones
    scope: bytes  # every field of ScopeSpans but spans: scope, schema_url, unknown ones


SpanAt = tuple[bytes, bytes, int, int, int]
"""One valid span: (trace_id, span_id, start, body, stop). `request[start:stop]` is the field with its tag and length,
`request[body:stop]` the Span message. A bare tuple: there is one per span."""


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
    (OTLP S-10). Scopes keep their order; a ScopeSpans without a valid span does not appear.
    """
    scan = kernel.chosen.Spans(facts=False)
    scan.read(request)
    scopes = [Scope(Envelope(*envelope), []) for envelope in scan.scopes()]
    for start, body, stop, trace, span, envelope, *_ in scan.rows():
        trace_id, span_id = request[trace : trace + TRACE_ID_BYTES], request[span : span + SPAN_ID_BYTES]
        scopes[envelope].spans.append((trace_id, span_id, start, body, stop))
    return Split(scopes, *scan.found())
