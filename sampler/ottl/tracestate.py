"""A member of a span's tracestate, as OTTL's paths see it."""

from __future__ import annotations

from sampler.w3c import parse


def member(raw: bytes, key: bytes) -> bytes | None:
    """The value of a member, empty if there is no such one, None if this is no tracestate."""
    members = parse(raw)
    return None if members is None else members.get(key, b"")
