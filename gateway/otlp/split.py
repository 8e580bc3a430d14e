"""Split a request into its spans, by offsets: nothing is decoded, nothing copied but ids and envelopes."""

from __future__ import annotations

from typing import NamedTuple

from gateway.errors import MalformedRequestError
from gateway.otlp import schema
from gateway.otlp.wire import read_length, read_tag, skip

_USUAL_HEAD_BYTES = 31  # tag, two bytes of length, 2 + 16 of trace id, 2 + 8 of span id


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
    scopes: list[Scope] = []
    bad: list[str] = []
    at, end = 0, len(request)
    while at < end:
        field_at = at
        tag, at = read_tag(request, at, end)
        if tag >> 3 != schema.RESOURCE_SPANS_FIELD:
            at = skip(request, at, end, tag)  # an unknown field of the request itself belongs to no span: it ends here
            continue
        _expect_length(tag, field_at)
        start, at = read_length(request, at, end)
        _resource_spans(request, start, at, scopes, bad)
    return Split(scopes, sum([len(scope.spans) for scope in scopes]), len(bad), bad[0] if bad else "")


def _resource_spans(data: bytes, at: int, end: int, scopes: list[Scope], bad: list[str]) -> None:
    resource: list[bytes] = []
    inner: list[tuple[bytes, list[SpanAt]]] = []
    while at < end:
        field_at = at
        tag, at = read_tag(data, at, end)
        if tag >> 3 in schema.RESOURCE_SPANS_LENGTH_FIELDS:
            _expect_length(tag, field_at)
        if tag != schema.SCOPE_SPANS_TAG:
            at = skip(data, at, end, tag)
            resource.append(data[field_at:at])
            continue
        start, at = read_length(data, at, end)
        inner.append(_scope_spans(data, start, at, bad))
    fields = b"".join(resource)
    scopes += [Scope(Envelope(fields, scope), spans) for scope, spans in inner if spans]


def _scope_spans(data: bytes, at: int, end: int, bad: list[str]) -> tuple[bytes, list[SpanAt]]:
    """The scope's own fields and its spans."""
    scope: list[bytes] = []
    spans: list[SpanAt] = []
    while at < end:
        at = _usual_spans(data, at, end, spans)
        if at == end:
            break
        start = at
        tag, at = read_tag(data, at, end)
        if tag >> 3 in schema.SCOPE_SPANS_LENGTH_FIELDS:
            _expect_length(tag, start)
        if tag != schema.SPANS_TAG:
            at = skip(data, at, end, tag)
            scope.append(data[start:at])
            continue
        body, at = read_length(data, at, end)
        trace_id, span_id = _ids(data, body, at)
        wrong = _what_is_wrong(trace_id, span_id)
        if wrong:
            bad.append(wrong)
        else:
            spans.append((trace_id, span_id, start, body, at))
    return b"".join(scope), spans


def _usual_spans(data: bytes, at: int, end: int, spans: list[SpanAt]) -> int:
    """Add the spans from `at` on that look as every SDK writes them; where the first that does not begins, or `end`.

    Usual: a two-byte length (128 to 16,383), trace id first, span id second, both valid; what is unusual is left to the
    general path, which finds the same in such a span. HOT: halves the cost per span (1.0 to 0.55 µs).
    """
    usual_end = end - _USUAL_HEAD_BYTES
    last_head = trace_id = b""
    add = spans.append
    zero_span_id = schema.ZERO_SPAN_ID
    while at <= usual_end:
        low, high = data[at + 1], data[at + 2]
        if data[at] != 0x12 or not low > 0x7F >= high:
            break
        stop = at + 3 + (low & 0x7F | high << 7)
        if stop > end or stop < at + _USUAL_HEAD_BYTES:
            break
        head = data[at + 3 : at + 23]  # 0a 10, trace id, 12 08
        if head != last_head:
            trace_id = head[2:18]
            if not schema.is_usual_head(head) or trace_id == schema.ZERO_TRACE_ID:
                break
            last_head = head
        span_id = data[at + 23 : at + _USUAL_HEAD_BYTES]
        if span_id == zero_span_id:
            break
        add((trace_id, span_id, at, at + 3, stop))
        at = stop
    return at


def _ids(data: bytes, at: int, end: int) -> tuple[bytes, bytes]:
    """The ids of a span that does not begin with them: wherever they stand, the last of each counts; b"" where there is none."""
    if end - at >= schema.USUAL_IDS_BYTES and schema.is_usual_head(data[at : at + schema.USUAL_HEAD_BYTES]):
        return data[at + 2 : at + 18], data[at + 20 : at + 28]
    trace_id = span_id = b""
    while at < end:
        tag, at = read_tag(data, at, end)
        if tag in (schema.TRACE_ID_TAG, schema.SPAN_ID_TAG):
            start, at = read_length(data, at, end)
            if tag == schema.TRACE_ID_TAG:
                trace_id = data[start:at]
            else:
                span_id = data[start:at]
        else:
            at = skip(data, at, end, tag)
    return trace_id, span_id


def _expect_length(tag: int, at: int) -> None:
    if tag & 7 != schema.LENGTH:
        raise MalformedRequestError(
            f"field {tag >> 3} has wire type {tag & 7} where OTLP has a message or a string", at
        )


def _what_is_wrong(trace_id: bytes, span_id: bytes) -> str:
    if len(trace_id) != schema.TRACE_ID_BYTES:
        return f"trace id of {len(trace_id)} bytes, must be {schema.TRACE_ID_BYTES}"
    if trace_id == schema.ZERO_TRACE_ID:
        return "trace id is zero"
    if len(span_id) != schema.SPAN_ID_BYTES:
        return f"span id of {len(span_id)} bytes, must be {schema.SPAN_ID_BYTES}"
    return "span id is zero" if span_id == schema.ZERO_SPAN_ID else ""
