"""Processor `tail_sampling`: when a trace is decided, what is remembered, and the list of policies.

Owns the options around the policies, and the rules that need both: what an option forbids in a policy. The policies themselves
are gateway.config.policies'.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from gateway import limits
from gateway.config import settings
from gateway.config.block import Block, Flaw, examine
from gateway.config.durations import Duration
from gateway.config.policies import Entry, Policy, twice
from gateway.config.policy_types import Latency, NumericAttribute, SpanCount
from gateway.config.scalars import Choice, Size, Switch, Whole
from gateway.config.tree import Items, Node, Path, find

_PARITY, _STRICT = "parity", "strict"
_COMPLETE, _INGEST = "trace-complete", "span-ingest"
_LIMITERS = ("rate_limiting", "bytes_limiting")


class DecisionCache(Block):
    """How many past decisions are remembered for late spans. Without sizes, a million of each kind."""

    sampled_cache_size: Annotated[int, Whole(0)] = Field(
        0,
        description="Kept traces; `0` means 1000000. In the Collector `0` means none, and late spans are judged anew.",
    )
    non_sampled_cache_size: Annotated[int, Whole(0)] = Field(
        0, description="Dropped traces; `0` means 1000000. In the Collector `0` means none."
    )


class TailSampling(Block):
    """Holds each trace until its decision, and asks the policies: it is dropped if one says drop, else kept if one says keep."""

    refused: ClassVar[Mapping[str, str]] = {
        "tail_storage": "refused: traces that wait are held in memory; there is no durable buffer yet"
    }

    policies: list[Policy] = Field(
        description="Asked in this order, the ones of type drop before all others; one that says keep is enough."
    )
    decision_wait: Annotated[float, Duration(above=0)] = Field(
        limits.DECISION_WAIT,
        description="From a trace's first span to its decision, kept within 100 ms, also below one second. The Collector looks "
        "once a second, and waits up to a second longer.",
    )
    decision_wait_after_root_received: Annotated[float, Duration()] = Field(
        0.0,
        description="From the arrival of the root span, the one without a parent, to the decision, if that is earlier; `0s` "
        "means that the root changes nothing. The Collector cuts it to whole seconds.",
    )
    num_traces: Annotated[int, Whole(1)] = Field(
        limits.NUM_TRACES,
        description="The most undecided traces; beyond it the oldest are decided early, by the policies. In the Collector "
        "decided traces count too, and the oldest are thrown away unasked.",
    )
    block_on_overflow: Annotated[bool, Switch()] = Field(
        False,
        description="Whether, instead of deciding early beyond num_traces, all requests are turned away as UNAVAILABLE until "
        "there is room: whoever sends them tries again. The Collector stalls.",
    )
    expected_new_traces_per_sec: Annotated[int, Whole(0)] = Field(
        0, description="Has no effect, by design: in the Collector it sizes a table ahead, here it need not be known."
    )
    maximum_trace_size_bytes: Annotated[int, Size(0)] = Field(
        0,
        description="A trace that grows larger, as protobuf, is dropped at once and its memory freed; `0` means no bound. "
        "The Collector holds on to what it has of it.",
    )
    decision_cache: DecisionCache = Field(DecisionCache(), description="How many past decisions are remembered.")
    sample_on_first_match: Annotated[bool, Switch()] = Field(
        False,
        description="Whether the first policy that says keep ends the asking: later ones are not asked or charged.",
    )
    sampling_strategy: Annotated[str, Choice((_COMPLETE, _INGEST))] = Field(
        _COMPLETE,
        description="`trace-complete` asks the policies when the wait is over. `span-ingest` asks as spans come, and a trace "
        "that is kept leaves at once; it forbids policies whose answer can still change: limiters, latency with an upper "
        "threshold, span_count with max_spans, and what holds one. Beside a policy of type drop no trace is settled before its "
        "wait is over, and then, as in the Collector, none is kept; under `semantics: strict` it is decided like any other. The "
        "Collector judges every batch of spans by itself; here all spans of the trace so far count.",
    )
    drop_pending_traces_on_shutdown: Annotated[bool, Switch()] = Field(
        False,
        description="Whether traces that wait at shutdown are dropped unasked; otherwise they are decided on what is there.",
    )
    num_shards: Annotated[int, Whole(0, 256)] = Field(
        1,
        description="Has no effect, by design: a process decides on one core; use `--workers` for more. The Collector's event "
        "loops in one process.",
    )
    semantics: Annotated[str, Choice((_PARITY, _STRICT))] = Field(
        _PARITY,
        description="Ours. `parity` decides as the Collector does, also where that is surprising; `strict` takes the plain "
        "meaning of every key. `tailgate check` names the places where a file would be decided differently.",
    )
    tracestate: Annotated[bool, Switch()] = Field(
        False,
        description="Ours; the Collector has a feature gate, usetracestate. Probabilistic policies and limiters decide by the "
        "trace's randomness, and kept spans tell in their tracestate (`ot=th:`) with what probability, so that counts can be "
        "adjusted. What no threshold can state is refused beside it: sample_on_first_match, span-ingest, composite, and not or "
        "drop around a probabilistic policy or a limiter.",
    )
    recordpolicy: Annotated[bool, Switch()] = Field(
        False,
        description="Ours; the Collector has a feature gate of that name. Kept spans carry the policy that decided as the "
        "attribute `tailsampling.policy` of their scope, and `tailsampling.composite_policy` and "
        "`tailsampling.cached_decision` where they apply.",
    )

    def flaws(self) -> Iterator[Flaw]:
        """There is something to ask, not too much, and nothing that an option forbids."""
        if not self.policies:
            yield Flaw(("policies",), "names no policy; no trace would ever be kept")
        every = [found for index, policy in enumerate(self.policies) for found in policy.walk(("policies", index))]
        if len(every) > limits.POLICIES_MAX:
            yield Flaw(("policies",), f"more than {limits.POLICIES_MAX} policies, counting those inside others")
        for path, entry in every:
            if isinstance(entry.block, NumericAttribute):
                yield from self._bounds((*path, entry.type), entry.block)
            if self.sampling_strategy == _INGEST:
                yield from _unsettled(path, entry)
        if self.tracestate:
            yield from self._thresholds()

    def _bounds(self, path: Path, block: NumericAttribute) -> Iterator[Flaw]:
        """What the bounds mean depends on the semantics."""
        low, high = block.bounds(zero_counts=self.semantics == _STRICT)
        if low is None and high is None:
            text = "a bound of 0 counts as none, as in the Collector, so no bound is left; under semantics: strict it counts"
            yield Flaw(path, text)
        elif low is not None and high is not None and low > high:
            yield Flaw((*path, "min_value"), f"must not be above max_value ({high}): no number would match")

    def _thresholds(self) -> Iterator[Flaw]:
        """With tracestate every decision can be stated as a threshold."""
        if self.sample_on_first_match:
            text = "cannot stand beside tracestate: true: a later policy may keep the trace with a greater probability"
            yield Flaw(("sample_on_first_match",), text)
        if self.sampling_strategy == "span-ingest":
            text = "cannot stand beside tracestate: true: a later span may keep the trace with a greater probability"
            yield Flaw(("sampling_strategy",), text)
        for index, policy in enumerate(self.policies):
            around: dict[Path, str] = {}
            for path, entry in policy.walk(("policies", index)):
                if entry.type == "composite":
                    text = (
                        "composite cannot stand beside tracestate: true: no threshold states what its shares leave over"
                    )
                    yield Flaw((*path, "type"), text)
                outer = next((kind for outer, kind in around.items() if path[: len(outer)] == outer), "")
                if outer and entry.type in ("probabilistic", *_LIMITERS):
                    why = "cannot stand beside tracestate: true: no threshold states its probability"
                    text = f"{entry.type} inside a {outer} {why}"
                    yield Flaw((*path, "type"), text)
                if entry.type in ("not", "drop"):
                    around.setdefault(path, entry.type)

    @classmethod
    def flaws_in(cls, given: Mapping[str, object]) -> Iterator[Flaw]:
        """Blocks fit their types and names are unique, whatever else is wrong with their policies."""
        policies = given.get("policies")
        for index, policy in enumerate(policies if isinstance(policies, list) else ()):
            if isinstance(policy, dict):
                found = Policy.flaws_in(policy)
                yield from (Flaw(("policies", index, *path), message) for path, message in found)
        yield from twice(policies, "policies")

    def settings(self) -> settings.TailSampling:
        """The settings."""
        return settings.TailSampling(
            policies=tuple(policy.settings() for policy in self.policies),
            decision_wait=self.decision_wait,
            num_traces=self.num_traces,
            expected_new_traces_per_sec=self.expected_new_traces_per_sec,
            sampled_cache_size=self.decision_cache.sampled_cache_size,
            non_sampled_cache_size=self.decision_cache.non_sampled_cache_size,
            decision_wait_after_root_received=self.decision_wait_after_root_received,
            sample_on_first_match=self.sample_on_first_match,
            sampling_strategy=self.sampling_strategy,
            maximum_trace_size_bytes=self.maximum_trace_size_bytes,
            block_on_overflow=self.block_on_overflow,
            drop_pending_traces_on_shutdown=self.drop_pending_traces_on_shutdown,
            num_shards=self.num_shards or 1,
            semantics=self.semantics,
            tracestate=self.tracestate,
            record_policy=self.recordpolicy,
        )


def _unsettled(path: Path, entry: Entry) -> Iterator[Flaw]:
    """What span-ingest cannot judge: more spans could change the answer."""
    where = "under sampling_strategy: span-ingest"
    block = entry.block
    if entry.type in _LIMITERS:
        yield Flaw((*path, "type"), f"{entry.type} is refused {where}: a trace has no size before it is complete")
    if isinstance(block, Latency) and block.upper_threshold_ms > 0:
        text = f"an upper threshold is refused {where}: a trace can always become longer"
        yield Flaw((*path, "latency", "upper_threshold_ms"), text)
    if isinstance(block, SpanCount) and block.max_spans > 0:
        text = f"a bound on spans is refused {where}: a trace can always get more"
        yield Flaw((*path, "span_count", "max_spans"), text)


def right_policies(root: Node, path: Path) -> list[tuple[int, settings.PolicySettings]]:
    """The policies of the tail_sampling at a path that are right by themselves, each with its index: they can be judged further
    even if there are mistakes beside them."""
    policies = find(root, (*path, "policies"))
    found = []
    for index in range(len(policies.items) if isinstance(policies, Items) else 0):
        policy, _ = examine(Policy, root, (*path, "policies", index))
        if policy is not None:
            found.append((index, policy.settings()))
    return found
