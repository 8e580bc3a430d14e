"""Policies as the file lists them: an entry has a name, a type and the block of that type; some types hold further policies.

Owns which type may stand where and that every type has its own block and no other. What the leaf types are told is
gateway.config.policy_types'; what stands around the list is gateway.config.tail_sampling's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator
from typing_extensions import override

from gateway.config import policy_types as leaves
from gateway.config import settings
from gateway.config.block import LIST, PRESENT, Block, Flaw, keys_of
from gateway.config.scalars import Choice, Text, Whole, wrong
from gateway.config.tree import Path, Substituted
from gateway.config.words import listed, meant, shown

LEAVES: Mapping[str, type[Block]] = {
    "always_sample": leaves.AlwaysSample,
    "latency": leaves.Latency,
    "numeric_attribute": leaves.NumericAttribute,
    "boolean_attribute": leaves.BooleanAttribute,
    "string_attribute": leaves.StringAttribute,
    "probabilistic": leaves.Probabilistic,
    "status_code": leaves.StatusCode,
    "rate_limiting": leaves.RateLimiting,
    "bytes_limiting": leaves.BytesLimiting,
    "span_count": leaves.SpanCount,
    "trace_state": leaves.TraceState,
    "trace_flags": leaves.TraceFlags,
    "ottl_condition": leaves.OttlCondition,
}
"""The types that hold no others, each with its block."""

HOLDERS = ("and", "not", "drop", "composite")
POLICY_TYPES = (*LEAVES, *HOLDERS)
_SUBS = {kind: f"{kind}_sub_policy" for kind in HOLDERS}

_IN_NOT = (tuple(LEAVES), "in a not: it takes one policy that holds no others")
_IN_AND = ((*LEAVES, "not"), "in an and or a drop: they take not, and policies that hold no others")
_IN_COMPOSITE = ((*LEAVES, "and"), "in a composite: it takes and, and policies that hold no others")


@dataclass(frozen=True, slots=True)
class PolicyType(Choice):
    """The type of a policy. `where` says what one that exists cannot do here."""

    where: str = ""

    @override
    def read(self, given: Any, said: str) -> object:
        if given in self.choices:
            return given
        if given in POLICY_TYPES:
            raise wrong(f"{said} cannot stand {self.where}")
        if not isinstance(given, str):
            raise wrong(f"expected the type of a policy, got {said}")
        raise wrong(f"there is no policy type {said}{meant(given, self.choices) or f'; there are {self._all}'}")

    @property
    def _all(self) -> str:
        return listed(self.choices, "and")


def _refusals(place: tuple[tuple[str, ...], str]) -> dict[str, str]:
    allowed, where = place
    return {kind: f"{kind} cannot stand {where}" for kind in POLICY_TYPES if kind not in allowed}


class Entry(Block):
    """A policy that holds no others, as it stands in a not."""

    apart: ClassVar[str] = "policy"
    kinds: ClassVar[tuple[str, ...]] = _IN_NOT[0]
    refused: ClassVar[Mapping[str, str]] = _refusals(_IN_NOT)

    name: Annotated[str, Text("a name", empty=True)] = Field("", description="Names the policy, for people.")
    type: Annotated[str, PolicyType(_IN_NOT[0], where=_IN_NOT[1])] = Field(description="What kind of policy it is.")
    always_sample: Annotated[leaves.AlwaysSample | None, PRESENT] = Field(None)
    latency: Annotated[leaves.Latency | None, PRESENT] = Field(None)
    numeric_attribute: Annotated[leaves.NumericAttribute | None, PRESENT] = Field(None)
    boolean_attribute: Annotated[leaves.BooleanAttribute | None, PRESENT] = Field(None)
    string_attribute: Annotated[leaves.StringAttribute | None, PRESENT] = Field(None)
    probabilistic: Annotated[leaves.Probabilistic | None, PRESENT] = Field(None)
    status_code: Annotated[leaves.StatusCode | None, PRESENT] = Field(None)
    rate_limiting: Annotated[leaves.RateLimiting | None, PRESENT] = Field(None)
    bytes_limiting: Annotated[leaves.BytesLimiting | None, PRESENT] = Field(None)
    span_count: Annotated[leaves.SpanCount | None, PRESENT] = Field(None)
    trace_state: Annotated[leaves.TraceState | None, PRESENT] = Field(None)
    trace_flags: Annotated[leaves.TraceFlags | None, PRESENT] = Field(None)
    ottl_condition: Annotated[leaves.OttlCondition | None, PRESENT] = Field(None)

    @model_validator(mode="before")
    @classmethod
    def _one_mistake_a_type(cls, given: object) -> object:
        """The block of a type that cannot stand here is no second mistake."""
        if isinstance(given, dict):
            kind = text_of(given.get("type"))
            if kind in POLICY_TYPES and kind not in cls.kinds:
                return {key: value for key, value in given.items() if key != kind}
        return given

    @classmethod
    def flaws_in(cls, given: Mapping[str, object]) -> Iterator[Flaw]:
        """The block that the type names is there, and none of another type; the same for the policies inside."""
        kind = text_of(given.get("type"))
        if not isinstance(kind, str) or kind not in cls.kinds:
            return
        blocks = {key: block_of(cls, key) for key in cls.kinds}
        needs = bool(keys_of(blocks[kind]))
        if needs and kind not in given:
            yield Flaw((), f'the type {kind} needs its block "{kind}"')
        for other in cls.kinds:
            if other != kind and other in given:
                instead = f'which needs the block "{kind}"' if needs else "which needs none"
                yield Flaw((other,), f"this block is for the type {other}; the type here is {kind}, {instead}")
        inside = given.get(kind)
        if isinstance(inside, dict):
            yield from (Flaw((kind, *path), message) for path, message in blocks[kind].flaws_in(inside))

    @property
    def block(self) -> Block | None:
        """The block of its type, if it is there: a type without keys needs none, and where another lacks it, flaws_in says so."""
        name, _ = keys_of(type(self))[self.type]
        found = getattr(self, name)
        return found if isinstance(found, Block) else None

    def walk(self, path: Path) -> Iterator[tuple[Path, Entry]]:
        """This policy and all inside it, each with its path."""
        yield path, self
        if isinstance(self.block, Holder):
            for steps, sub in self.block.inside():
                yield from sub.walk((*path, self.type, *steps))

    def settings(self) -> settings.PolicySettings:
        """The settings: only the values that the file gives, defaults being the policy's own."""
        return settings.PolicySettings(self.name, self.type, _values(self.block) if self.block else ())


def block_of(entry: type[Entry], kind: str) -> type[Block]:
    """The model of the block of a type."""
    return LEAVES[kind] if kind in LEAVES else HOLDING[kind]


def text_of(given: object) -> object:
    """What a variable gave as text, anything else as it is."""
    return given.text if isinstance(given, Substituted) else given


def _values(block: Block) -> tuple[tuple[str, object], ...]:
    given = [(key, name) for key, (name, _) in keys_of(type(block)).items() if name in block.model_fields_set]
    return tuple((key, _value(getattr(block, name))) for key, name in given)


def _value(value: object) -> object:
    if isinstance(value, list):
        return tuple(map(_value, value))
    if isinstance(value, RateAllocation):
        return value.policy, value.percent
    return value.settings() if isinstance(value, Entry) else value


class Holder(Block):
    """A block that holds policies."""

    holds: ClassVar[str]

    def inside(self) -> Iterator[tuple[Path, Entry]]:
        """The policies, each with its path from this block."""
        held = getattr(self, self.holds)
        if isinstance(held, Entry):
            yield (self.holds,), held
        else:
            yield from (((self.holds, index), sub) for index, sub in enumerate(held))

    @classmethod
    def flaws_in(cls, given: Mapping[str, object]) -> Iterator[Flaw]:
        """What can be said of the policies inside before they are read."""
        held = given.get(cls.holds)
        subs = enumerate(held) if isinstance(held, list) else ((None, held),)
        for index, sub in subs:
            if isinstance(sub, dict):
                path: Path = (cls.holds,) if index is None else (cls.holds, index)
                yield from (Flaw((*path, *flaw.path), flaw.message) for flaw in cls.entry().flaws_in(sub))

    @classmethod
    def entry(cls) -> type[Entry]:
        """What it holds."""
        raise AssertionError("every holder says what it holds")


class Not(Holder):
    """Keeps what one policy does not, and the other way round. A policy that cannot be evaluated has no say either way."""

    example: ClassVar[str] = """\
name: not-slow
type: not
not:
  not_sub_policy: {name: slow, type: latency, latency: {threshold_ms: 1000}}
"""
    holds: ClassVar[str] = _SUBS["not"]

    not_sub_policy: Entry = Field(description="The policy: one of those that hold no others.")

    @classmethod
    @override
    def entry(cls) -> type[Entry]:
        return Entry


class AndEntry(Entry):
    """A policy as it stands in an and or a drop."""

    kinds: ClassVar[tuple[str, ...]] = _IN_AND[0]
    refused: ClassVar[Mapping[str, str]] = _refusals(_IN_AND)

    type: Annotated[str, PolicyType(_IN_AND[0], where=_IN_AND[1])] = Field(description="What kind of policy it is.")
    not_: Annotated[Not | None, PRESENT] = Field(None, alias="not")


class And(Holder):
    """Keeps what all of its policies keep. They are asked in order; the first that does not keep ends the asking.

    A limiter behind a policy that does not keep is therefore not charged.
    """

    example: ClassVar[str] = """\
name: slow-checkouts
type: and
and:
  and_sub_policy:
    - {name: checkout, type: string_attribute, string_attribute: {key: service.name, values: [checkout]}}
    - {name: slow, type: latency, latency: {threshold_ms: 500}}
"""
    holds: ClassVar[str] = _SUBS["and"]

    and_sub_policy: list[AndEntry] = Field(description="The policies: those that hold no others, and `not`.")

    @classmethod
    @override
    def entry(cls) -> type[Entry]:
        return AndEntry

    def flaws(self) -> Iterator[Flaw]:
        """It holds something."""
        if not self.and_sub_policy:
            yield Flaw(("and_sub_policy",), "names no policy; it would keep every trace, which always_sample does")


class Drop(Holder):
    """Drops what all of its policies keep, whatever other policies say. All drop policies are asked before any other.

    One that cannot be evaluated drops nothing.
    """

    example: ClassVar[str] = """\
name: no-probes
type: drop
drop:
  drop_sub_policy:
    - name: probes
      type: string_attribute
      string_attribute: {key: url.path, values: ["^/health$", "^/metrics$"], enabled_regex_matching: true}
"""
    holds: ClassVar[str] = _SUBS["drop"]

    drop_sub_policy: list[AndEntry] = Field(description="The policies: those that hold no others, and `not`.")

    @classmethod
    @override
    def entry(cls) -> type[Entry]:
        return AndEntry

    def flaws(self) -> Iterator[Flaw]:
        """It holds something."""
        if not self.drop_sub_policy:
            yield Flaw(("drop_sub_policy",), "names no policy; it would drop every trace")


class CompositeEntry(Entry):
    """A policy as it stands in a composite."""

    kinds: ClassVar[tuple[str, ...]] = _IN_COMPOSITE[0]
    refused: ClassVar[Mapping[str, str]] = _refusals(_IN_COMPOSITE)

    name: Annotated[str, Text("a name")] = Field(description="Names the policy for policy_order and rate_allocation.")
    type: Annotated[str, PolicyType(_IN_COMPOSITE[0], where=_IN_COMPOSITE[1])] = Field(
        description="What kind of policy it is."
    )
    and_: Annotated[And | None, PRESENT] = Field(None, alias="and")


class RateAllocation(Block):
    """The share of one policy in a composite."""

    policy: Annotated[str, Text("the name of a policy")] = Field(description="Which of composite_sub_policy.")
    percent: Annotated[int, Whole(0)] = Field(
        0, description="Of max_total_spans_per_second. `0` means an equal share, as if it were not listed."
    )


class Composite(Holder):
    """Several policies with a limit on the spans they keep in a second, each with a share of it.

    The first policy that keeps answers for all; when its share of this second is used up, the trace is not kept. As in the
    Collector they are asked in the order of composite_sub_policy, whatever policy_order says, and
    max_total_spans_per_second binds each of them but not their sum. Under `semantics: strict` policy_order is the order, a
    policy whose share is used up leaves the trace to the next, and the sum is bound.
    """

    example: ClassVar[str] = """\
name: within-budget
type: composite
composite:
  max_total_spans_per_second: 1000
  policy_order: [errors, rest]
  composite_sub_policy:
    - {name: errors, type: status_code, status_code: {status_codes: [ERROR]}}
    - {name: rest, type: always_sample}
  rate_allocation:
    - {policy: errors, percent: 60}
    - {policy: rest, percent: 40}
"""
    holds: ClassVar[str] = _SUBS["composite"]

    max_total_spans_per_second: Annotated[int, Whole(0)] = Field(
        description="Spans a second of all its policies. It holds for each process: with three replicas, or `--workers 3`, "
        "three times as much is kept."
    )
    policy_order: Annotated[list[Annotated[str, Text("the name of a policy")]], LIST] = Field(
        [],
        description="The names of the policies; those that it leaves out come last. Has no effect but under `semantics: strict`.",
    )
    composite_sub_policy: list[CompositeEntry] = Field(
        description="The policies: those that hold no others, and `and`."
    )
    rate_allocation: Annotated[list[RateAllocation], LIST] = Field(
        [],
        description="The shares. A policy that is not listed may keep max_total_spans_per_second divided by the number of "
        "policies.",
    )

    @classmethod
    @override
    def entry(cls) -> type[Entry]:
        return CompositeEntry

    def flaws(self) -> Iterator[Flaw]:
        """It holds something, and what stands beside names what it holds, once."""
        if not self.composite_sub_policy:
            yield Flaw(("composite_sub_policy",), "names no policy; no trace would ever be kept")
            return
        names = [sub.name for sub in self.composite_sub_policy]
        yield from _named(names, "policy_order", [((), name) for name in self.policy_order])
        shares = [(("policy",), share.policy) for share in self.rate_allocation]
        yield from _named(names, "rate_allocation", shares)

    @classmethod
    def flaws_in(cls, given: Mapping[str, object]) -> Iterator[Flaw]:
        """Names are unique as well: shares are given to names."""
        yield from super().flaws_in(given)
        yield from twice(given.get(cls.holds), cls.holds)


def _named(names: Sequence[str], key: str, given: Sequence[tuple[Path, str]]) -> Iterator[Flaw]:
    """Every name is that of a policy, and stands once."""
    first: dict[str, int] = {}
    for index, (below, name) in enumerate(given):
        if name not in names:
            message = f"none of composite_sub_policy is named {shown(name)}{meant(name, names)}"
            yield Flaw((key, index, *below), message)
        elif first.setdefault(name, index) != index:
            yield Flaw((key, index, *below), f"{shown(name)} stands in {key}[{first[name]}] already")


def twice(entries: object, key: str) -> Iterator[Flaw]:
    """The names in a list of policies that another has already."""
    first: dict[str, int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else ()):
        name = text_of(entry.get("name")) if isinstance(entry, dict) else None
        if isinstance(name, str) and name and first.setdefault(name, index) != index:
            yield Flaw((key, index, "name"), f"{key}[{first[name]}] is named {shown(entry['name'])} already")


HOLDING: Mapping[str, type[Holder]] = {"and": And, "not": Not, "drop": Drop, "composite": Composite}
"""The types that hold others, each with its block."""


class Policy(Entry):
    """One policy: its name, its type, and the block that the type is named after."""

    kinds: ClassVar[tuple[str, ...]] = POLICY_TYPES
    refused: ClassVar[Mapping[str, str]] = {}

    name: Annotated[str, Text("a name")] = Field(description="Names the policy in metrics and decisions; unique.")
    type: Annotated[str, PolicyType(POLICY_TYPES)] = Field(description="What kind of policy it is.")
    and_: Annotated[And | None, PRESENT] = Field(None, alias="and")
    not_: Annotated[Not | None, PRESENT] = Field(None, alias="not")
    drop: Annotated[Drop | None, PRESENT] = Field(None)
    composite: Annotated[Composite | None, PRESENT] = Field(None)
