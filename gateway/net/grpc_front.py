"""What a gRPC front is, whichever library carries it, and what every front tells its clients.

A front takes OTLP/gRPC on one port and hands requests to the intake. There are two: gateway.net.grpc_server on grpcio, the
reference, and gateway.net.native_server. Statuses, messages and trailers are made here, so that no client can tell them apart.
This module refuses to know either library.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gateway import limits
from gateway.core import Accepted, Invalid, Overloaded
from gateway.membership import VIEW_HEADER, ViewStamp
from gateway.otlp import reply

TRACE_SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
HEALTH_SERVICE = "grpc.health.v1.Health"
HEALTH_NAMES = ("", TRACE_SERVICE)
"""The services whose health is told: the server as a whole, and the one it is there for."""

Trailers = tuple[tuple[str, str | bytes], ...]
"""Trailing metadata; the values of keys that end in -bin are bytes."""


class GrpcFront(Protocol):
    """One listener for OTLP/gRPC: TraceService/Export, and the gRPC health service for HEALTH_NAMES."""

    @property
    def waiting(self) -> int:
        """How many calls of Export wait for their answer."""
        ...

    async def start(self) -> int:
        """Listen; the port in use is returned (for port 0). Raises StartupError."""
        ...

    async def set_ready(self, ready: bool) -> None:
        """What the gRPC health service answers; NOT_SERVING until this is called."""
        ...

    async def stop(self, grace: float) -> None:
        """Calls in flight may finish within `grace` seconds, new ones get UNAVAILABLE. Harmless twice, or without a start."""
        ...


class Refusal(NamedTuple):
    """How a call ends that is not OK. `code` is a google.rpc.Code."""

    code: int
    message: str
    trailers: Trailers


def stamped(stamp: ViewStamp | None) -> Trailers:
    """The trailers of every answer to an Export: our view, nothing outside a cluster."""
    return () if stamp is None else ((VIEW_HEADER, str(stamp)),)


def response(outcome: Accepted) -> bytes:
    """The message that answers an Export that is OK: no bytes when everything was taken."""
    if outcome.rejected_spans or outcome.message:
        return reply.success(outcome.rejected_spans, outcome.message)
    return b""


def refusal(outcome: Invalid | Overloaded, trailers: Trailers = ()) -> Refusal:
    """What a client is told that is refused, with `trailers` first."""
    message = _short(outcome.message)
    if isinstance(outcome, Invalid):
        return Refusal(reply.INVALID_ARGUMENT, message, trailers)
    return Refusal(reply.UNAVAILABLE, message, trailers + reply.retry_trailers(message, outcome.retry_after))


def _short(message: str) -> str:
    """The message cut in bytes: clients take 8 KiB of trailers, and see RESOURCE_EXHAUSTED, and drop, if there are more."""
    return message.encode(errors="replace")[: limits.MESSAGE_CHARS_MAX].decode(errors="ignore")
