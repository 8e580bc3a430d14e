"""One request to its parts: which spans go to which owner, joined again for each.

The owner is looked up once per trace and request, and no span is decoded. Nearly every request goes through the view
(gateway.otlp.view); one that is unusual in any way goes through the walk (gateway.otlp.split), which finds the same and can say
what is wrong.
"""

from __future__ import annotations

from typing import NamedTuple

from gateway import limits
from gateway.errors import TooLargeError
from gateway.membership import Member
from gateway.otlp.join import cut, enclose
from gateway.otlp.split import Scope, split
from gateway.otlp.view import ScopeView, Writer, group, read
from gateway.ring import Ring


class Piece(NamedTuple):
    """Spans for one owner: a valid request of at most the size asked for, unless one span alone is larger."""

    member: Member
    body: bytes
    spans: int


class Routed(NamedTuple):
    """What became of one request. `rejected` and `reason` as in gateway.otlp.split."""

    pieces: list[Piece]
    spans: int
    rejected: int
    reason: str


def route(request: bytes, ring: Ring, bytes_max: int) -> Routed:
    """Split by owner. The ring must not be empty if the request has a valid span. Raises MalformedRequestError, and
    TooLargeError if the request is small only as long as its resources and scopes need not be repeated for each owner.
    """
    scopes = read(request)
    routed = None if scopes is None else _route_usual(request, scopes, ring, bytes_max)
    return routed or _route_any(request, ring, bytes_max)


def _route_usual(request: bytes, scopes: list[ScopeView], ring: Ring, bytes_max: int) -> Routed | None:
    """The way of nearly every request: no span of it is anything but usual. None if one is."""
    known: dict[bytes, Member] = {}
    writers: dict[str, tuple[Member, Writer]] = {}
    envelopes = 0
    for scope in scopes:
        by_owner = group(scope, ring.owner, known)
        if by_owner is None:
            return None
        envelopes += len(by_owner) * scope.envelope_bytes
        _check_envelopes(envelopes, request)
        for member, spans in by_owner:
            if member.id not in writers:
                writers[member.id] = (member, Writer())
            writers[member.id][1].add(scope, spans)
    pieces: list[Piece] = []
    for member, writer in writers.values():
        pieces += _pieces(member, writer.finish(), writer.spans, bytes_max)
    return Routed(pieces, sum([writer.spans for _, writer in writers.values()]), 0, "")


def _check_envelopes(envelopes: int, request: bytes) -> None:
    """Refuse before much is copied."""
    if envelopes > len(request) + limits.ENVELOPES_REPEATED_MAX:
        raise TooLargeError(
            f"its resources and scopes would take {envelopes} bytes, repeated for each sampler and scope"
        )


def _route_any(request: bytes, ring: Ring, bytes_max: int) -> Routed:
    parts = split(request)
    owners: dict[bytes, Member] = {}
    members: dict[str, Member] = {}
    bodies: dict[str, list[bytes]] = {}
    spans: dict[str, int] = {}
    envelopes = 0
    for scope in parts.scopes:
        runs_by_owner = _runs_by_owner(scope, ring, owners)
        envelopes += len(runs_by_owner) * (len(scope.envelope.resource) + len(scope.envelope.scope))
        for member, runs in runs_by_owner:
            members[member.id] = member
            enclose(bodies.setdefault(member.id, []), scope.envelope, [request[start:stop] for start, stop, _ in runs])
            spans[member.id] = spans.get(member.id, 0) + sum([count for _, _, count in runs])
    _check_envelopes(envelopes, request)
    pieces: list[Piece] = []
    for name, body in bodies.items():
        pieces += _pieces(members[name], b"".join(body), spans[name], bytes_max)
    return Routed(pieces, parts.spans, parts.rejected, parts.reason)


def _pieces(member: Member, body: bytes, spans: int, bytes_max: int) -> list[Piece]:
    if len(body) <= bytes_max:
        return [Piece(member, body, spans)]
    return [Piece(member, part, count) for part, count in cut(body, bytes_max)]


def _runs_by_owner(scope: Scope, ring: Ring, owners: dict[bytes, Member]) -> list[tuple[Member, list[list[int]]]]:
    """Each owner's runs of adjacent spans as [start, stop, spans]. HOT: the loop runs once per span."""
    by_owner: dict[str, tuple[Member, list[list[int]]]] = {}
    last_trace = b""
    last = [0, -1, 0]
    runs: list[list[int]] = []
    for trace_id, _, start, _, stop in scope.spans:
        if trace_id != last_trace:
            last_trace = trace_id
            member = owners.get(trace_id)
            if member is None:
                member = owners[trace_id] = ring.owner(trace_id)
            entry = by_owner.get(member.id)
            if entry is None:
                entry = by_owner[member.id] = (member, [])
            runs = entry[1]
            last = runs[-1] if runs else [0, -1, 0]
        if last[1] == start:
            last[1] = stop
            last[2] += 1
        else:
            last = [start, stop, 1]
            runs.append(last)
    return list(by_owner.values())
