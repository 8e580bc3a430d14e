"""The gRPC health service on the native front: Check, and Watch for the clients that stay and listen.

Owns who watches which service. Knows nothing of traces; grpcio brings a health service of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from gateway.net.grpc_front import HEALTH_NAMES

if TYPE_CHECKING:
    from pygrpc_native import NativeGrpcFront

_NOT_FOUND, _INTERNAL, _UNAVAILABLE = 5, 13, 14
_Status = health_pb2.HealthCheckResponse


class NativeHealth:
    """Answers the health calls of one front."""

    def __init__(self) -> None:
        self._statuses = dict.fromkeys(HEALTH_NAMES, _Status.NOT_SERVING)
        self._watchers: dict[int, str] = {}  # the service that each call watches

    def check(self, front: NativeGrpcFront, call: int, request: bytes) -> None:
        """Answer one Check."""
        service = _service(front, call, request)
        if service is None:
            return
        if service in self._statuses:
            front.respond(call, self._response(service))
        else:
            front.fail(call, _NOT_FOUND, "")

    def watch(self, front: NativeGrpcFront, call: int, request: bytes) -> None:
        """Begin one Watch: the status now, and every change of it until the client leaves."""
        service = _service(front, call, request)
        if service is not None:
            self._watchers[call] = service
            front.stream_try_send(call, self._response(service))

    def forget(self, call: int) -> None:
        """The client of this call has left."""
        self._watchers.pop(call, None)

    def set(self, front: NativeGrpcFront | None, ready: bool) -> None:
        """What is answered from now on; those who watch are told."""
        status = _Status.SERVING if ready else _Status.NOT_SERVING
        if status == self._statuses[""]:
            return
        self._statuses = dict.fromkeys(HEALTH_NAMES, status)
        for call, service in self._watchers.items():
            if front is not None and service in self._statuses:
                front.stream_try_send(call, self._response(service))  # one that never reads has missed it

    def end(self, front: NativeGrpcFront) -> None:
        """End every Watch: nothing more will change here."""
        for call in self._watchers:
            front.fail(call, _UNAVAILABLE, "the server is stopping")
        self._watchers.clear()

    def _response(self, service: str) -> bytes:
        status = self._statuses.get(service, _Status.SERVICE_UNKNOWN)
        return bytes(_Status(status=status).SerializeToString())


def _service(front: NativeGrpcFront, call: int, request: bytes) -> str | None:
    """The service that is asked about; None when the request cannot be read, which is answered here."""
    try:
        return str(health_pb2.HealthCheckRequest.FromString(request).service)
    except DecodeError:
        front.fail(call, _INTERNAL, "the request is not a grpc.health.v1.HealthCheckRequest")
        return None
