"""Settings to policies: the only place that knows the types' names and their parameters' names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from gateway.config.settings import PolicySettings
from sampler.policy import BadPolicyError, Policy
from sampler.policy.always_sample import AlwaysSample
from sampler.policy.latency import Latency
from sampler.policy.probabilistic import probabilistic
from sampler.policy.status_code import StatusCode, mask_of

Values = Mapping[str, Any]


def build_policies(settings: Sequence[PolicySettings]) -> tuple[Policy, ...]:
    """The policies in the order of the configuration. Raises BadPolicyError naming the first one that makes no sense."""
    return tuple(build_policy(entry) for entry in settings)


def build_policy(settings: PolicySettings) -> Policy:
    """One policy. Raises BadPolicyError, whose text names the policy."""
    builder = BUILDERS.get(settings.type)
    if builder is None:
        known = ", ".join(BUILDERS)
        raise BadPolicyError(f"policy {settings.name!r}: type {settings.type!r} is not built; there are {known}")
    try:
        return builder(settings.name, dict(settings.values))
    except BadPolicyError as error:
        raise BadPolicyError(f"policy {settings.name!r}: {error}") from error


def _always_sample(name: str, values: Values) -> Policy:
    return AlwaysSample(name)


def _latency(name: str, values: Values) -> Policy:
    return Latency(name, values.get("threshold_ms", 0), values.get("upper_threshold_ms", 0))


def _probabilistic(name: str, values: Values) -> Policy:
    return probabilistic(name, values.get("sampling_percentage", 0.0), values.get("hash_salt", ""))


def _status_code(name: str, values: Values) -> Policy:
    return StatusCode(name, mask_of(tuple(values.get("status_codes", ()))))


BUILDERS: dict[str, Callable[[str, Values], Policy]] = {
    "always_sample": _always_sample,
    "latency": _latency,
    "probabilistic": _probabilistic,
    "status_code": _status_code,
}
"""Every policy type there is, by its name in the configuration."""
