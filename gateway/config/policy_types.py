"""The policy types that ask about a trace by themselves, each with the block that is named after it.

Owns their keys, what they mean to an operator and an example of each. What a policy makes of its values is sampler.policy's
business; how policies hold others is gateway.config.policies'.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from gateway.config.block import LIST, Block, Flaw
from gateway.config.scalars import INT64_MIN, Choice, Number, Switch, Text, Whole

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1

_KEY = Text("the key of an attribute")
_INVERT = (
    "Keeps the trace if *no* span or resource matches; a trace that lacks the key is kept too. An inverted policy that does not "
    "match is no vote against the trace."
)
_BURST = "The most that is kept at once, and so the largest trace that is ever kept; `0` means twice the rate."
_PER_PROCESS = (
    "The limit holds for each process: with three replicas, or `--workers 3`, three times as much is kept. A trace is charged "
    "whenever the policy is asked and says keep, also when another policy keeps it anyway; under `semantics: strict`, unless "
    "`tracestate: true`, limiters are asked last, and only about traces that nobody else keeps."
)


class AlwaysSample(Block):
    """Keeps every trace."""

    example: ClassVar[str] = "{name: everything, type: always_sample}"


class TraceFlags(Block):
    """Keeps traces with a span whose W3C trace flags say `sampled`."""

    example: ClassVar[str] = "{name: sampled-upstream, type: trace_flags}"


class Latency(Block):
    """Keeps traces that took longer than a threshold, from the earliest start to the latest end of their spans.

    With an upper threshold the question is, as in the Collector, whether the trace lay inside the bounds after *any* of its spans
    in order of arrival: one that ends up too long is kept if it once fitted. Under `semantics: strict` the whole trace counts.
    Durations are rounded down to milliseconds.
    """

    example: ClassVar[str] = "{name: slow, type: latency, latency: {threshold_ms: 1000, upper_threshold_ms: 60000}}"

    threshold_ms: Annotated[int, Whole(INT64_MIN)] = Field(
        0, description="In milliseconds: traces that took longer are kept."
    )
    upper_threshold_ms: Annotated[int, Whole(INT64_MIN)] = Field(
        0, description="In milliseconds: but not longer than this; `0` means no such bound."
    )


class NumericAttribute(Block):
    """Keeps traces with a span or resource whose attribute is a whole number between two bounds, both included.

    A bound of `0` counts as none, as in the Collector, and an attribute that is no whole number counts as 0. Under
    `semantics: strict` a bound of 0 is one, doubles are compared too, and anything else does not match. At least one bound
    must be left: a Collector starts without and dies of its first trace.
    """

    example: ClassVar[str] = (
        "{name: server-errors, type: numeric_attribute, "
        "numeric_attribute: {key: http.response.status_code, min_value: 500, max_value: 599}}"
    )

    key: Annotated[str, _KEY] = Field(description="The attribute, of a span or of its resource.")
    min_value: Annotated[int, Whole(INT64_MIN)] = Field(0, description="The least value that matches.")
    max_value: Annotated[int, Whole(INT64_MIN)] = Field(0, description="The greatest value that matches.")
    invert_match: Annotated[bool, Switch()] = Field(False, description=_INVERT)

    def flaws(self) -> Iterator[Flaw]:
        """There is a bound, and the upper one is not below the lower."""
        if not self.model_fields_set & {"min_value", "max_value"}:
            yield Flaw((), "needs min_value or max_value: without a bound there is nothing to compare with")
        if self.min_value and self.max_value and self.min_value > self.max_value:
            yield Flaw(("min_value",), f"must not be above max_value ({self.max_value}): no number would match")

    def bounds(self, zero_counts: bool) -> tuple[int | None, int | None]:
        """The bounds as they count, None for one that does not."""
        given = self.model_fields_set
        low, high = (
            value if name in given and (value or zero_counts) else None
            for name, value in (("min_value", self.min_value), ("max_value", self.max_value))
        )
        return low, high


class BooleanAttribute(Block):
    """Keeps traces with a span or resource whose attribute is this truth value.

    As in the Collector `value: false` also matches an attribute under the key that is no truth value at all; under
    `semantics: strict` it does not.
    """

    example: ClassVar[str] = (
        "{name: forced, type: boolean_attribute, boolean_attribute: {key: app.force_sample, value: true}}"
    )

    key: Annotated[str, _KEY] = Field(description="The attribute, of a span or of its resource.")
    value: Annotated[bool, Switch()] = Field(False, description="The value that matches.")
    invert_match: Annotated[bool, Switch()] = Field(False, description=_INVERT)


class StringAttribute(Block):
    """Keeps traces with a span or resource whose attribute is one of these texts, or matches one of these expressions.

    Regular expressions are RE2's, and one that matches *somewhere* in the value is enough, as in the Collector: `/health` also
    matches `/healthcare`. Under `semantics: strict` the whole value must match.
    """

    example: ClassVar[str] = (
        "{name: probes, type: string_attribute, "
        'string_attribute: {key: url.path, values: ["^/health$", "^/ready$"], enabled_regex_matching: true}}'
    )

    key: Annotated[str, _KEY] = Field(description="The attribute, of a span or of its resource.")
    values: Annotated[list[Annotated[str, Text(empty=True)]], LIST] = Field(
        description="The texts or regular expressions; one that matches is enough. An empty text, unless it is an "
        "expression, matches nothing."
    )
    enabled_regex_matching: Annotated[bool, Switch()] = Field(
        False, description="Whether `values` are regular expressions."
    )
    cache_max_size: Annotated[int, Whole(INT64_MIN)] = Field(
        0,
        description="Has no effect, by design: in the Collector it bounds a cache of the expressions' answers; here answers are "
        "remembered within a bound of their own.",
    )
    invert_match: Annotated[bool, Switch()] = Field(False, description=_INVERT)


class Probabilistic(Block):
    """Keeps a share of all traces, by a hash of the trace id: the same traces as the Collector keeps.

    With `tracestate: true` the randomness of the trace decides instead: `rv` in its tracestate, else its id.
    """

    example: ClassVar[str] = "{name: a-few, type: probabilistic, probabilistic: {sampling_percentage: 5}}"

    sampling_percentage: Annotated[float, Number()] = Field(
        0.0,
        description="The share in percent. 100 or more keeps all, 0 or less none (but for one hash in 2⁶⁴).",
    )
    hash_salt: Annotated[str, Text(empty=True)] = Field(
        "",
        description="Mixed into the hash, so that tiers in a row decide independently; empty means the Collector's default. "
        "Has no effect with `tracestate: true`.",
    )


class StatusCode(Block):
    """Keeps traces with a span of one of these status codes."""

    example: ClassVar[str] = "{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}"

    status_codes: list[Annotated[str, Choice(("OK", "ERROR", "UNSET"))]] = Field(
        description="One or more of `OK`, `ERROR` and `UNSET`."
    )

    def flaws(self) -> Iterator[Flaw]:
        """A policy that could never match is a mistake."""
        if not self.status_codes:
            yield Flaw(("status_codes",), "names no status code; expected one or more of OK, ERROR and UNSET")


class RateLimiting(Block):
    """Keeps traces as long as their spans fit in a token bucket, which starts full and is refilled continuously."""

    example: ClassVar[str] = (
        "{name: at-most, type: rate_limiting, rate_limiting: {spans_per_second: 500, burst_capacity: 2000}}"
    )

    spans_per_second: Annotated[int, Whole(0)] = Field(description=f"Spans a second. {_PER_PROCESS}")
    burst_capacity: Annotated[int, Whole(0)] = Field(0, description=f"In spans. {_BURST}")


class BytesLimiting(Block):
    """Keeps traces as long as their bytes, as protobuf, fit in a token bucket, which starts full and is refilled continuously."""

    example: ClassVar[str] = (
        "{name: at-most-bytes, type: bytes_limiting, "
        "bytes_limiting: {bytes_per_second: 1048576, burst_capacity: 5242880}}"
    )

    bytes_per_second: Annotated[int, Whole(0)] = Field(description=f"Bytes a second. {_PER_PROCESS}")
    burst_capacity: Annotated[int, Whole(0)] = Field(0, description=f"In bytes. {_BURST}")


class SpanCount(Block):
    """Keeps traces by the number of their spans. A span that was sent twice counts once; in the Collector it counts twice."""

    example: ClassVar[str] = "{name: large, type: span_count, span_count: {min_spans: 100, max_spans: 10000}}"

    min_spans: Annotated[int, Whole(INT32_MIN, INT32_MAX)] = Field(0, description="The fewest spans that are kept.")
    max_spans: Annotated[int, Whole(INT32_MIN, INT32_MAX)] = Field(
        0, description="The most spans that are kept; `0` means no such bound."
    )

    def flaws(self) -> Iterator[Flaw]:
        """Some number of spans is kept."""
        if self.max_spans and self.min_spans > self.max_spans:
            yield Flaw(("min_spans",), f"must not be above max_spans ({self.max_spans}): no trace would match")


class TraceState(Block):
    """Keeps traces with a span whose W3C tracestate has one of these values under a key."""

    example: ClassVar[str] = "{name: tenants, type: trace_state, trace_state: {key: tenant, values: [gold, platinum]}}"

    key: Annotated[str, Text("a key of tracestate")] = Field(description="The key in tracestate.")
    values: Annotated[list[Annotated[str, Text(empty=True)]], LIST] = Field(
        description="The values that match. An empty one, or one that has 256 bytes or more with its key, matches nothing."
    )


_CONDITION = Text("a condition")


class OttlCondition(Block):
    """Keeps traces with a span, or an event of a span, for which a condition in OTTL holds.

    Conditions are read once, at start; what is not supported is a mistake with its line and column in this file. Paths are those
    of the span, its resource, scope and events; docs/OTTL.md lists them and the functions.
    """

    example: ClassVar[str] = """\
name: failed-checkouts
type: ottl_condition
ottl_condition:
  error_mode: ignore
  span:
    - resource.attributes["service.name"] == "checkout" and span.attributes["http.status_code"] >= 500
    - IsMatch(span.name, "^POST /pay")
  spanevent:
    - spanevent.name == "exception"
"""

    error_mode: Annotated[str, Choice(("ignore", "silent", "propagate"), fold=True)] = Field(
        "silent",
        description="What becomes of a condition that cannot be evaluated: with `ignore` and `silent` it does not hold and the "
        "next one is asked, with `propagate` the policy has no say on the trace, and the error is counted. Nothing is logged "
        "for `ignore`.",
    )
    span: Annotated[list[Annotated[str, _CONDITION]], LIST] = Field(
        [], description="Conditions on a span; one that holds is enough."
    )
    spanevent: Annotated[list[Annotated[str, _CONDITION]], LIST] = Field(
        [], description="Conditions on an event of a span; one that holds is enough."
    )

    def flaws(self) -> Iterator[Flaw]:
        """There is something to ask."""
        if not (self.span or self.spanevent):
            yield Flaw((), "names no condition; expected one or more under span or spanevent")
