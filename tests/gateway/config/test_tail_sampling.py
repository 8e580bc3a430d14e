"""gateway.config.tail_sampling"""

from __future__ import annotations

from gateway import limits
from gateway.config import load, settings
from gateway.config.block import examine
from gateway.config.settings import PolicySettings
from gateway.config.tail_sampling import TailSampling, right_policies


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


def test_options_arrive() -> None:
    """Every option of the Collector, and ours, is in the settings; no shards are one."""
    found, _ = judge(
        "policies: [{name: all, type: always_sample}]\n"
        "decision_wait: 500ms\n"
        "decision_wait_after_root_received: 100ms\n"
        "num_traces: 100_000\n"
        "block_on_overflow: true\n"
        "expected_new_traces_per_sec: 10\n"
        "maximum_trace_size_bytes: 1MiB\n"
        "decision_cache: {sampled_cache_size: 1000, non_sampled_cache_size: 2000}\n"
        "sample_on_first_match: true\n"
        "sampling_strategy: span-ingest\n"
        "drop_pending_traces_on_shutdown: true\n"
        "num_shards: 0\n"
        "semantics: strict\n"
        "recordpolicy: true\n"
    )
    assert found == settings.TailSampling(
        (PolicySettings("all", "always_sample"),),
        decision_wait=0.5,
        num_traces=100_000,
        expected_new_traces_per_sec=10,
        sampled_cache_size=1000,
        non_sampled_cache_size=2000,
        decision_wait_after_root_received=0.1,
        sample_on_first_match=True,
        sampling_strategy="span-ingest",
        maximum_trace_size_bytes=1 << 20,
        block_on_overflow=True,
        drop_pending_traces_on_shutdown=True,
        num_shards=1,
        semantics="strict",
        record_policy=True,
    )


def test_tracestate_arrives() -> None:
    """Beside policies whose probability can be stated, tracestate may be turned on."""
    found, mistakes = judge(
        "tracestate: true\n"
        "policies:\n"
        "- {name: a, type: probabilistic, probabilistic: {sampling_percentage: 5}}\n"
        "- {name: b, type: and, and: {and_sub_policy: [{type: rate_limiting, rate_limiting: {spans_per_second: 5}}]}}\n"
        "- {name: c, type: not, not: {not_sub_policy: {type: status_code, status_code: {status_codes: [OK]}}}}\n"
    )
    assert mistakes == [] and found is not None and found.tracestate


def test_what_a_bound_of_0_means_depends_on_the_semantics() -> None:
    """Under parity a bound of 0 is none, and one must be left; under strict it is one."""
    line = "policies: [{name: a, type: numeric_attribute, numeric_attribute: {key: k, max_value: 0}}]"
    assert len(judge(line)[1]) == 1
    assert judge(f"{line}\nsemantics: strict")[1] == []
    order = line.replace("max_value: 0", "min_value: 0, max_value: -5")
    assert judge(order)[1] == []
    assert len(judge(f"{order}\nsemantics: strict")[1]) == 1


def test_span_ingest_takes_what_cannot_change() -> None:
    """A lower bound can only be passed once: such policies may be asked as spans come, also inside others."""
    line = "{type: latency, latency: {threshold_ms: 5}}, {type: span_count, span_count: {min_spans: 5}}"
    text = f"sampling_strategy: span-ingest\npolicies: [{{name: a, type: and, and: {{and_sub_policy: [{line}]}}}}]"
    assert judge(text)[1] == []


def test_right_policies_are_found_beside_wrong_ones() -> None:
    """What is right by itself can be judged further, whatever else is wrong."""
    root = load(
        [("f", "t: {policies: [{name: a, type: trace_flags}, 5, {name: b, type: latency, latency: {}}]}")], {}
    ).root
    assert right_policies(root, ("t",)) == [
        (0, PolicySettings("a", "trace_flags")),
        (2, PolicySettings("b", "latency")),
    ]
    assert right_policies(load([("f", "t: 5")], {}).root, ("t",)) == []


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
    assert policies(*lines) == [f"policies: more than {limits.POLICIES_MAX} policies, counting those inside others"]
