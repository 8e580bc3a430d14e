"""OTLP/gRPC: TraceService/Export as raw bytes, and the gRPC health service.

grpcio's defaults that are wrong for OTLP are set here: SO_REUSEPORT off unless asked for, message bound after decompression at
64 MiB, pings every second tolerated. Its concurrency limit stays unset: it answers RESOURCE_EXHAUSTED without RetryInfo,
which makes agents drop; bounds are the core's, in bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from gateway import limits
from gateway.config.settings import GrpcListener
from gateway.core import Accepted, Invalid, Overloaded
from gateway.errors import StartupError
from gateway.membership import VIEW_HEADER, ViewStamp
from gateway.net.intake import Intake
from gateway.otlp import reply

TRACE_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
_PING_INTERVAL_MIN_MS = 500  # some clients ping every second; grpcio answers the third ping with GOAWAY


class GrpcServer:
    """One listener. `stamp` gives the view to put on replies, None outside a cluster."""

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
        self._health = health.aio.HealthServicer()
        options = [
            ("grpc.so_reuseport", int(reuse_port)),
            ("grpc.max_receive_message_length", listener.request_bytes_max),
            ("grpc.http2.min_ping_interval_without_data_ms", _PING_INTERVAL_MIN_MS),
            ("grpc.keepalive_permit_without_calls", 1),  # otherwise an idle client may ping once in two hours
        ]
        self._server = grpc.aio.server(options=options)
        export = grpc.unary_unary_rpc_method_handler(self._export)
        service = grpc.method_handlers_generic_handler(TRACE_SERVICE, {"Export": export})
        self._server.add_generic_rpc_handlers((service,))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

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
        for service in ("", TRACE_SERVICE):
            await self._health.set(service, status)

    async def stop(self, grace: float) -> None:
        """GOAWAY; calls in flight may finish within `grace` seconds, new ones get UNAVAILABLE."""
        await self._server.stop(grace)

    async def _export(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        metadata = dict(context.invocation_metadata() or ())
        outcome = await self._intake.submit(request, _patience(context), metadata.get(VIEW_HEADER))
        stamp = self._stamp()
        trailers: tuple[tuple[str, str | bytes], ...] = () if stamp is None else ((VIEW_HEADER, str(stamp)),)
        match outcome:
            case Accepted(rejected_spans, message):
                if trailers:
                    context.set_trailing_metadata(trailers)
                return reply.success(rejected_spans, message) if rejected_spans or message else b""
            case Invalid(message):
                await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _short(message), trailers)
            case Overloaded(message, retry_after):
                message = _short(message)
                trailers += reply.retry_trailers(message, retry_after)
                await context.abort(grpc.StatusCode.UNAVAILABLE, message, trailers)
        raise AssertionError("abort raises")


def _patience(context: grpc.aio.ServicerContext[bytes, bytes]) -> float | None:
    """Seconds until the client gives up; None if it named no deadline."""
    left = context.time_remaining()
    return None if left is None or not math.isfinite(left) else max(0.0, left)


def _short(message: str) -> str:
    """The message cut in bytes: clients take 8 KiB of trailers, and see RESOURCE_EXHAUSTED, and drop, if there are more."""
    return message.encode(errors="replace")[: limits.MESSAGE_CHARS_MAX].decode(errors="ignore")
