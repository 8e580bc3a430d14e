"""What every policy means, written down as plainly as can be: the slow twin of the product's policies, over decoded protobuf.

Nothing here is shared with the product but the words of the configuration. A trace is what was
received of it, in order of arrival. Limits and composites remember, so one Naive sees the decisions of one sampler in their
order. OTTL is not parsed: a condition's text is looked up among functions that mean the same.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, TracesData

from gateway.config.settings import PolicySettings, TailSampling

NO, KEEP, DROP, ERROR, SKIPPED = range(5)  # votes, as the product numbers them
STATUS = {"UNSET": 0, "OK": 1, "ERROR": 2}
INT_MIN, INT_MAX = -(2**63), 2**63 - 1


# ---------------------------------------------------------------- traces


class Stored(NamedTuple):
    """One span of a trace and what it stands in."""

    resource: Resource
    scope: InstrumentationScope
    span: Span
    batch: tuple[int, int, int]  # request, ResourceSpans and ScopeSpans it came in
    schema_urls: tuple[str, str]  # of those two


class Trace(NamedTuple):
    """What has come of one trace, in order of arrival."""

    trace_id: bytes
    spans: tuple[Stored, ...] = ()

    @property
    def resources(self) -> list[Resource]:
        """The resources with spans of this trace, once for each ResourceSpans."""
        return list({one.batch[:2]: one.resource for one in self.spans}.values())


def traces_of(requests: Iterable[ExportTraceServiceRequest], *, once: bool = True) -> dict[bytes, Trace]:
    """The traces of these requests, in order of arrival; `once`: a span that comes again is left out."""
    made: dict[bytes, Trace] = {}
    seen: set[tuple[bytes, bytes]] = set()
    for number, request in enumerate(requests):
        for one in _stored(number, request):
            key = one.span.trace_id, one.span.span_id
            if not (once and key in seen):
                seen.add(key)
                trace = made.get(one.span.trace_id, Trace(one.span.trace_id))
                made[one.span.trace_id] = trace._replace(spans=(*trace.spans, one))
    return made


def _stored(number: int, request: ExportTraceServiceRequest) -> Iterator[Stored]:
    for outer, resource_spans in enumerate(request.resource_spans):
        for inner, scope_spans in enumerate(resource_spans.scope_spans):
            for span in scope_spans.spans:
                urls = resource_spans.schema_url, scope_spans.schema_url
                yield Stored(resource_spans.resource, scope_spans.scope, span, (number, outer, inner), urls)


def collector_bytes(trace: Trace) -> int:
    """The size of the trace as the Collector keeps it: a ResourceSpans for each that came, schema URLs lost, and with messages
    and ids written out that are empty."""
    kept = _collected(trace)
    for outer in kept.resource_spans:
        outer.schema_url = ""
        outer.resource.SetInParent()
        for inner in outer.scope_spans:
            inner.schema_url = ""
            inner.scope.SetInParent()
            for span in inner.spans:
                span.status.SetInParent()
    return kept.ByteSize() + sum(_empty_ids(one.span) for one in trace.spans)


def received_bytes(trace: Trace) -> int:
    """The size of the trace as it came, a ResourceSpans for each that came."""
    return _collected(trace).ByteSize()


def _collected(trace: Trace) -> TracesData:
    """The trace in the messages it came in, without what else these held."""
    made = TracesData()
    before: Stored | None = None
    for one in trace.spans:
        if before is None or before.batch[:2] != one.batch[:2]:
            outer = made.resource_spans.add(schema_url=one.schema_urls[0])
            if one.resource.ByteSize():
                outer.resource.CopyFrom(one.resource)
        if before is None or before.batch != one.batch:
            inner = outer.scope_spans.add(schema_url=one.schema_urls[1])
            if one.scope.ByteSize():
                inner.scope.CopyFrom(one.scope)
        inner.spans.add().CopyFrom(one.span)
        before = one
    return made


def _empty_ids(span: Span) -> int:
    """What the Collector's messages spend on ids that are not there: a tag and a length of 0 each."""
    ids = [span.trace_id, span.span_id, span.parent_span_id]
    ids += [each for link in span.links for each in (link.trace_id, link.span_id)]
    return sum(2 for each in ids if not each)


# ---------------------------------------------------------------- decisions


class Decision(NamedTuple):
    """What becomes of a trace: one vote a policy in the order of the configuration; the index of the policy whose vote won, and
    of the composite's child that kept it, -1 if there is none."""

    votes: tuple[int, ...]
    keep: bool
    policy: int
    child: int


class OttlError(Exception):
    """A condition cannot be evaluated on this span or event."""


class Scene(NamedTuple):
    """What a condition is about."""

    resource: Resource
    scope: InstrumentationScope
    span: Span
    event: Span.Event | None = None


Condition = Callable[[Scene], bool]
"""What a condition's text means. Raises OttlError."""


class Bucket:
    """golang.org/x/time/rate in exact numbers: it starts full and refills all the time; a refusal takes nothing."""

    def __init__(self, rate: int, burst: int) -> None:
        self.rate = max(rate, 0)
        self.burst = burst if burst > 0 else 2 * rate
        self.tokens = Fraction(self.burst)
        self.at = Fraction(0)

    def take(self, count: int, now: float) -> bool:
        """Whether so many tokens are there, and are taken; being less than a nanosecond too early does not matter."""
        at = max(Fraction(now), self.at)
        tokens = min(Fraction(self.burst), self.tokens + (at - self.at) * self.rate)
        missing = count - tokens
        if count > self.burst or (missing > 0 and (self.rate == 0 or missing / self.rate >= Fraction(1, 10**9))):
            return False
        self.tokens, self.at = tokens - count, at
        return True


@dataclass
class Naive:
    """Decides traces under these settings. `conditions` gives the meaning of every OTTL condition in them by its text."""

    settings: TailSampling
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    measure: Callable[[Trace], int] = collector_bytes  # what a trace costs a limit of bytes
    _buckets: dict[int, Bucket] = field(default_factory=dict)
    _spent: dict[int, tuple[int, dict[str, int]]] = field(default_factory=dict)
    _child: int = -1

    @property
    def strict(self) -> bool:
        return self.settings.semantics == "strict"

    def decide(self, trace: Trace, now: float) -> Decision:
        """Ask the policies, drop ones first; drop beats keep, and the first to vote so is the one that decided."""
        policies = self.settings.policies
        votes = [SKIPPED] * len(policies)
        keeper = child = -1
        for index in self._order():
            if keeper >= 0 and self.strict and _limits(policies[index]):
                continue
            self._child = -1
            votes[index] = self.vote(policies[index], trace, now)
            if votes[index] == DROP:
                return Decision(tuple(votes), False, index, -1)
            if votes[index] == KEEP and keeper < 0:
                keeper, child = index, self._child
                if self.settings.sample_on_first_match:
                    break
        return Decision(tuple(votes), keeper >= 0, keeper, child)

    def _order(self) -> list[int]:
        """Drop policies come first; under strict semantics limiters last."""
        policies = self.settings.policies

        def rank(index: int) -> int:
            if policies[index].type == "drop":
                return 0
            return 2 if self.strict and _limits(policies[index]) else 1

        return sorted(range(len(policies)), key=rank)

    def vote(self, policy: PolicySettings, trace: Trace, now: float) -> int:
        """What one policy, nested or not, says of a trace."""
        values: dict[str, Any] = dict(policy.values)
        match policy.type:
            case "always_sample":
                return KEEP
            case "latency":
                return _keep(self._latency(values, trace))
            case "numeric_attribute":
                return self._attribute(values, trace, self._numeric(values))
            case "boolean_attribute":
                return self._attribute(values, trace, self._boolean(values))
            case "string_attribute":
                return self._string_attribute(values, trace)
            case "probabilistic":
                return _keep(_fnv(values.get("hash_salt") or "default-hash-seed", trace.trace_id) <= _threshold(values))
            case "status_code":
                return _keep(any(one.span.status.code in _codes(values) for one in trace.spans))
            case "rate_limiting":
                return _keep(self._bucket(policy, "spans_per_second").take(len(trace.spans), now))
            case "bytes_limiting":
                return _keep(self._bucket(policy, "bytes_per_second").take(self.measure(trace), now))
            case "span_count":
                most = values.get("max_spans", 0) or INT_MAX
                return _keep(values.get("min_spans", 0) <= len(trace.spans) <= most)
            case "trace_state":
                return _keep(any(_has_member(one.span.trace_state, values) for one in trace.spans))
            case "trace_flags":
                return _keep(any(one.span.flags & 1 for one in trace.spans))
            case "ottl_condition":
                return self._ottl(values, trace)
            case "and":
                return self._all(values["and_sub_policy"], trace, now, KEEP)
            case "drop":
                return self._all(values["drop_sub_policy"], trace, now, DROP)
            case "not":
                inner = self.vote(values["not_sub_policy"], trace, now)
                return {KEEP: NO, NO: KEEP}.get(inner, inner)
            case "composite":
                return self._composite(policy, values, trace, now)
        raise AssertionError(f"no policy type {policy.type}")

    def _all(self, subs: tuple[PolicySettings, ...], trace: Trace, now: float, success: int) -> int:
        """From left to right, no further than the first that does not say keep."""
        for sub in subs:
            vote = self.vote(sub, trace, now)
            if vote != KEEP:
                return vote
        return success

    # ------------------------------------------------------------ single traces

    def _latency(self, values: dict[str, Any], trace: Trace) -> bool:
        above, up_to = values.get("threshold_ms", 0), values.get("upper_threshold_ms", 0)
        durations = list(_durations(trace))
        if not up_to:
            return any(above < each for each in durations)
        if self.strict:
            durations = durations[-1:]
        return any(above < each <= up_to for each in durations)

    def _attribute(self, values: dict[str, Any], trace: Trace, matches: Callable[[AnyValue], bool]) -> int:
        """Whether any resource or any span has a matching value under the key."""
        groups = [resource.attributes for resource in trace.resources] + [one.span.attributes for one in trace.spans]
        found = any(matches(value) for group in groups for value in _under(values.get("key", ""), group))
        return _keep(found != values.get("invert_match", False))

    def _numeric(self, values: dict[str, Any]) -> Callable[[AnyValue], bool]:
        low, high = values.get("min_value"), values.get("max_value")
        if self.strict:
            least = -math.inf if low is None else low
            most = math.inf if high is None else high
            kinds = ("int_value", "double_value")
            return lambda value: _kind(value) in kinds and least <= getattr(value, _kind(value)) <= most
        least, most = low or INT_MIN, high or INT_MAX
        return lambda value: least <= value.int_value <= most  # of another type: 0

    def _boolean(self, values: dict[str, Any]) -> Callable[[AnyValue], bool]:
        wanted = values.get("value", False)
        if self.strict:
            return lambda value: _kind(value) == "bool_value" and value.bool_value == wanted
        return lambda value: value.bool_value == wanted  # of another type: false

    def _string_attribute(self, values: dict[str, Any], trace: Trace) -> int:
        """As _attribute, but spans whose value is empty, or of another type, never match."""
        key = values.get("key", "")
        texts = [value for one in trace.resources for value in _under(key, one.attributes)]
        if self.strict:
            texts = [value for value in texts if _kind(value) == "string_value"]
        of_spans = [value for one in trace.spans for value in _under(key, one.span.attributes)]
        texts += [value for value in of_spans if value.string_value]
        found = any(self._text_matches(value.string_value, values) for value in texts)
        return _keep(found != values.get("invert_match", False))

    def _text_matches(self, text: str, values: dict[str, Any]) -> bool:
        wanted = values.get("values", ())
        if not values.get("enabled_regex_matching", False):
            return text != "" and text in wanted
        if self.strict:
            return any(re.fullmatch(each, text) for each in wanted)
        return any(re.search(each, text) for each in wanted)

    def _ottl(self, values: dict[str, Any], trace: Trace) -> int:
        propagate = values.get("error_mode") == "propagate"
        try:
            for one in trace.spans:
                scene = Scene(*one[:3])
                if self._any_condition(values.get("span", ()), scene, propagate):
                    return KEEP
                for event in one.span.events:
                    if self._any_condition(values.get("spanevent", ()), scene._replace(event=event), propagate):
                        return KEEP
        except OttlError:
            return ERROR
        return NO

    def _any_condition(self, texts: Iterable[str], scene: Scene, propagate: bool) -> bool:
        for text in texts:
            try:
                if self.conditions[text](scene):
                    return True
            except OttlError:
                if propagate:
                    raise
        return False

    # ------------------------------------------------------------ what remembers

    def _bucket(self, policy: PolicySettings, rate: str) -> Bucket:
        """Every place in the configuration has a bucket of its own, also where the same is said twice."""
        values: dict[str, Any] = dict(policy.values)
        return self._buckets.setdefault(id(policy), Bucket(values.get(rate, 0), values.get("burst_capacity", 0)))

    def _composite(self, policy: PolicySettings, values: dict[str, Any], trace: Trace, now: float) -> int:
        total = values.get("max_total_spans_per_second", 0)
        second, spent = self._spent.get(id(policy), (-1, {}))
        if second != math.floor(now):
            second, spent = math.floor(now), {}
            self._spent[id(policy)] = second, spent
        for index, sub in self._children(values):
            vote = self.vote(sub, trace, now)
            if vote == ERROR:
                return ERROR
            if vote == KEEP:
                mine = spent.get(sub.name, 0) + len(trace.spans)
                all_of_them = sum(spent.values()) + len(trace.spans) if self.strict else mine
                if mine <= _share(values, sub.name) and all_of_them <= total:
                    spent[sub.name], self._child = mine, index
                    return KEEP
                if not self.strict:
                    return NO
        return NO

    def _children(self, values: dict[str, Any]) -> list[tuple[int, PolicySettings]]:
        """(index, policy) in the order in which they are tried: that of the definition, and of policy_order in strict."""
        subs = list(enumerate(values["composite_sub_policy"]))
        order = list(values.get("policy_order", ()))
        if self.strict and order:
            subs.sort(key=lambda pair: order.index(pair[1].name) if pair[1].name in order else len(order))
        return subs


def _keep(condition: bool) -> int:
    return KEEP if condition else NO


def _limits(policy: PolicySettings) -> bool:
    """Whether it spends something when it says keep, or something nested in it does; a drop policy decides first anyway."""
    if policy.type == "drop":
        return False
    return any(each.type in ("rate_limiting", "bytes_limiting", "composite") for each in flat(policy))


def flat(policy: PolicySettings) -> Iterator[PolicySettings]:
    """The policy and all that are nested in it."""
    yield policy
    for key, value in policy.values:
        if key.endswith("_sub_policy"):
            nested: Any = value
            for sub in (nested,) if isinstance(nested, PolicySettings) else nested:
                yield from flat(sub)


def _under(key: str, attributes: Iterable[KeyValue]) -> list[AnyValue]:
    """The value under this key, of which the first counts; none if there is no such key."""
    return [each.value for each in attributes if each.key == key][:1]


def _kind(value: AnyValue) -> str:
    return value.WhichOneof("value") or ""


def _durations(trace: Trace) -> Iterator[int]:
    """How long the trace was after each of its spans, in whole ms; an end of the trace that is 0 counts as not known yet."""
    start = end = 0
    for one in trace.spans:
        if start == 0 or one.span.start_time_unix_nano < start:
            start = one.span.start_time_unix_nano
        if end == 0 or one.span.end_time_unix_nano > end:
            end = one.span.end_time_unix_nano
        lasted = min(max(_signed(end) - _signed(start), INT_MIN), INT_MAX)
        yield int(Fraction(lasted, 1_000_000))  # cut off towards zero


def _signed(instant: int) -> int:
    """An instant of 64 bits as the Collector's clock takes it: the later half lies before 1970."""
    return instant - 2**64 if instant >= 2**63 else instant


def _codes(values: dict[str, Any]) -> list[int]:
    return [STATUS[each] for each in values["status_codes"]]


def _fnv(salt: str, trace_id: bytes) -> int:
    """FNV-1a, 64 bits."""
    state = 0xCBF29CE484222325
    for byte in salt.encode() + trace_id:
        state = ((state ^ byte) * 0x100000001B3) % 2**64
    return state


def _threshold(values: dict[str, Any]) -> int:
    """The share of 2^64 - 1 that is kept: a float64 share, the product rounded to 64 bits of mantissa, half to even."""
    exact = Fraction(values.get("sampling_percentage", 0.0) / 100) * (2**64 - 1)
    if exact <= 0:
        return 0
    unit = Fraction(2) ** (_bits(exact) - 64)
    return min(int(round(exact / unit) * unit), 2**64 - 1)


def _bits(number: Fraction) -> int:
    """The exponent of a number's mantissa: 2^(bits - 1) <= number < 2^bits."""
    bits = 0
    while number >= Fraction(2) ** bits:
        bits += 1
    while number < Fraction(2) ** (bits - 1):
        bits -= 1
    return bits


def _share(values: dict[str, Any], name: str) -> int:
    """Spans a second of this child of a composite: its percentage in float64, or the same for all."""
    total = float(values.get("max_total_spans_per_second", 0))
    percent = dict(values.get("rate_allocation", ())).get(name, 0)
    return int(percent / 100 * total if percent > 0 else total / len(values["composite_sub_policy"]))


# ---------------------------------------------------------------- tracestate

_KEY = re.compile(r"[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13}")
_VALUE = re.compile(r"[ -+\--<>-~]{0,255}[!-+\--<>-~]")


def _has_member(text: str, values: dict[str, Any]) -> bool:
    key = values.get("key", "")
    wanted = [each for each in values.get("values", ()) if each and len(key.encode()) + len(each.encode()) < 256]
    return (_members(text) or {}).get(key, "") in wanted


def _members(text: str) -> dict[str, str] | None:
    """The members of a W3C tracestate; None if it is not one."""
    members: dict[str, str] = {}
    for member in filter(None, text.split(",")):
        key, equals, value = member.partition("=")
        key, value = key.lstrip(" \t"), value.rstrip(" \t")
        if not (equals and _KEY.fullmatch(key) and _VALUE.fullmatch(value)) or key in members:
            return None
        members[key] = value
    return members if len(members) <= 32 else None
