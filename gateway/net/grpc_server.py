"""The gRPC front on grpcio's asyncio server: the reference, and what runs wherever Python does.

grpcio's defaults that are wrong for OTLP are set here: SO_REUSEPORT off unless asked for, message bound after decompression at
64 MiB, pings every second tolerated, calls of one connection bounded. Its concurrency limit stays unset: it answers
RESOURCE_EXHAUSTED without RetryInfo, which makes agents drop; bounds are the core's, in bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gateway import limits
from gateway.config.settings import GrpcListener
from gateway.core import Accepted
from gateway.errors import StartupError
from gateway.membership import VIEW_HEADER, ViewStamp
from gateway.net.grpc_front import HEALTH_NAMES, TRACE_SERVICE, refusal, response, stamped
from gateway.net.intake import Intake

__all__ = ["TRACE_SERVICE", "GrpcServer"]

_CODES = {code.value[0]: code for code in grpc.StatusCode}
_PING_INTERVAL_MIN_MS = 500  # some clients ping every second; grpcio answers the third ping with GOAWAY


class GrpcServer:
    """A GrpcFront. `stamp` gives the view to put on replies, None outside a cluster."""

    def __init__(
        self,
        listener: GrpcListener,
        intake: Intake,
        *,
        reuse_port: bool = False,
        stamp: Callable[[], ViewStamp | None] = lambda: None,
    ) -> None:
        self._listener = listener
        self._intake = intake
        self._stamp = stamp
        self._waiting = 0
        self._health = health.aio.HealthServicer()
        options = [
            ("grpc.so_reuseport", int(reuse_port)),
            ("grpc.max_concurrent_streams", limits.GRPC_STREAMS_MAX),
            # calls that the loop has not come to yet: of itself it answers CANCELLED to some beyond 1000
            ("grpc.server.max_pending_requests", limits.GRPC_STREAMS_MAX),
            ("grpc.server.max_pending_requests_hard_limit", limits.GRPC_STREAMS_MAX),
            ("grpc.max_receive_message_length", listener.request_bytes_max),
            ("grpc.http2.min_ping_interval_without_data_ms", _PING_INTERVAL_MIN_MS),
            ("grpc.keepalive_permit_without_calls", 1),  # otherwise an idle client may ping once in two hours
        ]
        if reuse_port:
            options.append(("grpc.max_connection_age_ms", int(limits.GRPC_CONNECTION_AGE_MAX * 1000)))
        self._server = grpc.aio.server(options=options)
        export = grpc.unary_unary_rpc_method_handler(self._export)
        service = grpc.method_handlers_generic_handler(TRACE_SERVICE, {"Export": export})
        self._server.add_generic_rpc_handlers((service,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    @property
    def waiting(self) -> int:
        """How many calls of Export wait for their answer."""
        return self._waiting

    async def start(self) -> int:
        """Listen; the port in use is returned (for port 0). Raises StartupError."""
        try:
            port: int = self._server.add_insecure_port(str(self._listener.endpoint))
        except RuntimeError as error:
            raise StartupError(
                f"cannot listen on {self._listener.endpoint} (OTLP/gRPC): is the port in use?"
            ) from error
        await self.set_ready(False)
        await self._server.start()
        return port

    async def set_ready(self, ready: bool) -> None:
        """What the gRPC health service answers, for the server as a whole and for the trace service."""
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for service in HEALTH_NAMES:
            await self._health.set(service, status)

    async def stop(self, grace: float) -> None:
        """GOAWAY; calls in flight may finish within `grace` seconds, new ones get UNAVAILABLE."""
        await self._server.stop(grace)

    async def _export(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        self._waiting += 1
        try:
            outcome = await self._intake.submit(request, _patience(context), metadata.get(VIEW_HEADER))
        finally:
            self._waiting -= 1
        trailers = stamped(self._stamp())
        if isinstance(outcome, Accepted):
            if trailers:
                context.set_trailing_metadata(trailers)
            return response(outcome)
        code, message, trailers = refusal(outcome, trailers)
        await context.abort(_CODES[code], message, trailers)
        raise AssertionError("abort raises")


def _patience(context: grpc.aio.ServicerContext[bytes, bytes]) -> float | None:
    """Seconds until the client gives up; None if it named no deadline."""
    left = context.time_remaining()
    return None if left is None or not math.isfinite(left) else max(0.0, left)
