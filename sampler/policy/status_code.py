"""Policy `status_code`: a trace is kept when any of its spans has one of the listed codes."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.kernel.names import STATUS_IN, Node
from sampler.policy.errors import BadPolicyError

CODES = {"UNSET": 0, "OK": 1, "ERROR": 2}


def status_code(status_codes: Sequence[str] = ()) -> Node:
    """Raises BadPolicyError when there is no code, or one that OTLP does not have."""
    if not status_codes:
        raise BadPolicyError("needs at least one of OK, ERROR and UNSET", ("status_codes",))
    mask = 0
    for index, code in enumerate(status_codes):
        if code not in CODES:
            raise BadPolicyError(f"expected OK, ERROR or UNSET, got {code!r}", ("status_codes", index))
        mask |= 1 << CODES[code]
    return Node(STATUS_IN, mask)
