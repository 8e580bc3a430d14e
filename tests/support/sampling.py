"""A tail_sampling block as YAML, in a few words: policies of every kind that tests talk about."""

from __future__ import annotations

from gateway.config import load
from gateway.config.block import examine
from gateway.config.settings import TailSampling as TailSamplingSettings
from gateway.config.tail_sampling import TailSampling

ALL = "{name: all, type: always_sample}"
ERRORS = "{name: errors, type: status_code, status_code: {status_codes: [ERROR]}}"
SLOW = "{name: slow, type: latency, latency: {threshold_ms: 1000}}"
RATE = "{name: rate, type: rate_limiting, rate_limiting: {spans_per_second: 100}}"


def settings(*policies: str, options: str = "") -> TailSamplingSettings:
    """These policies and options, given as YAML."""
    text = f"{options}\npolicies:\n" + "".join(f"- {policy}\n" for policy in policies)
    block, mistakes = examine(TailSampling, load([("f", text)], {}).root, ())
    assert block is not None, mistakes
    return block.settings()


def probabilistic(name: str, percent: float, salt: str = "") -> str:
    return (
        f'{{name: {name}, type: probabilistic, probabilistic: {{sampling_percentage: {percent}, hash_salt: "{salt}"}}}}'
    )


def text(inside: str, name: str = "text") -> str:
    return f"{{name: {name}, type: string_attribute, string_attribute: {{key: k, {inside}}}}}"


def regex(pattern: str) -> str:
    return text(f"values: ['{pattern}'], enabled_regex_matching: true")


def number(inside: str) -> str:
    return f"{{name: n, type: numeric_attribute, numeric_attribute: {{key: k, {inside}}}}}"


def latency(low: int, high: int = 0) -> str:
    return f"{{name: l, type: latency, latency: {{threshold_ms: {low}, upper_threshold_ms: {high}}}}}"


def holding(kind: str, *subs: str, name: str = "held") -> str:
    return f"{{name: {name}, type: {kind}, {kind}: {{{kind}_sub_policy: [{', '.join(subs)}]}}}}"


def inverted(sub: str, name: str = "inverted") -> str:
    return f"{{name: {name}, type: not, not: {{not_sub_policy: {sub}}}}}"


def composite(*subs: str, total: int = 100, more: str = "") -> str:
    held = f"composite_sub_policy: [{', '.join(subs)}]"
    return f"{{name: budget, type: composite, composite: {{max_total_spans_per_second: {total}, {held}{more}}}}}"


FIRST = "sample_on_first_match: true"
STRICT = "semantics: strict"
INGEST = "sampling_strategy: span-ingest"
