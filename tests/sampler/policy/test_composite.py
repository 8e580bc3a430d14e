"""sampler.policy.composite."""

from __future__ import annotations

import pytest

from gateway.kernel.names import ALWAYS, COMPOSITE, SHARE, STATUS_IN, Node
from sampler.policy import BadPolicyError
from sampler.policy.composite import composite

A, B, C = ("a", Node(STATUS_IN, 1)), ("b", Node(STATUS_IN, 2)), ("c", Node(ALWAYS))


def shares(node: Node) -> list[int]:
    assert node.op == COMPOSITE and all(child.op == SHARE for child in node.children)
    return [child.a for child in node.children]


def test_children_stand_in_shares_in_order_of_definition() -> None:
    """Sub policies are tried as they are defined, whatever policy_order says, as in the Collector; names go with them."""
    node, names = composite([A, B], 100, ("b", "a", "unknown"), (("a", 30),))
    assert node == Node(COMPOSITE, 100, children=(Node(SHARE, 30, children=(A[1],)), Node(SHARE, 50, children=(B[1],))))
    assert names == ("a", "b")


@pytest.mark.parametrize(
    ("total", "allocation", "expected"),
    [
        (1000, (("a", 25), ("b", 0)), [250, 333, 333]),  # a percentage of 0 is none
        (1000, (("a", -5), ("b", 150)), [333, 1500, 333]),
        (100, (("a", 29),), [28, 33, 33]),  # in floating point 29 percent of 100 are a little less than 29
        (100, (("a", 10), ("a", 20)), [20, 33, 33]),  # the last one counts
        (100, (("z", 10),), [33, 33, 33]),
        (2, (), [0, 0, 0]),
        (0, (("a", 50),), [0, 0, 0]),
        (-9, (("a", 50),), [0, 0, 0]),
        (2**63 - 1, (("a", 100), ("b", 200)), [2**63 - 1, 2**63 - 1, 3074457345618258432]),
    ],
)
def test_shares_are_the_collectors(total: int, allocation: tuple[tuple[str, int], ...], expected: list[int]) -> None:
    """A share is its percentage of the total, or an equal part, in double precision and cut to whole spans."""
    node, _ = composite([A, B, C], total, (), allocation)
    assert node.a == max(total, 0)
    assert shares(node) == expected


def test_without_sub_policies_nothing_is_kept() -> None:
    """An empty composite has nobody who could keep a trace."""
    assert composite([], 100) == (Node(COMPOSITE, 100), ())


def test_strict_tries_them_in_the_order_asked_for() -> None:
    """With strict semantics policy_order is the order; whom it leaves out comes last."""
    node, names = composite([A, B, C], 90, ("c", "a", "c"), (("c", 50), ("a", 10)), strict=True)
    assert names == ("c", "a", "b") and shares(node) == [45, 9, 30]
    assert [child.children[0] for child in node.children] == [C[1], A[1], B[1]]


@pytest.mark.parametrize(
    ("order", "allocation", "path"),
    [(("a", "z"), (), ("policy_order", 1)), ((), (("z", 1),), ("rate_allocation", 0, "policy"))],
)
def test_strict_refuses_names_that_nobody_has(
    order: tuple[str, ...], allocation: tuple[tuple[str, int], ...], path: tuple[str | int, ...]
) -> None:
    """With strict semantics a name without a sub policy is a mistake."""
    with pytest.raises(BadPolicyError, match="'z'") as caught:
        composite([A, B], 90, order, allocation, strict=True)
    assert caught.value.path == path
