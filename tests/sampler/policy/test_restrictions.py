"""sampler.policy.restrictions: what may not stand together."""

from __future__ import annotations

import pytest

from gateway.config.settings import PolicySettings, TailSampling
from sampler.policy import BadPolicyError
from sampler.policy.restrictions import INSIDE, LEAVES, check, subs

Path = tuple[str | int, ...]


def leaf(kind: str, **values: object) -> PolicySettings:
    return PolicySettings(f"a {kind}", kind, tuple(values.items()))


def around(kind: str, *inside: PolicySettings) -> PolicySettings:
    held: object = inside[0] if kind == "not" else inside
    return PolicySettings(f"a {kind}", kind, ((f"{kind}_sub_policy", held),))


def refusal(policy: PolicySettings, **settings: object) -> tuple[Path, str]:
    with pytest.raises(BadPolicyError) as caught:
        check(policy, TailSampling((policy,), **settings))  # type: ignore[arg-type]
    return caught.value.path, str(caught.value)


def accepted(policy: PolicySettings, **settings: object) -> bool:
    check(policy, TailSampling((policy,), **settings))  # type: ignore[arg-type]
    return True


ALL = leaf("always_sample")


def test_sub_policies_have_paths() -> None:
    """A sub policy is found by the block, its key, and its place in the list."""
    assert subs(ALL) == []
    assert subs(around("not", ALL)) == [(("not", "not_sub_policy"), ALL)]
    assert subs(around("and", ALL, ALL))[1] == (("and", "and_sub_policy", 1), ALL)


@pytest.mark.parametrize("outer", INSIDE)
def test_what_may_stand_inside(outer: str) -> None:
    """Nesting follows the Collector: and and drop hold leaves and not, not holds a leaf, composite holds leaves and and."""
    allowed = {"and": ["not"], "drop": ["not"], "not": [], "composite": ["and"]}[outer]
    for kind in (*LEAVES, *INSIDE):
        inner = around(kind, ALL) if kind in INSIDE else leaf(kind)
        if kind in LEAVES or kind in allowed:
            assert accepted(around(outer, inner))
        else:
            path, text = refusal(around(outer, inner))
            assert path == (*subs(around(outer, inner))[0][0], "type") and f"{kind!r} cannot stand" in text


def test_nesting_is_judged_all_the_way_down() -> None:
    """What stands inside something that may stand there is judged, too."""
    inside = around("composite", ALL, around("and", around("not", around("and", ALL))))
    path, _ = refusal(inside)
    assert path == ("composite", "composite_sub_policy", 1, "and", "and_sub_policy", 0, "not", "not_sub_policy", "type")


def test_lists_may_be_empty() -> None:
    """An and, drop or composite of nothing is a policy."""
    assert all(accepted(PolicySettings("p", kind)) for kind in ("and", "drop", "composite"))


def test_a_not_without_a_policy_is_refused() -> None:
    """There is nothing to turn round."""
    assert refusal(PolicySettings("p", "not")) == (("not",), "a not needs its not_sub_policy")


def test_an_unknown_type_is_refused() -> None:
    """There are no policy extensions."""
    assert refusal(leaf("lua"))[0] == ("type",)
    assert refusal(around("and", leaf("lua")))[0] == ("and", "and_sub_policy", 0, "type")


STATEFUL = [
    (leaf("rate_limiting", spans_per_second=5), ("type",)),
    (leaf("bytes_limiting", bytes_per_second=5), ("type",)),
    (leaf("latency", threshold_ms=5, upper_threshold_ms=9), ("latency", "upper_threshold_ms")),
    (leaf("span_count", min_spans=5, max_spans=9), ("span_count", "max_spans")),
]


@pytest.mark.parametrize(("policy", "path"), STATEFUL, ids=lambda value: getattr(value, "type", ""))
def test_span_ingest_refuses_what_may_change_its_mind(policy: PolicySettings, path: Path) -> None:
    """Limiters and upper bounds cannot judge a trace that is not complete, wherever they stand."""
    assert accepted(policy)
    assert refusal(policy, sampling_strategy="span-ingest")[0] == path
    for outer in INSIDE:
        inside = around(outer, policy)
        assert refusal(inside, sampling_strategy="span-ingest")[0] == (*subs(inside)[0][0], *path)


@pytest.mark.parametrize(
    "policy",
    [
        leaf("latency", threshold_ms=5),
        leaf("latency", threshold_ms=5, upper_threshold_ms=-9),
        leaf("span_count", min_spans=5, max_spans=0),
        leaf("probabilistic", sampling_percentage=5.0),
        around("composite", around("and", ALL)),
        around("drop", around("not", ALL)),
    ],
    ids=lambda policy: policy.type,
)
def test_span_ingest_takes_the_rest(policy: PolicySettings) -> None:
    """What the Collector takes beside span-ingest is taken here."""
    assert accepted(policy, sampling_strategy="span-ingest")


@pytest.mark.parametrize("kind", ["probabilistic", "rate_limiting", "bytes_limiting"])
@pytest.mark.parametrize("outer", ["not", "drop"])
def test_tracestate_refuses_what_no_threshold_can_state(outer: str, kind: str) -> None:
    """What a probabilistic policy or limiter did not keep, or dropped, has no threshold."""
    inside = around(outer, leaf(kind))
    assert accepted(inside)
    path, text = refusal(inside, tracestate=True)
    assert path == (*subs(inside)[0][0], "type") and f"{kind} in a {outer} cannot stand beside tracestate" in text


def test_tracestate_looks_into_everything() -> None:
    """A not inside an and is found; the place named is that of the probabilistic policy."""
    inside = around("and", ALL, around("not", leaf("probabilistic")))
    assert refusal(inside, tracestate=True)[0] == ("and", "and_sub_policy", 1, "not", "not_sub_policy", "type")


def test_tracestate_refuses_composites() -> None:
    """What is left over of a share depends on all other traces."""
    assert refusal(around("composite", ALL), tracestate=True)[0] == ("type",)


@pytest.mark.parametrize(
    "policy",
    [
        around("and", leaf("probabilistic"), leaf("rate_limiting"), around("not", leaf("latency"))),
        around("drop", ALL),
        around("not", leaf("string_attribute")),
        leaf("bytes_limiting"),
    ],
    ids=lambda policy: policy.type,
)
def test_tracestate_takes_the_rest(policy: PolicySettings) -> None:
    """Filters count as certain, and the largest threshold of an and is its own."""
    assert accepted(policy, tracestate=True)
