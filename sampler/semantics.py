"""Where `semantics: strict` would decide differently from parity, for a given tail_sampling block.

Owns one rule for each surprise of the Collector that strict semantics do away with. Under strict semantics none of it applies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import re2

from sampler.anchors import anchored
from sampler.outline import NOTE, Path, Remark, Subject, limits, patterns


def _note(path: Path, message: str) -> Remark:
    return Remark(path, NOTE, f"{message} under semantics: strict")


def latency_bounds(subject: Subject) -> Iterator[Remark]:
    """Latency with an upper bound looks at every prefix of a trace."""
    for one in subject.every:
        if one.type == "latency" and 0 != one.get("upper_threshold_ms", 0) > one.get("threshold_ms", 0):
            text = "a trace that ends up longer is kept if it once lay inside the bounds; the whole trace counts"
            yield _note(one.key("upper_threshold_ms"), text)


def zero_bounds(subject: Subject) -> Iterator[Remark]:
    """A bound of 0 is none."""
    for one in subject.every:
        for key in ("min_value", "max_value"):
            if one.type == "numeric_attribute" and one.given(key) and one.get(key, 0) == 0:
                yield _note(one.key(key), f"{key} of 0 counts as no bound; it is one")


def coercion(subject: Subject) -> Iterator[Remark]:
    """Attributes of another type than a policy's are taken for one of its type."""
    for one in subject.every:
        if one.type == "numeric_attribute":
            inside = (one.get("min_value", 0) or -1) <= 0 <= (one.get("max_value", 0) or 1)
            matches = "matches" if inside else "does not match"
            text = f"an attribute that is no whole number counts as 0, which {matches}"
            yield _note(one.key(), f"{text}; doubles are compared and others do not match")
        if one.type == "boolean_attribute" and not one.get("value", False):
            text = "value: false also matches an attribute that is no truth value; it does not"
            yield _note(one.key("value") if one.given("value") else one.key(), text)
    for one, index, pattern in patterns(subject):
        if _matches_empty(pattern):
            text = f'"{pattern}" also matches a resource attribute that is no text; it does not'
            yield _note(one.key("values", index), text)


def unanchored(subject: Subject) -> Iterator[Remark]:
    """A regular expression need not match the whole value."""
    for one, index, pattern in patterns(subject):
        if not all(anchored(pattern)):
            yield _note(one.key("values", index), f'"{pattern}" need not match the whole value; it must')


def charged(subject: Subject) -> Iterator[Remark]:
    """Limiters are charged for traces that another policy keeps."""
    if len(subject.keepers) < 2 or subject.settings.tracestate:  # beside it limiters are asked about every trace
        return
    for one in subject.keepers:
        if limits(one):
            text = f"{one.title} is charged also for traces that another policy keeps; it is asked last, and only for others"
            yield _note((*one.path, "type"), text)


def ingested(subject: Subject) -> Iterator[Remark]:
    """A trace that no span has settled is lost to span-ingest."""
    if subject.settings.sampling_strategy == "span-ingest" and any(one.type == "drop" for one in subject.top):
        text = "a trace that is not settled when its wait is over is not kept; it is decided like any other"
        yield _note(("sampling_strategy",), text)


def composites(subject: Subject) -> Iterator[Remark]:
    """The order, the overflow and the total of a composite."""
    for one in subject.every:
        names = [sub.policy.name for sub in one.inside()]
        if one.type != "composite" or len(names) < 2:
            continue
        order = list(one.get("policy_order", ()))
        if order and [*order, *(name for name in names if name not in order)] != names:
            text = "policy_order has no effect, policies are asked in the order of composite_sub_policy; it has"
            yield _note(one.key("policy_order"), text)
        text = "a trace beyond the share of the policy that keeps it is not kept; it is left to the next policy"
        yield _note(one.key("composite_sub_policy"), text)
        text = "max_total_spans_per_second binds each policy, not their sum; it binds the sum"
        yield _note(one.key("max_total_spans_per_second"), text)


def _matches_empty(pattern: str) -> bool:
    """Whether it matches an empty value. It is one that RE2 takes: the file has been found right."""
    return re2.search(pattern, "") is not None


NOTES: tuple[Callable[[Subject], Iterator[Remark]], ...] = (
    latency_bounds,
    zero_bounds,
    coercion,
    unanchored,
    charged,
    ingested,
    composites,
)
"""The rules, in the order in which they are told."""
