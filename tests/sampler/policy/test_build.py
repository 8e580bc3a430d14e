"""sampler.policy.build: settings to policies."""

from __future__ import annotations

import importlib.util

import pytest

from gateway.config.settings import PolicySettings
from sampler.policy import BadPolicyError
from sampler.policy.always_sample import AlwaysSample
from sampler.policy.build import BUILDERS, build_policies
from sampler.policy.latency import Latency
from sampler.policy.probabilistic import probabilistic
from sampler.policy.status_code import StatusCode


def test_settings_become_policies_in_order() -> None:
    """Policies are evaluated in the order of the configuration, with its values and the Collector's defaults."""
    built = build_policies(
        [
            PolicySettings("all", "always_sample"),
            PolicySettings("errors", "status_code", (("status_codes", ("ERROR", "OK")),)),
            PolicySettings("slow", "latency", (("threshold_ms", 5), ("upper_threshold_ms", 9))),
            PolicySettings("some", "probabilistic", (("sampling_percentage", 2.5), ("hash_salt", "x"))),
            PolicySettings("bare latency", "latency"),
            PolicySettings("bare probabilistic", "probabilistic"),
        ]
    )
    assert built == (
        AlwaysSample("all"),
        StatusCode("errors", 0b110),
        Latency("slow", 5, 9),
        probabilistic("some", 2.5, "x"),
        Latency("bare latency", 0, 0),
        probabilistic("bare probabilistic", 0),
    )


def test_a_policy_that_makes_no_sense_is_named() -> None:
    """A refusal says which policy it is about."""
    with pytest.raises(BadPolicyError, match=r"'errors'.*at least one"):
        build_policies([PolicySettings("errors", "status_code", (("status_codes", ()),))])
    with pytest.raises(BadPolicyError, match=r"'x'.*'composite' is not built"):
        build_policies([PolicySettings("x", "composite")])


def test_every_type_has_its_file() -> None:
    """A policy type is built from the file of its name."""
    assert all(importlib.util.find_spec(f"sampler.policy.{kind}") for kind in BUILDERS)
