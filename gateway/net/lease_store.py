"""The lease store in Redis: its keys, its one script, and what goes in and comes out. The only module that knows them.

What a lease is worth is judged by the script (lease.lua); when it is called, by gateway.lease.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from gateway import limits, ring
from gateway.errors import StartupError, TailgateError
from gateway.lease import Answer, Call, Claim, Standing
from gateway.membership import Member, RingParameters, View, ViewStamp, make_view, parse_member

SCRIPT = files("gateway.net").joinpath("lease.lua").read_text("utf-8")
MASK = "***"
_USER = re.compile(r"(://[^:@/]*):.*@")  # greedy: a password may hold any character, also unescaped
_PASSWORD = re.compile(r"([?&]\w*password=)[^&]*")


class LeaseStoreError(TailgateError):
    """The lease store did not answer, or not in a way this release understands."""


def keys(cluster: str) -> list[str]:
    """The keys of a cluster, in the script's order: leases, members, meta. One hash tag, so that one Redis node has them."""
    return [f"{{tailgate:{cluster}}}:{name}" for name in ("leases", "members", "meta")]


def channel(cluster: str) -> str:
    """Where new epochs are published."""
    return f"{{tailgate:{cluster}}}:views"


def masked(url: str) -> str:
    """The URL without its secrets, for logs and errors."""
    return _PASSWORD.sub(rf"\1{MASK}", _USER.sub(rf"\1:{MASK}@", url))


def connect(url: str) -> Redis:
    """A client that tries a broken connection once more and then says so; the caller bounds every call in time.

    Raises StartupError for a URL that is none.
    """
    tcp = {} if url.startswith("unix:") else {"socket_keepalive": True}
    try:
        return Redis.from_url(
            url,
            decode_responses=True,
            socket_connect_timeout=limits.STORE_TIMEOUT,
            socket_timeout=None,  # with one, the library's writes may swallow a cancellation under Python 3.11
            retry=Retry(NoBackoff(), 1),
            **tcp,
        )
    except ValueError as error:
        raise StartupError(f"not a Redis URL: {masked(url)}: {error}") from error


class LeaseStore:
    """One cluster's leases in one Redis."""

    def __init__(self, redis: Redis, cluster: str) -> None:
        self.redis = redis
        self._keys = keys(cluster)
        self._channel = channel(cluster)
        self._script = redis.register_script(SCRIPT)

    async def call(self, call: Call, within: float) -> Answer:
        """Make one call. Raises LeaseStoreError after at most `within` seconds."""
        try:
            async with asyncio.timeout(within):
                reply = await self._script(keys=self._keys, args=_arguments(call, self._channel))
        except TimeoutError as error:
            raise LeaseStoreError(f"no answer within {within:g} s") from error
        except (RedisError, OSError) as error:
            raise LeaseStoreError(str(error) or type(error).__name__) from error
        return parse_reply(cast("list[Any]", reply))


def _arguments(call: Call, channel: str) -> list[str | int]:
    claim = call.claim or Claim("0", "")
    operation = "poll" if call.claim is None else "leave" if call.leaving else "hold"
    return [
        *(operation, channel, call.held.epoch, call.held.digest, call.seen, limits.MEMBERS_MAX),
        *(claim.id, call.start, claim.endpoint, claim.ring_name or claim.endpoint, str(call.state), claim.weight),
        *(round(call.lease * 1000), str(claim.ring), claim.http, claim.admin),
    ]


def parse_reply(reply: list[Any]) -> Answer:
    """The script's reply. Raises LeaseStoreError if it is none, or describes a ring of another release."""
    try:
        standing, epoch, digest, recovering, lease, start, parameters, *rest = reply
        stamp, in_force = ViewStamp(int(epoch), digest), RingParameters.parse(parameters) if parameters else None
        view = _view(stamp, in_force, rest[0], rest[1]) if rest and in_force else None
        return Answer(stamp, int(lease) / 1000, Standing(standing), int(start), recovering == 1, in_force, view)
    except (ValueError, TypeError, IndexError) as error:
        raise LeaseStoreError(f"an answer of another release: {error}") from error


def _view(stamp: ViewStamp, parameters: RingParameters, predecessor: str, members: Sequence[str]) -> View:
    before = [line.split("\t", 1) for line in predecessor.split("\n") if line]
    view = make_view(stamp.epoch, _members(members), parameters, tuple(parse_member(id, text) for id, text in before))
    if view.digest != stamp.digest:
        raise LeaseStoreError(
            f"a view whose digest is {stamp.digest} reads as {view.digest}: another release writes it"
        )
    try:
        ring.check(parameters)
    except ring.UnknownRingError as error:
        raise LeaseStoreError(str(error)) from error
    return view


def _members(flat: Sequence[str]) -> list[Member]:
    return [parse_member(id, text) for id, text in zip(flat[::2], flat[1::2], strict=True)]


async def members(url: str, cluster: str) -> dict[str, object]:
    """The view in force and each lease's seconds left (negative: lapsed, not yet removed). Only reads, judges nothing.

    Raises StartupError, in one line, if Redis cannot be reached; LeaseStoreError if it holds what this release cannot read.
    """
    redis = connect(url)
    leases, entries, meta = keys(cluster)
    try:
        async with asyncio.timeout(limits.STORE_TIMEOUT * 2), redis.pipeline(transaction=True) as pipe:
            pipe.time()
            pipe.hgetall(meta)
            pipe.hgetall(entries)
            pipe.zrange(leases, 0, -1, withscores=True)
            time, facts, listed, lapses = await pipe.execute()
    except (RedisError, OSError, TimeoutError) as error:
        raise unreachable(url, str(error) or "no answer") from error
    finally:
        await redis.aclose()
    now = time[0] * 1000 + time[1] / 1000
    try:
        listing = [parse_member(id, listed[id]) for id in sorted(listed)]
    except ValueError as error:
        raise LeaseStoreError(f"members of another release: {error}") from error
    left = {id: round((lapses_at - now) / 1000, 3) for id, lapses_at in lapses}
    return {
        "cluster": cluster,
        "epoch": int(facts.get("epoch", 0)),
        "digest": facts.get("digest", ""),
        "ring": facts.get("ring", ""),
        "recovering": float(facts.get("recovering_until", 0)) > now,
        "members": [_row(member, left.get(member.id)) for member in listing],
    }


def _row(member: Member, left: float | None) -> dict[str, object]:
    return {
        "id": member.id,
        "endpoint": member.endpoint,
        "http": member.http,
        "admin": member.admin,
        "ring_name": member.name,
        "state": str(member.state),
        "weight": member.weight,
        "lease_seconds_left": left,
    }


def unreachable(url: str, reason: str) -> StartupError:
    """The one line about a Redis that cannot be reached."""
    return StartupError(f"cannot reach Redis at {masked(url)}: {reason}")
