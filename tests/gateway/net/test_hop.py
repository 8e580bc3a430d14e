"""gateway.net.hop: a balancer reaches each member in the way that is configured and that the member has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gateway.config.settings import OtlpClient
from gateway.core import Accepted, Cancel, Delivered, Failed, Send
from gateway.membership import Member
from gateway.net.hop import Hop
from gateway.otlp import reply
from tests.support.edge import PATIENCE, Edge, edge, until

REFUSALS = (reply.INVALID_ARGUMENT, reply.RESOURCE_EXHAUSTED)


@asynccontextmanager
async def hop(path: str | None) -> AsyncIterator[tuple[Hop, list[Delivered | Failed]]]:
    events: list[Delivered | Failed] = []
    made = Hop(OtlpClient(insecure=True, gzip=False, http_path=path), events.append, REFUSALS)
    try:
        yield made, events
    finally:
        await made.close()


def member(name: str, server: Edge, *, http: bool = True) -> Member:
    return Member(name, server.grpc_target, http=f"127.0.0.1:{server.http_port}" if http else "")


@pytest.mark.parametrize("path", [None, "/v1/traces"])
async def test_members_are_reached_as_configured(path: str | None) -> None:
    """With otlp_http requests go to a member's HTTP address, without it to its endpoint."""
    async with hop(path) as (made, events), edge() as server:
        assert made.follow([member("a", server)]) == []
        made.send(Send(1, server.grpc_target, b"", 1, PATIENCE))
        await until(lambda: bool(events))
        assert events == [Delivered(1)]
        assert len(server.http._connections) == (0 if path is None else 1)


async def test_a_member_without_http_is_spoken_to_by_grpc() -> None:
    """A member whose lease names no HTTP address is reached all the same, and named; once it has one, HTTP is taken."""
    async with hop("/v1/traces") as (made, events), edge() as old, edge() as new:
        assert made.follow([member("a", old, http=False), member("b", new)]) == [old.grpc_target]
        for number, server in enumerate((old, new)):
            made.send(Send(number, server.grpc_target, b"", 1, PATIENCE))
        await until(lambda: len(events) == 2)
        assert (len(old.http._connections), len(new.http._connections)) == (0, 1)
        assert made.follow([member("a", old), member("b", new)]) == []
        made.send(Send(3, old.grpc_target, b"", 1, PATIENCE))
        await until(lambda: len(events) == 3)
        assert len(old.http._connections) == 1
        made.follow([member("a", old)])
        await until(lambda: not new.http._connections)


async def test_nothing_is_reported_after_cancel() -> None:
    """An attempt that was cancelled ends in silence, whichever way it went."""
    async with hop("/v1/traces") as (made, events), edge(None) as old, edge(None) as new:
        made.follow([member("a", old, http=False), member("b", new)])
        for number, server in enumerate((old, new)):
            made.send(Send(number, server.grpc_target, b"", 1, PATIENCE))
            await server.script.wait_for(1)
            made.cancel(Cancel(number))
            server.script.answer_all(Accepted())
        await made.close()
        assert not events
