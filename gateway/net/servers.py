"""All receivers of one process: started together, made ready together, stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway import limits
from gateway.config.settings import Receiver
from gateway.membership import ViewStamp
from gateway.net.grpc_server import GrpcServer
from gateway.net.http_server import HttpServer
from gateway.net.intake import Intake


class Servers:
    """The listeners of all receivers. `stamp` as in GrpcServer."""

    def __init__(
        self,
        receivers: tuple[Receiver, ...],
        intake: Intake,
        *,
        reuse_port: bool = False,
        stamp: Callable[[], ViewStamp | None] = lambda: None,
    ) -> None:
        self._following: asyncio.Task[None] | None = None
        self._grpc = [GrpcServer(r.grpc, intake, reuse_port=reuse_port, stamp=stamp) for r in receivers if r.grpc]
        self._http = [HttpServer(r.http, intake, reuse_port=reuse_port) for r in receivers if r.http]

    async def start(self) -> None:
        """Listen everywhere. Raises StartupError at the first port that is in use."""
        for grpc_server in self._grpc:
            await grpc_server.start()
        for http_server in self._http:
            await http_server.start()

    def follow(self, ready: Callable[[], bool]) -> None:
        """From now on the gRPC health service answers what `ready` says."""
        self._following = asyncio.get_running_loop().create_task(self._follow(ready))

    async def _follow(self, ready: Callable[[], bool]) -> None:
        said = False
        while True:
            if ready() is not said:
                said = not said
                for server in self._grpc:
                    await server.set_ready(said)
            await asyncio.sleep(limits.READY_POLL)

    async def stop(self, grace: float) -> None:
        """Take no more; what is in flight may finish within `grace` seconds."""
        if self._following is not None:
            self._following.cancel()
        await asyncio.gather(
            *(server.stop(grace) for server in self._grpc), *(server.stop(grace) for server in self._http)
        )
