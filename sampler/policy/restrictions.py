"""What may not stand together: types inside other types, and policies beside options that they contradict.

The nesting is the OpenTelemetry Collector's. Knows settings, not Nodes.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.settings import PolicySettings, TailSampling
from sampler.policy.errors import BadPolicyError

Path = tuple[str | int, ...]

LEAVES = (
    "always_sample",
    "latency",
    "numeric_attribute",
    "boolean_attribute",
    "string_attribute",
    "probabilistic",
    "status_code",
    "rate_limiting",
    "bytes_limiting",
    "span_count",
    "trace_state",
    "trace_flags",
    "ottl_condition",
)
"""The types that hold no others."""

INSIDE = {
    "and": (*LEAVES, "not"),
    "drop": (*LEAVES, "not"),
    "not": LEAVES,
    "composite": (*LEAVES, "and"),
}
"""Which types each of the others may hold."""

_LIMITERS = ("rate_limiting", "bytes_limiting")


def subs(policy: PolicySettings) -> list[tuple[Path, PolicySettings]]:
    """The sub policies, each with its path from the policy."""
    if policy.type not in INSIDE:
        return []
    key = f"{policy.type}_sub_policy"
    held = dict(policy.values).get(key, ())
    if isinstance(held, PolicySettings):
        return [((policy.type, key), held)]
    assert isinstance(held, tuple)
    return [((policy.type, key, index), sub) for index, sub in enumerate(held)]


def check(policy: PolicySettings, settings: TailSampling) -> None:
    """Raises BadPolicyError, with the path from the policy, for the first thing in it that may not stand where it does."""
    _check_nesting(policy)
    if settings.sampling_strategy == "span-ingest":
        for path, found in _all(policy):
            _check_ingest(found, path)
    if settings.tracestate:
        _check_stated(policy)


def _all(policy: PolicySettings, path: Path = ()) -> Iterator[tuple[Path, PolicySettings]]:
    """The policy and everything inside, each with its path."""
    yield path, policy
    for steps, sub in subs(policy):
        yield from _all(sub, (*path, *steps))


def _check_nesting(policy: PolicySettings, path: Path = ()) -> None:
    held = subs(policy)
    if policy.type == "not" and len(held) != 1:
        raise BadPolicyError("a not needs its not_sub_policy", (*path, "not"))
    if policy.type not in LEAVES and policy.type not in INSIDE:
        raise BadPolicyError(f"there is no policy type {policy.type!r}", (*path, "type"))
    for steps, sub in held:
        if sub.type not in INSIDE[policy.type]:
            may = ", ".join(INSIDE[policy.type])
            raise BadPolicyError(
                f"{sub.type!r} cannot stand in a policy of type {policy.type}, only {may}", (*path, *steps, "type")
            )
        _check_nesting(sub, (*path, *steps))


def _check_ingest(policy: PolicySettings, path: Path) -> None:
    """Policies whose answer can change from keep to no while spans come."""
    bound = {"latency": "upper_threshold_ms", "span_count": "max_spans"}.get(policy.type, "")
    limit = dict(policy.values).get(bound, 0)
    assert isinstance(limit, int)
    where = "beside sampling_strategy: span-ingest"
    if policy.type in _LIMITERS:
        raise BadPolicyError(
            f"{policy.type} cannot stand {where}: a trace has no size before it is complete", (*path, "type")
        )
    if limit > 0:
        raise BadPolicyError(
            f"{bound} cannot stand {where}: what a trace is now, it may not be later", (*path, policy.type, bound)
        )


def _check_stated(policy: PolicySettings) -> None:
    """Policies whose probability no threshold can state."""
    around: list[tuple[Path, str]] = []
    for path, found in _all(policy):
        outer = next((kind for outer, kind in around if path[: len(outer)] == outer), "")
        if found.type == "composite":
            text = "composite cannot stand beside tracestate: true: no threshold states what its shares leave over"
            raise BadPolicyError(text, (*path, "type"))
        if outer and found.type in ("probabilistic", *_LIMITERS):
            text = (
                f"{found.type} in a {outer} cannot stand beside tracestate: true: no threshold states its probability"
            )
            raise BadPolicyError(text, (*path, "type"))
        if found.type in ("not", "drop"):
            around.append((path, found.type))
