"""A tail_sampling block as a reader of it sees it: every policy with its place, and what its values alone tell.

Owns the walk through policies inside policies, and which of them keep everything or nothing whatever the trace. Has no opinion:
sampler.lint and sampler.semantics have.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from gateway.config.settings import PolicySettings, TailSampling

Path = tuple[str | int, ...]

WARNING, NOTE = "warning", "note"


class Remark(NamedTuple):
    """One remark. `path` leads from the tail_sampling block to the key it is about."""

    path: Path
    kind: str
    message: str


class At(NamedTuple):
    """A policy and where it stands. `outer` are the types of the policies around it, from the outside in."""

    path: Path
    policy: PolicySettings
    outer: tuple[str, ...] = ()

    @property
    def type(self) -> str:
        """Its type."""
        return self.policy.type

    @property
    def title(self) -> str:
        """What a remark calls it."""
        return f'"{self.policy.name}"' if self.policy.name else f"the {self.policy.type} policy"

    def get(self, key: str, default: Any) -> Any:
        """A value of its block."""
        return dict(self.policy.values).get(key, default)

    def given(self, key: str) -> bool:
        """Whether the file gives that key."""
        return key in dict(self.policy.values)

    def key(self, *steps: str | int) -> Path:
        """The path of a key of its block."""
        return (*self.path, self.type, *steps)

    def inside(self) -> list[At]:
        """The policies it holds."""
        held = self.get(f"{self.type}_sub_policy", ())
        key = self.key(f"{self.type}_sub_policy")
        around = (*self.outer, self.type)
        if isinstance(held, PolicySettings):
            return [At(key, held, around)]
        return [At((*key, index), sub, around) for index, sub in enumerate(held)]

    def walk(self) -> Iterator[At]:
        """It and all policies inside it."""
        yield self
        for sub in self.inside():
            yield from sub.walk()


class Subject:
    """A tail_sampling block, looked at from all sides."""

    def __init__(self, settings: TailSampling) -> None:
        self.settings = settings
        self.top = [At(("policies", index), policy) for index, policy in enumerate(settings.policies)]
        self.every = [found for one in self.top for found in one.walk()]
        self.keepers = [one for one in self.top if one.type != "drop"]
        self.strict = settings.semantics == "strict"


RATES = {
    "rate_limiting": "spans_per_second",
    "bytes_limiting": "bytes_per_second",
    "composite": "max_total_spans_per_second",
}
"""The types that limit, each with the key of its rate."""


def keeps_all(one: At) -> bool:
    """Whether it keeps every trace, as far as its values tell."""
    match one.type:
        case "always_sample":
            return True
        case "probabilistic":
            return bool(one.get("sampling_percentage", 0.0) >= 100)
        case "latency":
            return bool(one.get("threshold_ms", 0) < 0 and not one.get("upper_threshold_ms", 0))
        case "span_count":
            return bool(one.get("min_spans", 0) <= 1 and not one.get("max_spans", 0))
        case "status_code":
            return len(dict.fromkeys(one.get("status_codes", ()))) == 3
        case "string_attribute":
            return bool(one.get("invert_match", False) and _matches_nothing(one))
        case "and":
            return all(map(keeps_all, one.inside()))
        case "not":
            return all(map(keeps_none, one.inside()))
        case _:
            return False


def keeps_none(one: At) -> bool:
    """Whether it keeps no trace (a drop: drops none), as far as its values tell."""
    match one.type:
        case "probabilistic":
            return bool(one.get("sampling_percentage", 0.0) <= 0)
        case "latency":
            upper = one.get("upper_threshold_ms", 0)
            return bool(upper and upper <= one.get("threshold_ms", 0))
        case "span_count":
            return bool(one.get("max_spans", 0) < 0)
        case "string_attribute":
            return not one.get("invert_match", False) and _matches_nothing(one)
        case "trace_state":
            return not any(one.get("values", ()))
        case "rate_limiting" | "bytes_limiting":
            return bool(one.get(RATES[one.type], 0) == 0 and one.get("burst_capacity", 0) == 0)
        case "composite":
            return bool(one.get("max_total_spans_per_second", 0) == 0)
        case "and" | "drop":
            return any(map(keeps_none, one.inside()))
        case "not":
            return all(map(keeps_all, one.inside()))
        case _:
            return False


def _matches_nothing(one: At) -> bool:
    values = one.get("values", ())
    return not (values if one.get("enabled_regex_matching", False) else any(values))


def limits(one: At) -> bool:
    """Whether it, or a policy inside it, is a limiter."""
    return any(inside.type in RATES for inside in one.walk())


def patterns(subject: Subject) -> Iterator[tuple[At, int, str]]:
    """Every regular expression, with its policy and its index among the values."""
    for one in subject.every:
        if one.type == "string_attribute" and one.get("enabled_regex_matching", False):
            for index, pattern in enumerate(one.get("values", ())):
                yield one, index, pattern
