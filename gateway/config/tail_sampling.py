"""Processor `tail_sampling` and its policies, in the Collector's words.

Owns their keys and which policy type takes which block. What a policy makes of its values is sampler.policy's business.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from gateway import limits
from gateway.config import settings
from gateway.config.block import PRESENT, Block, Flaw
from gateway.config.durations import Duration
from gateway.config.scalars import INT64_MIN, Choice, Number, Text, Unbuilt, Whole
from gateway.config.tree import Substituted
from gateway.config.words import shown


class Latency(Block):
    """Keeps traces by how long they took."""

    threshold_ms: Annotated[int, Whole(INT64_MIN)] = Field(0, description="Traces that took longer are kept.")
    upper_threshold_ms: Annotated[int, Whole(INT64_MIN)] = Field(
        0, description="But not longer than this; `0` means no such bound."
    )


class StatusCode(Block):
    """Keeps traces with a span of one of these status codes."""

    status_codes: list[Annotated[str, Choice(("OK", "ERROR", "UNSET"))]] = Field(
        description="One or more of `OK`, `ERROR` and `UNSET`."
    )

    def flaws(self) -> Iterator[Flaw]:
        """A policy that could never match is a mistake."""
        if not self.status_codes:
            yield Flaw(("status_codes",), "names no status code; expected one or more of OK, ERROR and UNSET")


class Probabilistic(Block):
    """Keeps a share of all traces, by a hash of the trace id: the same traces as the Collector keeps."""

    sampling_percentage: Annotated[float, Number()] = Field(
        0.0,
        description="The share in percent. 100 or more keeps all, 0 or less none (but for one hash in 2⁶⁴).",
    )
    hash_salt: Annotated[str, Text(empty=True)] = Field(
        "",
        description="Mixed into the hash, so that tiers in a row decide independently; empty means the Collector's default.",
    )


BLOCK_OF_TYPE = {
    "always_sample": None,
    "latency": "latency",
    "status_code": "status_code",
    "probabilistic": "probabilistic",
}
POLICY_TYPES = tuple(BLOCK_OF_TYPE)
UNBUILT_POLICY_TYPES = (
    "and",
    "boolean_attribute",
    "bytes_limiting",
    "composite",
    "drop",
    "not",
    "numeric_attribute",
    "ottl_condition",
    "rate_limiting",
    "span_count",
    "string_attribute",
    "trace_flags",
    "trace_state",
)


class Policy(Block):
    """One policy: its name, its type, and the block that the type is named after."""

    unbuilt: ClassVar[Unbuilt] = dict.fromkeys(UNBUILT_POLICY_TYPES, "")

    name: Annotated[str, Text("a name")] = Field(description="Names the policy in metrics and decisions; unique.")
    type: Annotated[str, Choice(POLICY_TYPES, tuple((kind, "") for kind in UNBUILT_POLICY_TYPES))] = Field(
        description="What kind of policy it is."
    )
    latency: Annotated[Latency | None, PRESENT] = Field(None, description="For the type latency.")
    status_code: Annotated[StatusCode | None, PRESENT] = Field(None, description="For the type status_code.")
    probabilistic: Annotated[Probabilistic | None, PRESENT] = Field(None, description="For the type probabilistic.")

    @model_validator(mode="before")
    @classmethod
    def _one_mistake_a_type(cls, given: object) -> object:
        """The block of a type that is not built is no second mistake."""
        if isinstance(given, dict) and _text(given.get("type")) in UNBUILT_POLICY_TYPES:
            return {key: value for key, value in given.items() if key != _text(given["type"])}
        return given

    @classmethod
    def flaws_in(cls, given: Mapping[str, object]) -> Iterator[Flaw]:
        """The block that the type names is there, and none of another type."""
        kind = _text(given.get("type"))
        if not isinstance(kind, str) or kind not in BLOCK_OF_TYPE:
            return
        needed = BLOCK_OF_TYPE[kind]
        if needed and needed not in given:
            yield Flaw((), f'the type {kind} needs its block "{needed}"')
        for other in BLOCK_OF_TYPE.values():
            if other and other != needed and other in given:
                instead = f'which needs the block "{needed}"' if needed else "which needs none"
                yield Flaw((other,), f"this block is for the type {other}; the type here is {kind}, {instead}")

    def settings(self) -> settings.PolicySettings:
        """The settings: only the values that the file gives, defaults being the policy's own."""
        needed = BLOCK_OF_TYPE[self.type]
        if needed is None:
            return settings.PolicySettings(self.name, self.type)
        block: Block = getattr(self, needed)
        given = [(key, getattr(block, key)) for key in type(block).model_fields if key in block.model_fields_set]
        values = tuple((key, tuple(value) if isinstance(value, list) else value) for key, value in given)
        return settings.PolicySettings(self.name, self.type, values)


def _text(given: object) -> object:
    return given.text if isinstance(given, Substituted) else given


class DecisionCache(Block):
    """How many past decisions are remembered for late spans. Without sizes, a million of each kind."""

    sampled_cache_size: Annotated[int, Whole(0)] = Field(0, description="Kept traces; `0` means 1000000.")
    non_sampled_cache_size: Annotated[int, Whole(0)] = Field(0, description="Dropped traces; `0` means 1000000.")


class TailSampling(Block):
    """Holds each trace until its decision, and asks the policies."""

    unbuilt: ClassVar[Unbuilt] = {
        "block_on_overflow": "",
        "decision_wait_after_root_received": "",
        "drop_pending_traces_on_shutdown": "pending traces are decided with the policies at shutdown",
        "maximum_trace_size_bytes": "",
        "num_shards": "run more workers",
        "sample_on_first_match": "",
        "sampling_strategy": "traces are decided whole (trace-complete)",
        "semantics": "",
        "tail_storage": "",
        "tracestate": "",
    }

    policies: list[Policy] = Field(description="Asked in this order; one that says keep is enough.")
    decision_wait: Annotated[float, Duration(above=0)] = Field(
        limits.DECISION_WAIT, description="From a trace's first span to its decision, kept within 100 ms."
    )
    num_traces: Annotated[int, Whole(1)] = Field(
        limits.NUM_TRACES, description="The most undecided traces; beyond it the oldest are decided early."
    )
    expected_new_traces_per_sec: Annotated[int, Whole(0)] = Field(
        0, description="Has no effect, by design: in the Collector it sizes a table ahead, here it need not be known."
    )
    decision_cache: DecisionCache = Field(DecisionCache(), description="How many past decisions are remembered.")

    def flaws(self) -> Iterator[Flaw]:
        """There is something to ask, and not too much."""
        if not self.policies:
            yield Flaw(("policies",), "names no policy; no trace would ever be kept")
        if len(self.policies) > limits.POLICIES_MAX:
            yield Flaw(("policies",), f"more than {limits.POLICIES_MAX} policies")

    @classmethod
    def flaws_in(cls, given: Mapping[str, object]) -> Iterator[Flaw]:
        """Names are unique, whatever else is wrong with their policies."""
        policies = given.get("policies")
        first: dict[str, int] = {}
        for index, policy in enumerate(policies if isinstance(policies, list) else ()):
            if not isinstance(policy, dict):
                continue
            yield from (Flaw(("policies", index, *path), message) for path, message in Policy.flaws_in(policy))
            name = _text(policy.get("name"))
            if isinstance(name, str) and first.setdefault(name, index) != index:
                yield Flaw(
                    ("policies", index, "name"), f"policies[{first[name]}] is named {shown(policy['name'])} already"
                )

    def settings(self) -> settings.TailSampling:
        """The settings."""
        return settings.TailSampling(
            tuple(policy.settings() for policy in self.policies),
            self.decision_wait,
            self.num_traces,
            self.expected_new_traces_per_sec,
            self.decision_cache.sampled_cache_size,
            self.decision_cache.non_sampled_cache_size,
        )
