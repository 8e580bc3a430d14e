"""Settings to policies: the only place that knows how the types' names become Nodes.

The keys of a type's block are the parameters of its function, which owns what they mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gateway.config.settings import PolicySettings, TailSampling
from gateway.kernel.names import Node, Rules
from sampler.policy import Built, Policy
from sampler.policy.always_sample import always_sample
from sampler.policy.boolean_attribute import boolean_attribute
from sampler.policy.bytes_limiting import bytes_limiting
from sampler.policy.composite import composite
from sampler.policy.conjunction import conjunction
from sampler.policy.errors import BadPolicyError
from sampler.policy.latency import latency
from sampler.policy.marks import Marks
from sampler.policy.negation import negation
from sampler.policy.numeric_attribute import numeric_attribute
from sampler.policy.ottl_condition import ottl_condition
from sampler.policy.probabilistic import probabilistic
from sampler.policy.rate_limiting import rate_limiting
from sampler.policy.restrictions import Path, check, subs
from sampler.policy.span_count import span_count
from sampler.policy.status_code import status_code
from sampler.policy.string_attribute import string_attribute
from sampler.policy.trace_flags import trace_flags
from sampler.policy.trace_state import trace_state
from sampler.policy.veto import veto
from sampler.tracestate import HasRandomness

Values = Mapping[str, Any]

_INGEST_OR_NO, _INGEST_OR_LATER = 1, 2  # gateway.kernel.names.Rules.ingest


@dataclass(frozen=True, slots=True)
class _Ground:
    """What all policies of a file stand on."""

    marks: Marks
    strict: bool
    consistent: bool


def build(settings: TailSampling) -> Built:
    """The policies in force, and everything that the kernel has to know of them.

    Raises BadPolicyError for the first that makes no sense, with its index in `policy`.
    """
    ground = _Ground(Marks(), settings.semantics == "strict", settings.tracestate)
    if settings.tracestate and settings.sample_on_first_match:
        text = "cannot stand beside tracestate: true: a later policy may keep the trace with a greater probability"
        raise BadPolicyError(text, ("sample_on_first_match",))
    if settings.tracestate and settings.sampling_strategy == "span-ingest":
        text = "cannot stand beside tracestate: true: a later span may keep the trace with a greater probability"
        raise BadPolicyError(text, ("sampling_strategy",))
    policies = tuple(_numbered(ground, settings, index) for index in range(len(settings.policies)))
    random_mark = ground.marks.any_span(HasRandomness()) if settings.tracestate else -1
    return Built(policies, ground.marks.plan(), _rules(settings, random_mark))


def _rules(settings: TailSampling, random_mark: int) -> Rules:
    strict = settings.semantics == "strict"
    ingest = settings.sampling_strategy == "span-ingest"
    return Rules(
        first_match=settings.sample_on_first_match,
        frugal=strict,
        overflow=strict,
        consistent=settings.tracestate,
        random_mark=random_mark,
        ingest=(_INGEST_OR_LATER if strict else _INGEST_OR_NO) if ingest else 0,
    )


def _numbered(ground: _Ground, settings: TailSampling, index: int) -> Policy:
    policy = settings.policies[index]
    try:
        check(policy, settings)
        return _policy(policy, ground)
    except BadPolicyError as error:
        error.policy = index
        raise


def _policy(policy: PolicySettings, ground: _Ground) -> Policy:
    if policy.type == "composite":
        return Policy(policy.name, *_composite(policy, ground))
    return Policy(policy.name, _node(policy, ground))


def _node(policy: PolicySettings, ground: _Ground) -> Node:
    """The Node of a policy that may stand inside another."""
    match policy.type:
        case "and":
            return conjunction(_subs(policy, ground))
        case "drop":
            return veto(_subs(policy, ground))
        case "not":
            (sub,) = _subs(policy, ground)
            return negation(sub)
        case leaf:
            with _inside((leaf,)):
                return _LEAVES[leaf](ground, dict(policy.values))


def _composite(policy: PolicySettings, ground: _Ground) -> tuple[Node, tuple[str, ...]]:
    named = zip((sub.name for _, sub in subs(policy)), _subs(policy, ground), strict=True)
    values: dict[str, Any] = {key: value for key, value in policy.values if key != "composite_sub_policy"}
    with _inside(("composite",)):
        return composite(tuple(named), **values, strict=ground.strict)


def _subs(policy: PolicySettings, ground: _Ground) -> list[Node]:
    nodes = []
    for path, sub in subs(policy):
        with _inside(path):
            nodes.append(_node(sub, ground))
    return nodes


@contextmanager
def _inside(path: Path) -> Iterator[None]:
    """What is wrong in here is so further inside."""
    try:
        yield
    except BadPolicyError as error:
        error.path = (*path, *error.path)
        raise


_LEAVES: dict[str, Callable[[_Ground, Values], Node]] = {
    "always_sample": lambda ground, values: always_sample(**values),
    "latency": lambda ground, values: latency(ground.marks, **values, strict=ground.strict),
    "numeric_attribute": lambda ground, values: numeric_attribute(ground.marks, **values, strict=ground.strict),
    "boolean_attribute": lambda ground, values: boolean_attribute(ground.marks, **values, strict=ground.strict),
    "string_attribute": lambda ground, values: string_attribute(ground.marks, **values, strict=ground.strict),
    "probabilistic": lambda ground, values: probabilistic(**values, consistent=ground.consistent),
    "status_code": lambda ground, values: status_code(**values),
    "rate_limiting": lambda ground, values: rate_limiting(**values),
    "bytes_limiting": lambda ground, values: bytes_limiting(**values),
    "span_count": lambda ground, values: span_count(**values),
    "trace_state": lambda ground, values: trace_state(ground.marks, **values),
    "trace_flags": lambda ground, values: trace_flags(ground.marks, **values),
    "ottl_condition": lambda ground, values: ottl_condition(ground.marks, **values),
}
"""Every policy type that holds no others, by its name in the configuration."""
