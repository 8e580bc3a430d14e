"""OTLP/HTTP: POST /v1/traces with a protobuf body, plain or gzip. Every error carries a google.rpc.Status.

Owns what requests mean and what they are answered. Framing, and the patience with clients, is gateway.net.http_connection's.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from gateway import limits
from gateway.config.settings import HttpListener
from gateway.core import Accepted, Invalid, Outcome, Overloaded
from gateway.errors import MalformedRequestError, StartupError, TooLargeError
from gateway.membership import VIEW_HEADER, ViewStamp
from gateway.net.http_connection import Connection, Exchange, Head, Refusal
from gateway.net.intake import Intake
from gateway.otlp import reply
from gateway.otlp.inflate import gunzip

PROTOBUF = "application/x-protobuf"
_PROTOBUF = PROTOBUF.encode()
_VIEW_HEADER = VIEW_HEADER.encode()
_FIRST_LINES = {int(status): f"HTTP/1.1 {int(status)} {status.phrase}\r\n" for status in HTTPStatus}
_BACKLOG = 1024  # connections that arrive while the loop is busy


class HttpServer:
    """One listener. `stamp` gives the view to put on replies, None outside a cluster."""

    def __init__(
        self,
        listener: HttpListener,
        intake: Intake,
        *,
        reuse_port: bool = False,
        stamp: Callable[[], ViewStamp | None] = lambda: None,
    ) -> None:
        self._listener = listener
        self._intake = intake
        self._reuse_port = reuse_port
        self._stamp = stamp
        self._path = listener.traces_path.encode()
        self._connections: dict[Connection, None] = {}
        self._server: asyncio.Server | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._empty = asyncio.Event()
        self._held = 0  # bytes of bodies that are not complete yet
        self._common = b""  # header lines of every answer
        self._success = b""  # the head of the usual answer
        self.request_bytes_max = listener.request_bytes_max
        self.draining = False
        self.now = 0.0

    async def start(self) -> int:
        """Listen; the port in use is returned (for port 0). Raises StartupError."""
        endpoint = self._listener.endpoint
        self._sweep()
        try:
            self._server = await asyncio.get_running_loop().create_server(
                lambda: Connection(self),
                endpoint.host or None,
                endpoint.port,
                reuse_port=self._reuse_port or None,
                backlog=_BACKLOG,
            )
        except OSError as error:
            self._stop_sweeping()
            raise StartupError(f"cannot listen on {endpoint} (OTLP/HTTP): {error.strerror or error}") from error
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self, grace: float) -> None:
        """Close the listener; what is in flight may finish within `grace` seconds; close the connections."""
        if self._server is not None:
            self._server.close()
        await asyncio.sleep(0)  # what has arrived already counts as in flight
        self.draining = True
        for connection in list(self._connections):
            connection.drain()
        with suppress(TimeoutError):
            async with asyncio.timeout(grace):
                await self._until_empty()
        for connection in list(self._connections):
            connection.abort()
        await self._until_empty()
        self._stop_sweeping()

    @property
    def waiting(self) -> int:
        """How many requests are not answered yet."""
        return sum(connection.waiting for connection in self._connections)

    async def _until_empty(self) -> None:
        while self._connections:
            self._empty.clear()
            await self._empty.wait()

    def _sweep(self) -> None:
        """Once in a while: the clock, the date, and clients that take too long."""
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        self._common = b"Content-Type: %b\r\nDate: %b\r\n" % (_PROTOBUF, formatdate(usegmt=True).encode())
        self._success = self._head(200, 0, "")
        for connection in list(self._connections):
            if connection.deadline_at is not None and connection.deadline_at < self.now:
                connection.time_out()
        self._sweeping = loop.call_later(limits.HTTP_SWEEP, self._sweep)

    def _stop_sweeping(self) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()

    # ------------------------------------------------------------ what connections ask

    def opened(self, connection: Connection) -> None:
        """A client has connected."""
        self._connections[connection] = None

    def closed(self, connection: Connection) -> None:
        """The connection is gone."""
        self._connections.pop(connection, None)
        self._empty.set()

    def receive(self, size: int, of: int) -> bool:
        """What all bodies take that are not complete yet is bounded: slow clients cost memory too. One alone has room."""
        self._held += size
        return self._held <= limits.HTTP_RECEIVING_BYTES_MAX or self._held <= of

    def judge(self, head: Head) -> Refusal | None:
        """What a request with this head is refused with whatever its body is."""
        if head.target != self._path and not self._is_ours(head.target):
            words = f"no such path; OTLP traces go to POST {self._listener.traces_path}"
            return Refusal(404, reply.NOT_FOUND, words)
        if head.method != b"POST":
            return Refusal(405, reply.UNIMPLEMENTED, "OTLP traces are sent with POST", "Allow: POST\r\n")
        named = head.fields.get(b"content-type", b"")
        if named != _PROTOBUF and named.partition(b";")[0].strip().lower() != _PROTOBUF:
            words = f"Content-Type must be {PROTOBUF}, not {named.decode('latin-1')!a}"
            return Refusal(415, reply.INVALID_ARGUMENT, words)
        coding = _coding(head)
        if coding not in (b"", b"gzip", b"identity"):
            words = f"Content-Encoding must be gzip or identity, not {coding.decode('latin-1')!a}"
            return Refusal(415, reply.INVALID_ARGUMENT, words)
        return None

    def _is_ours(self, target: bytes) -> bool:
        """Whether a target that is not literally our path means it: with a query, escapes, or as proxies write it."""
        text = target.decode("latin-1")
        try:
            path = urlsplit(text).path if "://" in text else text.partition("?")[0]
        except ValueError:
            return False
        return unquote(path) == self._listener.traces_path

    def take(self, exchange: Exchange, head: Head, body: bytes) -> None:
        """A request is complete: hand it in."""
        try:
            if _coding(head) == b"gzip":
                body = gunzip(body, self.request_bytes_max)
        except TooLargeError as error:
            self.refuse(exchange, Refusal(413, reply.RESOURCE_EXHAUSTED, str(error)))
        except MalformedRequestError as error:
            self.refuse(exchange, Refusal(400, reply.INVALID_ARGUMENT, str(error)))
        else:
            self._intake.hand_in(
                lambda outcome: self._answer(exchange, outcome), body, None, head.fields.get(_VIEW_HEADER)
            )

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        """Answer with an error."""
        body = reply.status(refusal.code, refusal.message)
        exchange.answer(self._head(refusal.status, len(body), refusal.extra), body)

    # ------------------------------------------------------------ answers

    def _answer(self, exchange: Exchange, outcome: Outcome) -> None:
        stamp = self._stamp()
        if stamp is None and isinstance(outcome, Accepted) and not (outcome.message or outcome.rejected_spans):
            exchange.answer(self._success)
            return
        extra = "" if stamp is None else f"{VIEW_HEADER}: {stamp}\r\n"
        status = 200
        match outcome:
            case Accepted(rejected_spans, message):
                body = reply.success(rejected_spans, message) if rejected_spans or message else b""
            case Invalid(message):
                status, body = 400, reply.status(reply.INVALID_ARGUMENT, message)
            case Overloaded(message, retry_after):
                status, body = 503, reply.status(reply.UNAVAILABLE, message, retry_after)
                extra += f"Retry-After: {max(1, math.ceil(retry_after))}\r\n"
        exchange.answer(self._head(status, len(body), extra), body)

    def _head(self, status: int, length: int, extra: str) -> bytes:
        """A response's head but for its empty line."""
        return f"{_FIRST_LINES[status]}Content-Length: {length}\r\n{extra}".encode("latin-1") + self._common


def _coding(head: Head) -> bytes:
    coding = head.fields.get(b"content-encoding", b"")
    return coding.strip().lower() if coding else coding
