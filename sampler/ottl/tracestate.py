"""The members of a W3C tracestate, by the grammar of Trace Context level 1.

Of what the product itself writes into one it knows nothing.
"""

from __future__ import annotations

import re

_KEY = re.compile(rb"[a-z][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13}")
_VALUE = re.compile(rb"[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_MEMBERS_MAX = 32


def member(raw: bytes, key: bytes) -> bytes | None:
    """The value of a member, empty if there is no such one, None if this is no tracestate."""
    members: dict[bytes, bytes] = {}
    for part in filter(None, raw.split(b",")):
        name, equals, value = part.partition(b"=")
        name, value = name.lstrip(b" \t"), value.rstrip(b" \t")
        if not equals or name in members or not _KEY.fullmatch(name) or not _VALUE.fullmatch(value):
            return None
        members[name] = value
    return members.get(key, b"") if len(members) <= _MEMBERS_MAX else None
