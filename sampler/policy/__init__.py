"""Policies: each says of a trace whether it is a reason to keep or drop it; here they become what the kernel evaluates.

A policy type is one file: what it reads of single spans (predicates), and the Node it means. `build` alone knows how the
configuration nests them. Nothing here knows how spans are stored or sent, or decides anything: gateway.kernel does. The
meaning of every type is that of the OpenTelemetry Collector's tail_sampling v0.161.0, or its sensible reading (`strict`).
"""

from __future__ import annotations

from typing import NamedTuple

from gateway.kernel.names import Node, Plan, Rules
from sampler.policy.errors import BadPolicyError


class Policy(NamedTuple):
    """A policy as it is in force. `name` is the operator's; `children` are those of a composite, in the order of its Node's."""

    name: str
    node: Node
    children: tuple[str, ...] = ()


class Built(NamedTuple):
    """The policies in the order of the configuration, what they ask of single spans, and how their votes make a decision."""

    policies: tuple[Policy, ...]
    plan: Plan
    rules: Rules


__all__ = ["BadPolicyError", "Built", "Policy"]
