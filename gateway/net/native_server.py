"""The gRPC front on pygrpc-native: HTTP/2 and gRPC are done in Rust, outside the interpreter's lock.

Calls come as events in batches. One thread waits for them and puts them into the inbox; the event loop is woken once for
whatever is in it. Answers go out from the loop directly: nothing here waits, and no call has a coroutine.

Release 0.5.0 has no bound on a message before it is inflated, no TLS, no limit or ageing of connections, and its close()
fails what is in flight. The bound is checked here when a message is whole; stop() waits before it closes.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from gateway import limits
from gateway.config.settings import GrpcListener
from gateway.core import Accepted, Invalid, Outcome, Overloaded
from gateway.errors import StartupError
from gateway.membership import VIEW_HEADER, ViewStamp
from gateway.net.driver import die_of_bug
from gateway.net.grpc_front import HEALTH_SERVICE, TRACE_SERVICE, Trailers, refusal, response, stamped
from gateway.net.intake import Intake
from gateway.net.native_health import NativeHealth
from gateway.otlp import reply

if TYPE_CHECKING:
    from pygrpc_native import NativeGrpcFront

_METHODS = (
    (f"/{TRACE_SERVICE}/Export", False),
    (f"/{HEALTH_SERVICE}/Check", False),
    (f"/{HEALTH_SERVICE}/Watch", True),
)
_EXPORT, _CHECK, _WATCH = range(len(_METHODS))  # events name methods by their place
_EVENTS_MAX = 256  # in a batch; as many as there are in fact
_IO_THREADS = 1  # a second costs a fifth more CPU a call at 32 spans a request
_TURN = 0.005  # of handing in, in seconds, before the loop may do something else
_STOPPING = "the server is stopping"

# (kind, call, method, message, its view header as bytes or else who sent it, (metadata, peer, seconds until its deadline))
_Details = tuple[tuple[tuple[str, str | bytes], ...], str, float | None]
_Event = tuple[int, int, int, bytes | None, bytes | str | None, _Details | None]


class NativeServer:
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
        self._reuse_port = reuse_port
        self._stamp = stamp
        self._loop = asyncio.get_running_loop()
        self._front: NativeGrpcFront | None = None
        self._thread: threading.Thread | None = None
        self._health = NativeHealth()
        self._inbox: deque[_Event] = deque()
        self._came = self._taken = 0  # bytes put into the inbox by the thread, and taken out by the loop
        self._woken = False  # the loop has been told that something is in the inbox
        self._calls: dict[int, None] = {}  # exports not answered yet
        self._idle = asyncio.Event()  # stopping, and there are none
        self._stopping = False
        self._stopped: asyncio.Future[None] | None = None

    @property
    def waiting(self) -> int:
        """How many calls of Export wait for their answer."""
        return len(self._calls)

    async def start(self) -> int:
        """Listen; the port in use is returned (for port 0). Raises StartupError."""
        self._front = _listen(self._listener, self._reuse_port)
        port: int = self._front.bound_port
        self._front.start()
        self._thread = threading.Thread(target=self._receive, args=(self._front,), name="grpc-native", daemon=True)
        self._thread.start()
        return port

    async def set_ready(self, ready: bool) -> None:
        """What the gRPC health service answers, for the server as a whole and for the trace service."""
        self._health.set(self._front, ready)

    async def stop(self, grace: float) -> None:
        """Calls in flight may finish within `grace` seconds, new ones get UNAVAILABLE; then everything is closed."""
        if self._front is None:
            return
        if self._stopped is None:
            self._stopping = True
            self._health.end(self._front)
            if not self._calls:
                self._idle.set()
            self._stopped = asyncio.ensure_future(self._finish(self._front, grace))
        await asyncio.shield(self._stopped)

    async def _finish(self, front: NativeGrpcFront, grace: float) -> None:
        try:
            await asyncio.wait_for(self._idle.wait(), grace)
        except TimeoutError:
            for call in self._calls:
                front.fail(call, reply.UNAVAILABLE, _STOPPING)
            self._calls.clear()
        # close() cuts off answers that are not written yet, and tells nobody when they are
        await asyncio.sleep(limits.GRPC_LAST_WORDS)
        await asyncio.to_thread(self._close, front)

    def _close(self, front: NativeGrpcFront) -> None:
        front.close()
        if self._thread is not None:
            self._thread.join()

    # ---------------------------------------------------------------- the thread that waits

    def _receive(self, front: NativeGrpcFront) -> None:
        try:
            while (events := front.recv_batch_details(_EVENTS_MAX)) is not None:
                for event in events:
                    self._put(front, event)
                if not self._woken:
                    self._woken = True
                    self._loop.call_soon_threadsafe(self._hand_in)
        except Exception:  # noqa: BLE001 -- a bug: the process would go on, deaf
            die_of_bug()

    def _put(self, front: NativeGrpcFront, event: _Event) -> None:
        """Put one event into the inbox; refuse a call for now when the loop is too far behind."""
        message = event[3]
        if message is not None:
            waiting = self._came - self._taken
            if waiting and waiting + len(message) > limits.GRPC_RECEIVED_BYTES_MAX:
                _refuse(front, event[1], Overloaded("too many requests are waiting", limits.RETRY_AFTER))
                return
            self._came += len(message)
        self._inbox.append(event)

    # ---------------------------------------------------------------- the loop

    def _hand_in(self) -> None:
        """Hand in what is in the inbox, and no longer than the loop's other work can wait."""
        self._woken = False  # before the inbox is looked at: what comes from now on wakes the loop again
        now = self._loop.time
        until = now() + _TURN
        try:
            while self._inbox:
                self._handle(self._inbox.popleft())
                if now() > until:
                    self._woken = True
                    self._loop.call_soon(self._hand_in)
                    return
        except Exception:  # noqa: BLE001 -- a bug: these calls would never be answered
            die_of_bug()

    def _handle(self, event: _Event) -> None:
        _, call, method, message, key, details = event
        front = self._front
        assert front is not None, "who hears from it has started it"
        if message is None:  # its client has left, or its deadline is over
            self._forget(call)
            self._health.forget(call)
            return
        self._taken += len(message)
        if self._stopping:
            front.fail(call, reply.UNAVAILABLE, _STOPPING)
        elif method == _EXPORT:
            if len(message) > self._listener.request_bytes_max:
                front.fail(call, reply.RESOURCE_EXHAUSTED, self._too_large(len(message)))
                return
            self._calls[call] = None
            patience = details[2] if details is not None else None
            peer = key if isinstance(key, bytes) else None  # text is the client's address: it sent no view
            self._intake.hand_in(partial(self._answer, call), message, patience, peer)
        elif method == _CHECK:
            self._health.check(front, call, message)
        else:
            self._health.watch(front, call, message)

    def _too_large(self, size: int) -> str:
        return f"SERVER: Received message larger than max ({size} vs. {self._listener.request_bytes_max})"

    def _answer(self, call: int, outcome: Outcome) -> None:
        if call not in self._calls:
            return  # the client went away
        self._forget(call)
        front = self._front
        assert front is not None, "a call came from it"
        trailers = stamped(self._stamp())
        if isinstance(outcome, Accepted):
            front.respond(call, response(outcome), None, trailers or None)
        else:
            _refuse(front, call, outcome, trailers)

    def _forget(self, call: int) -> None:
        self._calls.pop(call, None)
        if self._stopping and not self._calls:
            self._idle.set()


def _refuse(front: NativeGrpcFront, call: int, outcome: Invalid | Overloaded, trailers: Trailers = ()) -> None:
    code, message, trailers = refusal(outcome, trailers)
    front.fail(call, code, message, trailers or None)


def _listen(listener: GrpcListener, reuse_port: bool) -> NativeGrpcFront:
    try:
        from pygrpc_native import NativeGrpcFront
    except ImportError as error:
        raise StartupError(
            "front: native needs a package that is not installed: pip install 'tailgate[native]'"
        ) from error
    try:
        return NativeGrpcFront(
            str(listener.endpoint),
            _METHODS,
            io_threads=_IO_THREADS,
            client_key_metadata=VIEW_HEADER,
            call_details=True,
            max_concurrent_streams=limits.GRPC_STREAMS_MAX,
            reuse_port=reuse_port,
        )
    except OSError as error:
        raise StartupError(f"cannot listen on {listener.endpoint} (OTLP/gRPC): {error.strerror or error}") from error
