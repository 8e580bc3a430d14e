"""gateway.config.tail_sampling"""

from __future__ import annotations

from gateway import limits
from gateway.config import load, settings
from gateway.config.block import examine
from gateway.config.settings import PolicySettings
from gateway.config.tail_sampling import TailSampling


def judge(text: str, env: dict[str, str] | None = None) -> tuple[settings.TailSampling | None, list[str]]:
    block, mistakes = examine(TailSampling, load([("f", text)], env or {}).root, ())
    return block and block.settings(), [f"{mistake.path}: {mistake.message}" for mistake in sorted(mistakes)]


def policies(*lines: str) -> list[str]:
    return judge("policies:\n" + "".join(f"- {line}\n" for line in lines))[1]


def test_defaults_are_the_collectors() -> None:
    """30 s, 50,000 traces."""
    found, _ = judge("policies: [{name: all, type: always_sample}]")
    assert found == settings.TailSampling((PolicySettings("all", "always_sample"),), limits.DECISION_WAIT, 50_000)


def test_policies_carry_what_their_block_says() -> None:
    """Values that the file does not give are absent, so that a policy's own defaults hold; lists are tuples."""
    found, _ = judge(
        "policies:\n"
        "- {name: a, type: status_code, status_code: {status_codes: [ERROR, UNSET]}}\n"
        "- {name: b, type: latency, latency: {threshold_ms: -1, upper_threshold_ms: 5}}\n"
        "- {name: c, type: probabilistic, probabilistic: {sampling_percentage: 150, hash_salt: s}}\n"
        "- {name: d, type: latency, latency: }\n"
    )
    assert found is not None
    assert found.policies == (
        PolicySettings("a", "status_code", (("status_codes", ("ERROR", "UNSET")),)),
        PolicySettings("b", "latency", (("threshold_ms", -1), ("upper_threshold_ms", 5))),
        PolicySettings("c", "probabilistic", (("sampling_percentage", 150.0), ("hash_salt", "s"))),
        PolicySettings("d", "latency", ()),
    )


def test_any_percentage_is_taken() -> None:
    """Below 0 and above 100 mean none and all, as in the Collector; what is not finite is refused."""
    line = "{{name: a, type: probabilistic, probabilistic: {{sampling_percentage: {0}}}}}"
    assert policies(line.format("-5"), line.format("0").replace("name: a", "name: b")) == []
    assert policies(line.format(".nan")) == [
        "policies[0].probabilistic.sampling_percentage: expected a finite number, got nan"
    ]


def test_a_type_needs_its_block_and_no_other() -> None:
    """A block that the policy's type does not read would be ignored, so it is refused."""
    assert policies("{name: a, type: probabilistic}") == [
        'policies[0]: the type probabilistic needs its block "probabilistic"'
    ]
    assert policies("{name: a, type: always_sample, latency: {}}") == [
        "policies[0].latency: this block is for the type latency; the type here is always_sample, which needs none"
    ]


def test_every_policy_type_of_the_collector_is_known() -> None:
    """A type that is not built is refused by name, once, and its block is left alone."""
    assert policies("{name: a, type: composite, composite: {max_total_spans_per_second: 1}}") == [
        'policies[0].type: "composite" is not built yet'
    ]
    assert policies("{name: a, type: composit}") == [
        'policies[0].type: expected always_sample, latency, status_code or probabilistic, got "composit"'
    ]


def test_names_are_unique_whatever_else_is_wrong() -> None:
    """A name that stands twice is named even if its policy has other mistakes."""
    assert policies("{name: a, type: always_sample}", "{name: a, type: nonsense}")[0] == (
        'policies[1].name: policies[0] is named "a" already'
    )


def test_policies_may_come_from_a_variable() -> None:
    """A whole list of policies fits in a variable."""
    found, _ = judge("policies: ${P}", {"P": "[{name: a, type: latency, latency: {threshold_ms: 5}}]"})
    assert found is not None and found.policies == (PolicySettings("a", "latency", (("threshold_ms", 5),)),)


def test_there_are_not_endlessly_many_policies() -> None:
    """The number of policies is bounded."""
    lines = [f"{{name: p{index}, type: always_sample}}" for index in range(limits.POLICIES_MAX + 1)]
    assert policies(*lines) == [f"policies: more than {limits.POLICIES_MAX} policies"]
