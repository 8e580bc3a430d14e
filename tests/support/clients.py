"""Both clients behind one face, and what they have reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass

from gateway.config.settings import OtlpClient
from gateway.core import Delivered, Failed, Send
from gateway.membership import ViewStamp
from gateway.net.client import Client
from gateway.net.http_client import HttpClient
from tests.support.edge import PATIENCE, Edge, until

BODY = b"\x0a\x00"
KINDS = ("grpc", "http")


@dataclass
class Reports:
    """A client and what it has reported."""

    client: Client | HttpClient
    events: list[Delivered | Failed]
    kind: str
    sent: int = 0

    def at(self, server: Edge) -> str:
        """Where an edge takes what this client speaks."""
        return server.grpc_target if self.kind == "grpc" else f"127.0.0.1:{server.http_port}"

    def elsewhere(self, server: Edge) -> str:
        """Where an edge takes what this client does not speak."""
        return server.grpc_target if self.kind == "http" else f"127.0.0.1:{server.http_port}"

    def targets(self) -> list[str]:
        """Whom the client keeps connections for."""
        return list(self.client._channels if isinstance(self.client, Client) else self.client._pools)

    def closing(self) -> bool:
        """Whether connections to those that were dropped are still there."""
        if isinstance(self.client, Client):
            return bool(self.client._closing)
        return any(pool.open for pool in self.client._retired)

    def send(self, target: str, *, body: bytes = BODY, after: float = PATIENCE, stamp: ViewStamp | None = None) -> int:
        self.sent += 1
        self.client.send(Send(self.sent, target, body, 1, after, stamp))
        return self.sent

    async def next(self) -> Delivered | Failed:
        """The next event."""
        await until(lambda: bool(self.events))
        return self.events.pop(0)

    async def one(
        self, target: str, *, body: bytes = BODY, after: float = PATIENCE, stamp: ViewStamp | None = None
    ) -> Delivered | Failed:
        """Send once; what came of it."""
        attempt = self.send(target, body=body, after=after, stamp=stamp)
        event = await self.next()
        assert event.attempt == attempt
        return event

    async def failure(self, target: str, *, after: float = PATIENCE) -> Failed:
        event = await self.one(target, after=after)
        assert isinstance(event, Failed), event
        return event


@asynccontextmanager
async def client(
    kind: str = "grpc",
    *,
    gzip: bool = False,
    headers: tuple[tuple[str, str], ...] = (),
    refusals: Collection[int] | None = None,
    path: str = "/v1/traces",
) -> AsyncIterator[Reports]:
    events: list[Delivered | Failed] = []
    settings = OtlpClient(insecure=True, gzip=gzip, headers=headers, http_path=path if kind == "http" else None)
    make: Callable[..., Client | HttpClient] = HttpClient if kind == "http" else Client
    made = make(settings, events.append, refusals)
    try:
        yield Reports(made, events, kind)
    finally:
        await made.close()


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], object]


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[str]:
    """A server that does with each connection what `talk` does: its target."""
    going: list[asyncio.Task[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        going.append(task)
        try:
            await talk(reader, writer)  # type: ignore[misc]
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for task in going:
            task.cancel()
        await asyncio.gather(*going, return_exceptions=True)


async def take_request(reader: asyncio.StreamReader) -> tuple[str, bytes]:
    """One HTTP request with a Content-Length: its head and body."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = next(int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
    return head, await reader.readexactly(length)
