"""gateway.net.native_health: who hears what of the health."""

from __future__ import annotations

import pytest
from grpc_health.v1 import health_pb2

from gateway.net.grpc_front import HEALTH_NAMES, TRACE_SERVICE
from gateway.net.native_health import NativeHealth

SERVING, NOT_SERVING, UNKNOWN = (health_pb2.HealthCheckResponse(status=n).SerializeToString() for n in (1, 2, 3))


class Front:
    """Stands in for the library: what each call was told."""

    def __init__(self) -> None:
        self.told: dict[int, list[object]] = {}

    def respond(self, call: int, message: bytes) -> None:
        self.told.setdefault(call, []).append(message)

    stream_try_send = respond

    def fail(self, call: int, code: int, message: str) -> None:
        self.told.setdefault(call, []).append(code)


def ask(service: str) -> bytes:
    return bytes(health_pb2.HealthCheckRequest(service=service).SerializeToString())


@pytest.mark.parametrize("service", HEALTH_NAMES)
def test_check_follows_readiness(service: str) -> None:
    """The server and its one service are NOT_SERVING until they are said to be ready."""
    health, front = NativeHealth(), Front()
    for call, ready in enumerate((None, True, False)):
        if ready is not None:
            health.set(front, ready)  # type: ignore[arg-type]
        health.check(front, call, ask(service))  # type: ignore[arg-type]
    assert front.told == {0: [NOT_SERVING], 1: [SERVING], 2: [NOT_SERVING]}


def test_other_services() -> None:
    """A service that is not there is NOT_FOUND to who checks it, and SERVICE_UNKNOWN to who watches it."""
    health, front = NativeHealth(), Front()
    health.check(front, 0, ask("nobody"))  # type: ignore[arg-type]
    health.watch(front, 1, ask("nobody"))  # type: ignore[arg-type]
    health.set(front, True)  # type: ignore[arg-type]
    assert front.told == {0: [5], 1: [UNKNOWN]}


def test_a_request_that_cannot_be_read() -> None:
    """What is no HealthCheckRequest is INTERNAL, and nobody watches for it."""
    health, front = NativeHealth(), Front()
    health.check(front, 0, b"\xff")  # type: ignore[arg-type]
    health.watch(front, 1, b"\xff")  # type: ignore[arg-type]
    health.set(front, True)  # type: ignore[arg-type]
    assert front.told == {0: [13], 1: [13]}


def test_watchers_hear_each_change_once() -> None:
    """Those who watch hear the status now and each change of it, until they leave or the server ends."""
    health, front = NativeHealth(), Front()
    health.watch(front, 0, ask(""))  # type: ignore[arg-type]
    health.watch(front, 1, ask(TRACE_SERVICE))  # type: ignore[arg-type]
    for ready in (False, True, True):
        health.set(front, ready)  # type: ignore[arg-type]
    health.forget(1)
    health.forget(7)
    health.set(front, False)  # type: ignore[arg-type]
    health.end(front)  # type: ignore[arg-type]
    health.set(front, True)  # type: ignore[arg-type]
    assert front.told == {0: [NOT_SERVING, SERVING, NOT_SERVING, 14], 1: [NOT_SERVING, SERVING]}
