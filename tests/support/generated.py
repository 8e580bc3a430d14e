"""Random policies and random traces from the same few keys and values, so that they meet often, and at their edges.

`draw` is a random.Random, or Hypothesis's, which can make a found case smaller. What a generated OTTL condition means stands
beside its text in CONDITIONS.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

from gateway.config.settings import PolicySettings
from tests.support.naive import Condition, OttlError, Scene

KEYS = ("k", "n", "s", "", "b.c")
TEXTS = ("", "a", "ab", "true", "5", "0", "b a")
REGEXES = ("a", "^a$", "b+", "^$", ".*", "", "[ab]b|5", "(?i)A", "a.", r"\d", "^true")
NUMBERS = (0, 1, 5, -3, 2**40, -(2**63), 2**63 - 1)
BOUNDS = (None, 0, -3, 1, 5, 6, 2**40, -(2**63), 2**63 - 1)
TRACE_STATES = (
    "",
    "k=v",
    "k=v,a/b=w",
    "k=v,k=w",
    " k=v ",
    "k= v",
    "k=v,",
    ",k=v",
    "k=v, ,a/b=w",
    "K=v",
    "k=",
    "=v",
    "k",
    "1t@s=w",
    "1t=w",
    "k=x y",
    "\tk=v\t,a/b=w",
    "\u0161k=v,k=v",
    "k\u0161=v,k=v",
    "k=v\u0161,k=v",
    "k=\u0161",
    "k=v\x7f",
    "k=v;w,m3=v",
    "k=v ,k =w",
    "k =v",
    "\xa0k=v",
    "k=v=w",
    "k=" + "v" * 254,
    "k=" + "v" * 255,
    "k=" + "v" * 256,
    "k=" + "v" * 257,
    "k" * 257 + "=v,k=v",
    ",".join([f"m{n}=1" for n in range(31)] + ["k=v"]),
    ",".join([f"m{n}=1" for n in range(32)] + ["k=v"]),
    "ot=th:8;rv:ffffffffffffff,k=v",
)
FLAGS = (0, 0, 1, 2, 3, 0x100, 0x101, 0x300)
BASE = 1_700_000_000_000_000_000  # ns
OFFSETS = (
    0,
    1,
    999_999,
    1_000_000,
    1_000_001,
    5_000_000,
    5_999_999,
    6_000_000,
    100_000_000,
    101_000_000,
    5_001_000_000,
)
NAMES = ("work", "a", "GET /", "")
EVENTS = ("exception", "a", "")

# ---------------------------------------------------------------- traces


def value(draw: random.Random) -> AnyValue:
    """A value of any type, or of none."""
    match draw.randrange(12):
        case 0 | 1 | 2 | 3:
            return AnyValue(string_value=draw.choice(TEXTS))
        case 4 | 5 | 6:
            return AnyValue(int_value=draw.choice(NUMBERS))
        case 7 | 8:
            return AnyValue(bool_value=draw.choice((True, False)))
        case 9:
            return AnyValue(double_value=draw.choice((0.0, 1.5, 5.0, -3.0, float("inf"))))
        case 10:
            return AnyValue(bytes_value=b"a") if draw.randrange(2) else AnyValue()
    inner = AnyValue(string_value="a")
    if draw.randrange(2):
        return AnyValue(array_value=ArrayValue(values=[inner]))
    return AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="k", value=inner)]))


def attributes(draw: random.Random, most: int = 3) -> list[KeyValue]:
    """A few attributes; hardly ever is a key there twice."""
    keys = [draw.choice(KEYS) for _ in range(draw.randrange(most + 1))]
    if draw.randrange(10):
        keys = list(dict.fromkeys(keys))
    return [KeyValue(key=key, value=value(draw)) for key in keys]


def moment(draw: random.Random) -> int:
    """A time in ns, seldom the one that means unset, or one at the ends of what a clock can show."""
    if not draw.randrange(30):
        return draw.choice((1, 2, 7_000_000, 2**63 - 1, 2**63 - 7_000_000))
    return BASE + draw.choice(OFFSETS) if draw.randrange(10) else 0


def span(draw: random.Random, trace_id: bytes, span_id: bytes) -> Span:
    """A span of this trace."""
    made = Span(
        trace_id=trace_id,
        span_id=span_id,
        trace_state=draw.choice(TRACE_STATES) if draw.randrange(2) else "",
        parent_span_id=draw.choice((b"", b"\x01" * 8)),
        flags=draw.choice(FLAGS),
        name=draw.choice(NAMES),
        kind=Span.SpanKind.ValueType(draw.randrange(6)),
        start_time_unix_nano=moment(draw),
        end_time_unix_nano=moment(draw),
        attributes=attributes(draw),
    )
    if draw.randrange(2):
        made.status.code = draw.choice((0, 1, 1, 2, 2, 3, -1, 2**31 - 1))  # type: ignore[assignment]
    for _ in range(draw.choice((0, 0, 0, 1, 2))):
        made.events.add(name=draw.choice(EVENTS), time_unix_nano=moment(draw), attributes=attributes(draw, 2))
    if not draw.randrange(8):
        made.links.add(trace_id=draw.choice((b"", b"\x02" * 16)), span_id=b"\x03" * 8)
    return made


def traffic(draw: random.Random, trace_ids: Sequence[bytes], requests: int) -> list[ExportTraceServiceRequest]:
    """One to six spans of each trace, anywhere in these requests; traces share resources and scopes."""
    made = [ExportTraceServiceRequest() for _ in range(requests)]
    spans = [trace_id for trace_id in trace_ids for _ in range(draw.choice((1, 1, 2, 3, 4, 6)))]
    draw.shuffle(spans)
    for number, trace_id in enumerate(spans, 1):
        request = draw.choice(made)
        outer = _one_of(draw, request.resource_spans, lambda all_: _resource_spans(draw, all_))
        inner = _one_of(draw, outer.scope_spans, lambda all_: _scope_spans(draw, all_))
        inner.spans.append(span(draw, trace_id, number.to_bytes(8, "big")))
    return [request for request in made if request.resource_spans]


def _one_of(draw: random.Random, there: Any, add: Callable[[Any], Any]) -> Any:
    """One of those that are there, or a new one."""
    return draw.choice(there) if there and draw.randrange(4) else add(there)


def _resource_spans(draw: random.Random, all_: Any) -> ResourceSpans:
    made: ResourceSpans = all_.add(schema_url=draw.choice(("", "https://example.com/1")))
    if draw.randrange(3):
        made.resource.attributes.extend(attributes(draw, 2))
    return made


def _scope_spans(draw: random.Random, all_: Any) -> Any:
    made = all_.add()
    if draw.randrange(2):
        made.scope.name = draw.choice(("lib", "a"))
    return made


# ---------------------------------------------------------------- conditions


def _get(attributes_: Sequence[KeyValue], key: str) -> AnyValue | None:
    return next((each.value for each in attributes_ if each.key == key), None)


def _kind(found: AnyValue | None) -> str | None:
    return None if found is None else found.WhichOneof("value")


def _number(found: AnyValue | None) -> float | None:
    kind = _kind(found)
    return getattr(found, kind) if kind in ("int_value", "double_value") else None


def _of(scene: Scene) -> Sequence[KeyValue]:
    """The attributes that a path without a context means."""
    return scene.span.attributes if scene.event is None else scene.event.attributes


def _equals(key: str, text: str) -> Condition:
    return lambda scene: (
        _kind(_get(_of(scene), key)) == "string_value" and _get(_of(scene), key).string_value == text  # type: ignore[union-attr]
    )


def _compare(key: str, test: Callable[[float], bool]) -> Condition:
    def judge(scene: Scene) -> bool:
        number = _number(_get(_of(scene), key))
        return number is not None and test(number)

    return judge


def _indexed(scene: Scene) -> bool:
    """attributes["s"]["k"] == "a": nothing where there is nothing, an error where it is no map."""
    found = _get(_of(scene), "s")
    match _kind(found):
        case None:
            if found is None:
                return False
        case "kvlist_value":
            assert found is not None
            inner = _get(found.kvlist_value.values, "k")
            return _kind(inner) == "string_value" and inner.string_value == "a"  # type: ignore[union-attr]
    raise OttlError


def _matches(pattern: str, of: Callable[[Scene], str]) -> Condition:
    return lambda scene: re.search(pattern, of(scene)) is not None


SPAN_CONDITIONS: dict[str, Condition] = {
    'attributes["k"] == "a"': _equals("k", "a"),
    'attributes["k"] != "a"': lambda scene: not _equals("k", "a")(scene),
    'attributes["n"] > 3': _compare("n", lambda number: number > 3),
    'attributes["n"] == 5': _compare("n", lambda number: number == 5),
    'attributes["n"] <= 1.5': _compare("n", lambda number: number <= 1.5),
    'attributes["k"] == nil': lambda scene: _kind(_get(_of(scene), "k")) is None,
    'attributes["b.c"] == true': lambda scene: (
        _kind(_get(_of(scene), "b.c")) == "bool_value" and _get(_of(scene), "b.c").bool_value  # type: ignore[union-attr]
    ),
    'not (attributes["k"] == "a") and status.code == 2': lambda scene: (
        not _equals("k", "a")(scene) and scene.span.status.code == 2
    ),
    'status.code == 1 or attributes["k"] == "ab"': lambda scene: (
        scene.span.status.code == 1 or _equals("k", "ab")(scene)
    ),
    "kind == 2": lambda scene: scene.span.kind == 2,
    'name == ""': lambda scene: scene.span.name == "",
    'resource.attributes["s"] == "a"': lambda scene: _equals("s", "a")(
        scene._replace(event=None, span=Span(attributes=scene.resource.attributes))
    ),
    'IsMatch(name, "^w|T /")': _matches("^w|T /", lambda scene: scene.span.name),
    'IsString(attributes["k"])': lambda scene: _kind(_get(_of(scene), "k")) == "string_value",
    'IsInt(attributes["n"])': lambda scene: _kind(_get(_of(scene), "n")) == "int_value",
    "Len(name) == 4": lambda scene: len(scene.span.name) == 4,
    'Concat([name, "x"], "-") == "a-x"': lambda scene: scene.span.name == "a",
    'attributes["s"]["k"] == "a"': _indexed,
    "IsRootSpan()": lambda scene: scene.span.parent_span_id == b"",
}
EVENT_CONDITIONS: dict[str, Condition] = {
    'name == "exception"': lambda scene: scene.event is not None and scene.event.name == "exception",
    'attributes["k"] == "a"': SPAN_CONDITIONS['attributes["k"] == "a"'],
    'attributes["n"] > 3': SPAN_CONDITIONS['attributes["n"] > 3'],
    'attributes["s"]["k"] == "a"': _indexed,
    'span.name == "work"': lambda scene: scene.span.name == "work",
    'resource.attributes["s"] == "a"': SPAN_CONDITIONS['resource.attributes["s"] == "a"'],
}
CONDITIONS: dict[str, Condition] = {**SPAN_CONDITIONS, **EVENT_CONDITIONS}

# ---------------------------------------------------------------- policies

LEAVES = (
    "always_sample",
    "latency",
    "numeric_attribute",
    "boolean_attribute",
    "string_attribute",
    "probabilistic",
    "status_code",
    "span_count",
    "trace_state",
    "trace_flags",
    "ottl_condition",
    "rate_limiting",
    "bytes_limiting",
)
NESTING = ("and", "not", "drop", "composite")
PLENTY = 10**12  # a second: never used up, so that only the burst matters


class Policies:
    """Makes policies. `limits`: whether limiters and composites run dry, so that the time and the order of traces matter;
    without, each trace is judged alone. `strict` also gives what only strict semantics can tell."""

    def __init__(self, draw: random.Random, *, limits: bool, strict: bool = False) -> None:
        self.draw = draw
        self.limits = limits
        self.strict = strict
        self._below_zero = () if strict else (-1, -5)  # means something to the Collector alone

    def policies(self, most: int) -> tuple[PolicySettings, ...]:
        """One to so many policies for the top level."""
        return tuple(self.top(f"p{number}") for number in range(self.draw.randint(1, most)))

    def top(self, name: str) -> PolicySettings:
        """One policy of any type."""
        kind = self.draw.choice(LEAVES + NESTING)
        return self.leaf(name, kind) if kind in LEAVES else self.nesting(name, kind)

    def nesting(self, name: str, kind: str) -> PolicySettings:
        """A policy with others in it."""
        match kind:
            case "not":
                return _policy(name, "not", not_sub_policy=self.leaf("s0"))
            case "composite":
                return self.composite(name)
        count = self.draw.choice((1, 1, 2, 2, 3) if kind == "drop" else (0, 1, 2, 2, 3))
        subs = tuple(self.leaf_or(f"s{number}", "not") for number in range(count))
        return _policy(name, kind, **{f"{kind}_sub_policy": subs})

    def leaf_or(self, name: str, other: str) -> PolicySettings:
        return self.leaf(name) if self.draw.randrange(4) else self.nesting(name, other)

    def composite(self, name: str) -> PolicySettings:
        draw = self.draw
        subs = tuple(self.leaf_or(f"s{number}", "and") for number in range(draw.choice((1, 2, 3))))
        names = [each.name for each in subs]
        order = list(names)
        draw.shuffle(order)
        totals = (0, 1, 7, 20, 57, 100) if self.limits else (0, PLENTY)
        shares = tuple((each, draw.choice((0, 10, 29, 50, 57, 100))) for each in names if draw.randrange(3))
        return _policy(
            name,
            "composite",
            max_total_spans_per_second=draw.choice(totals),
            policy_order=tuple(order),
            composite_sub_policy=subs,
            rate_allocation=shares,
        )

    def leaf(self, name: str, kind: str | None = None) -> PolicySettings:
        """A policy with nothing in it."""
        kind = kind or self.draw.choice(LEAVES)
        made: dict[str, Any] = getattr(self, f"_{kind}")()
        return _policy(name, kind, **made)

    def _always_sample(self) -> dict[str, Any]:
        return {}

    def _latency(self) -> dict[str, Any]:
        above = self.draw.choice((0, 1, 5, 100, 5_000, 9 * 10**12, *self._below_zero))
        return {"threshold_ms": above} | self._maybe(
            "upper_threshold_ms", (0, 1, 5, 6, 100, 5_001, 10**13, *self._below_zero)
        )

    def _numeric_attribute(self) -> dict[str, Any]:
        low, high = self.draw.choice(BOUNDS), self.draw.choice(BOUNDS)
        if not (low or high) and not (self.strict and (low, high) != (None, None)):
            high = 5  # without any bound the Collector dies of it
        bounds = {"min_value": low, "max_value": high}
        return {"key": self._key(), **{key: each for key, each in bounds.items() if each is not None}, **self._invert()}

    def _boolean_attribute(self) -> dict[str, Any]:
        return {"key": self._key(), "value": self.draw.choice((True, False)), **self._invert()}

    def _string_attribute(self) -> dict[str, Any]:
        draw = self.draw
        made = {"key": self._key(), **self._invert()}
        if draw.randrange(2):
            made |= {"enabled_regex_matching": True, "values": self._some(REGEXES)}
            return made | self._maybe("cache_max_size", (0, 1, 10))
        return made | {"values": self._some(TEXTS)}

    def _probabilistic(self) -> dict[str, Any]:
        percent = self.draw.choice((0.0, 1.0, 33.3, 50.0, 99.9, 100.0, -50.0, 150.0, 1e-15, 1e300))
        return {"sampling_percentage": percent} | self._maybe("hash_salt", ("", "salt", "é"))

    def _status_code(self) -> dict[str, Any]:
        return {"status_codes": self._some(("OK", "ERROR", "UNSET")) or ("ERROR",)}

    def _span_count(self) -> dict[str, Any]:
        return {"min_spans": self.draw.choice((0, 1, 2, 3, 6))} | self._maybe(
            "max_spans", (0, 1, 2, 4, *self._below_zero)
        )

    def _trace_state(self) -> dict[str, Any]:
        values = ("v", "", "w", "x y", " v", "v" * 254, "v" * 255, "v=w")
        return {"key": self.draw.choice(("k", "a/b", "1t@s", "m3", "K")), "values": self._some(values) or ("v",)}

    def _trace_flags(self) -> dict[str, Any]:
        return {}

    def _ottl_condition(self) -> dict[str, Any]:
        spans, events = self._some(tuple(SPAN_CONDITIONS), 2), self._some(tuple(EVENT_CONDITIONS), 2)
        if not (spans or events):
            spans = ('attributes["s"]["k"] == "a"',)
        made = {key: each for key, each in (("span", spans), ("spanevent", events)) if each}
        return made | self._maybe("error_mode", ("propagate", "propagate", "ignore", "silent"))

    def _rate_limiting(self) -> dict[str, Any]:
        if self.limits:
            return {"spans_per_second": self.draw.choice((0, 1, 3, 8))} | self._maybe("burst_capacity", (0, 1, 5, 20))
        if self.draw.randrange(4):
            return {"spans_per_second": PLENTY, "burst_capacity": self.draw.choice((1, 2, 4, 100))}
        return {"spans_per_second": 0}

    def _bytes_limiting(self) -> dict[str, Any]:
        bursts = (100, 200, 300, 500, 1_000)
        if self.limits:
            return {"bytes_per_second": self.draw.choice((0, 50, 256))} | self._maybe("burst_capacity", (0, *bursts))
        if self.draw.randrange(4):
            return {"bytes_per_second": PLENTY, "burst_capacity": self.draw.choice(bursts)}
        return {"bytes_per_second": 0}

    def _key(self) -> str:
        """The empty one, which an attribute may have, is refused in a policy."""
        return self.draw.choice([key for key in KEYS if key])

    def _invert(self) -> dict[str, Any]:
        return self._maybe("invert_match", (True, True, False))

    def _maybe(self, key: str, choices: Sequence[Any]) -> dict[str, Any]:
        """A key that may be left out."""
        return {key: self.draw.choice(choices)} if self.draw.randrange(2) else {}

    def _some(self, choices: Sequence[str], most: int = 3) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.draw.choice(choices) for _ in range(self.draw.randrange(most + 1))))


def _policy(name: str, kind: str, **values: Any) -> PolicySettings:
    return PolicySettings(name, kind, tuple(values.items()))


def yaml_of(policy: PolicySettings) -> dict[str, Any]:
    """The policy as it stands in a configuration file."""
    block = {key: _plain(key, each) for key, each in policy.values}
    return {"name": policy.name, "type": policy.type} | ({policy.type: block} if block else {})


def _plain(key: str, given: Any) -> Any:
    if isinstance(given, PolicySettings):
        return yaml_of(given)
    if key == "rate_allocation":
        return [{"policy": name, "percent": percent} for name, percent in given]
    if isinstance(given, tuple):
        return [_plain("", each) for each in given]
    return given.replace("$", "$$") if isinstance(given, str) else given
