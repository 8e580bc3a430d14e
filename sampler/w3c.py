"""W3C tracestate by the grammar of Trace Context level 1, as the Go SDK checks it: for policies and conditions.

Of what OpenTelemetry writes into one it knows nothing: sampler.tracestate reads that, more leniently.
"""

from __future__ import annotations

import re

_MEMBERS_MAX = 32
_BLANKS = b" \t"
# W3C Trace Context 1, 3.3.1.3: simple-key, or tenant-id @ system-id; and chr{0,255} nblk-chr.
_KEY = re.compile(rb"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}")
_VALUE = re.compile(rb"[ -+\--<>-~]{0,255}[!-+\--<>-~]")


def parse(tracestate: bytes) -> dict[bytes, bytes] | None:
    """The members of a tracestate, None if it is not valid."""
    members: dict[bytes, bytes] = {}
    for part in tracestate.split(b","):
        if not part:
            continue
        key, separator, value = part.partition(b"=")
        key, value = key.lstrip(_BLANKS), value.rstrip(_BLANKS)
        valid = separator and _KEY.fullmatch(key) and _VALUE.fullmatch(value)
        if not valid or key in members or len(members) == _MEMBERS_MAX:
            return None
        members[key] = value
    return members
