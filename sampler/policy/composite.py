"""Policy `composite`: the first of its sub policies that keeps a trace decides, and each may keep so many spans a second."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.kernel.names import COMPOSITE, SHARE, Node
from sampler.policy.errors import BadPolicyError

_SPANS_MAX = 2**63 - 1

Sub = tuple[str, Node]
"""A sub policy by its name."""


def composite(
    subs: Sequence[Sub],
    max_total_spans_per_second: int = 0,
    policy_order: Sequence[str] = (),
    rate_allocation: Sequence[tuple[str, int]] = (),
    *,
    strict: bool = False,
) -> tuple[Node, tuple[str, ...]]:
    """The policy, and the names of its Node's children.

    `rate_allocation` gives percents of the total by name; a sub policy without any has an equal share. As in the Collector
    `policy_order` has no effect: sub policies are tried as they are defined. With `strict` they are tried in that order, those
    it leaves out last. Raises BadPolicyError, with `strict`, for a name that no sub policy has.
    """
    if strict:
        _check_names(subs, policy_order, rate_allocation)
        order = {name: rank for rank, name in reversed(list(enumerate(policy_order)))}
        subs = sorted(subs, key=lambda sub: order.get(sub[0], len(order)))
    percents = dict(rate_allocation)
    total = max(max_total_spans_per_second, 0)
    shares = (Node(SHARE, _share(total, percents.get(name, 0), len(subs)), children=(node,)) for name, node in subs)
    return Node(COMPOSITE, total, children=tuple(shares)), tuple(name for name, _ in subs)


def _share(total: int, percent: int, subs: int) -> int:
    """Spans a second, in the Collector's floating point arithmetic: 29 percent of 100 are 28."""
    share = percent / 100 * float(total) if percent > 0 else float(total) / subs
    return min(int(share), _SPANS_MAX)


def _check_names(subs: Sequence[Sub], order: Sequence[str], allocation: Sequence[tuple[str, int]]) -> None:
    names = tuple(name for name, _ in subs)
    for index, name in enumerate(order):
        if name not in names:
            raise BadPolicyError(f"no sub policy is named {name!r}", ("policy_order", index))
    for index, (name, _) in enumerate(allocation):
        if name not in names:
            raise BadPolicyError(f"no sub policy is named {name!r}", ("rate_allocation", index, "policy"))
