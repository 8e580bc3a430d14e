"""All receivers of one process: started together, made ready together, stopped together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway import limits
from gateway.config.settings import GrpcListener, Receiver
from gateway.membership import ViewStamp
from gateway.metrics import Tally
from gateway.net.grpc_front import GrpcFront
from gateway.net.grpc_server import GrpcServer
from gateway.net.http_server import HttpServer
from gateway.net.intake import Intake, Source
from gateway.net.native_server import NativeServer

_FRONTS: dict[str, type[GrpcServer] | type[NativeServer]] = {"grpcio": GrpcServer, "native": NativeServer}


def grpc_front(
    listener: GrpcListener,
    intake: Intake,
    *,
    reuse_port: bool = False,
    stamp: Callable[[], ViewStamp | None] = lambda: None,
) -> GrpcFront:
    """The front that the listener names. `stamp` gives the view to put on replies, None outside a cluster."""
    return _FRONTS[listener.front](listener, intake, reuse_port=reuse_port, stamp=stamp)


class Servers:
    """The listeners of all receivers; what they take in is counted in `tally`. `stamp` as in grpc_front."""

    def __init__(
        self,
        receivers: tuple[Receiver, ...],
        intake: Intake,
        tally: Tally,
        *,
        reuse_port: bool = False,
        stamp: Callable[[], ViewStamp | None] = lambda: None,
    ) -> None:
        self._following: asyncio.Task[None] | None = None
        self._grpc: list[GrpcFront] = []
        self._http: list[HttpServer] = []
        for receiver in receivers:
            if receiver.grpc:
                counted = intake.of(Source(tally, receiver.name, "grpc"))
                self._grpc.append(grpc_front(receiver.grpc, counted, reuse_port=reuse_port, stamp=stamp))
            if receiver.http:
                counted = intake.of(Source(tally, receiver.name, "http"))
                self._http.append(HttpServer(receiver.http, counted, reuse_port=reuse_port, stamp=stamp))

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
