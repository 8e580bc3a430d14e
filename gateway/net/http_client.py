"""OTLP/HTTP towards destinations: performs Send and reports what came of it as Delivered or Failed, as gateway.net.client does.

One request at a time on a connection, as many connections to a target as requests are in flight, kept alive between them. No
task and no timer but one a request.
"""

from __future__ import annotations

import asyncio
import email.utils
import ssl
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from datetime import UTC

import orjson
from google.protobuf.message import DecodeError
from google.rpc.status_pb2 import Status

from gateway import limits
from gateway.config.settings import OtlpClient
from gateway.core import Cancel, Delivered, Failed, Failure, Send
from gateway.membership import VIEW_HEADER, ViewStamp
from gateway.net.driver import die_of_bug
from gateway.net.http_exchange import ClientConnection, End, Response
from gateway.net.process import VERSION
from gateway.otlp import reply
from gateway.otlp.inflate import gzipped

RETRYABLE_STATUSES = frozenset({429, 502, 503, 504})
"""OTLP/HTTP's table; all others refuse."""

_PROTOBUF = b"application/x-protobuf"
_USER_AGENT = f"Tailgate/{VERSION} OTel-OTLP-Exporter-Python/{VERSION}"
_JSON = b"application/json"
_VIEW_HEADER = VIEW_HEADER.encode()


class Pool:
    """The connections to one target. `retired`: what is still in flight on them is the last."""

    def __init__(self, host: str, port: int, context: ssl.SSLContext | None) -> None:
        self._host, self._port, self._context = host, port, context
        self._loop = asyncio.get_running_loop()
        self.idle: list[ClientConnection] = []  # the one used last stands last
        self.open: dict[ClientConnection, None] = {}
        self.retired = False

    def take(self) -> ClientConnection | None:
        """A connection that is free; None if a new one must be opened."""
        now = self._loop.time()
        while self.idle:
            connection = self.idle.pop()
            if connection.alive and now - connection.idle_since < limits.HTTP_REUSE_TIME:
                return connection
            connection.close()
        return None

    async def connect(self) -> ClientConnection:
        """A new connection. Raises OSError (also ssl.SSLError, socket.gaierror)."""
        _, connection = await self._loop.create_connection(
            lambda: ClientConnection(self._freed, self._lost), self._host, self._port, ssl=self._context
        )
        self.open[connection] = None
        return connection

    def retire(self) -> None:
        """Close what is idle now, and the rest when it has its answer."""
        self.retired = True
        for connection in self.idle:
            connection.close()
        self.idle.clear()

    def abort(self) -> None:
        """Give all connections up."""
        for connection in list(self.open):
            connection.abort()

    def _freed(self, connection: ClientConnection) -> None:
        if self.retired:
            connection.close()
        else:
            connection.idle_since = self._loop.time()
            self.idle.append(connection)

    def _lost(self, connection: ClientConnection) -> None:
        self.open.pop(connection, None)
        if connection in self.idle:
            self.idle.remove(connection)


class _Attempt:
    """One Send on its way."""

    __slots__ = ("again", "body", "connecting", "connection", "head", "number", "pool", "stamped", "timer")

    def __init__(self, number: int, pool: Pool, head: bytes, body: bytes, *, stamped: bool) -> None:
        self.number, self.pool, self.head, self.body, self.stamped = number, pool, head, body, stamped
        self.connection: ClientConnection | None = None
        self.connecting: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        self.again = False

    def end(self) -> None:
        """Leave nothing behind: what is still under way is given up."""
        if self.timer is not None:
            self.timer.cancel()
        if self.connecting is not None:
            self.connecting.cancel()
        if self.connection is not None:
            self.connection.abort()


class HttpClient:
    """Connections by target (host:port). `report` takes each attempt's end, once per send and never after cancel.

    With `refusals` (google.rpc codes) the destinations are our own: only an answer that carries a Status with one of these
    codes refuses, and all others may be tried again. A request that was sent on a connection which the server had closed
    meanwhile goes out once more on a new one only there, where samplers know a span that they have seen; to a foreign backend
    it is a failure, and whether to send it again is for retry_on_failure to say.
    """

    def __init__(
        self,
        settings: OtlpClient,
        report: Callable[[Delivered | Failed], None],
        refusals: Collection[int] | None = None,
    ) -> None:
        assert settings.http_path is not None, "an OTLP/HTTP client posts to a path"
        self._report = report
        self._refusals = refusals
        self._gzip = settings.gzip
        self._path = settings.http_path
        self._context = None if settings.insecure else ssl.create_default_context()
        self._loop = asyncio.get_running_loop()
        self._common = "".join(
            [
                "" if "user-agent" in dict(settings.headers) else f"User-Agent: {_USER_AGENT}\r\n",
                "Content-Type: application/x-protobuf\r\nAccept-Encoding: identity\r\n",
                "Content-Encoding: gzip\r\n" if settings.gzip else "",
                *(f"{name}: {value}\r\n" for name, value in settings.headers),
            ]
        )
        self._pools: dict[str, Pool] = {}
        self._heads: dict[str, bytes] = {}  # by target: all of a head but its length and stamp
        self._retired: list[Pool] = []
        self._attempts: dict[int, _Attempt] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, action: Send, target: str = "") -> None:
        """Begin to deliver to `target` (the action's destination if it is not given)."""
        pool = self._pool(target or action.destination)
        body = gzipped(action.request) if self._gzip else action.request
        stamp = "" if action.stamp is None else f"{VIEW_HEADER}: {action.stamp}\r\n"
        head = self._heads[target or action.destination] + f"{stamp}Content-Length: {len(body)}\r\n\r\n".encode()
        attempt = _Attempt(action.attempt, pool, head, body, stamped=action.stamp is not None)
        self._attempts[action.attempt] = attempt
        attempt.timer = self._loop.call_later(action.timeout, self._expire, attempt)
        connection = pool.take()
        if connection is None:
            self._connect(attempt)
        else:
            self._ask(attempt, connection)

    def cancel(self, action: Cancel) -> None:
        """Give the attempt up; nothing is reported for it."""
        attempt = self._attempts.pop(action.attempt, None)
        if attempt is not None:
            attempt.end()

    def retain(self, targets: list[str]) -> None:
        """Close the connections to all others, once what is in flight on them has ended."""
        self._retired = [pool for pool in self._retired if pool.open]
        for target in [target for target in self._pools if target not in targets]:
            pool = self._pools.pop(target)
            del self._heads[target]
            pool.retire()
            self._retired.append(pool)

    async def close(self) -> None:
        """Give everything up and close all connections."""
        attempts = list(self._attempts.values())
        self._attempts.clear()
        for attempt in attempts:
            attempt.end()
        pools = [*self._pools.values(), *self._retired]
        self._pools.clear()
        self._heads.clear()
        self._retired.clear()
        for pool in pools:
            pool.retire()
        if self._tasks:
            await asyncio.wait(self._tasks)
        for pool in pools:
            pool.abort()
        await asyncio.sleep(0)  # transports say good-bye in the loop's next turn

    def _pool(self, target: str) -> Pool:
        pool = self._pools.get(target)
        if pool is None:
            host, _, port = target.rpartition(":")
            pool = self._pools[target] = Pool(host.strip("[]"), int(port), self._context)
            self._heads[target] = f"POST {self._path} HTTP/1.1\r\nHost: {target}\r\n{self._common}".encode("latin-1")
        return pool

    # ------------------------------------------------------------ one attempt

    def _connect(self, attempt: _Attempt) -> None:
        attempt.connecting = task = self._loop.create_task(self._connected(attempt))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self, attempt: _Attempt) -> None:
        try:
            connection = await attempt.pool.connect()
        except OSError as error:
            attempt.connecting = None
            self._end(attempt, Failed(attempt.number, Failure.UNREACHABLE, f"cannot connect: {_words(error)}"))
            return
        except Exception:  # noqa: BLE001 -- a bug; in a task it would be silence, and the core would wait for ever
            die_of_bug()
        attempt.connecting = None
        self._ask(attempt, connection)

    def _ask(self, attempt: _Attempt, connection: ClientConnection) -> None:
        attempt.connection = connection
        connection.ask(attempt.head, attempt.body, lambda end: self._ended(attempt, connection, end))

    def _ended(self, attempt: _Attempt, connection: ClientConnection, end: End) -> None:
        attempt.connection = None
        if isinstance(end, Response):
            self._end(attempt, understood(attempt.number, end, self._refusals, stamped=attempt.stamped))
        elif end.untouched and connection.used and self._refusals is not None and not attempt.again:
            attempt.again = True
            self._connect(attempt)
        else:
            failure = Failure.RETRYABLE if end.garbage else Failure.UNREACHABLE
            self._end(attempt, Failed(attempt.number, failure, end.reason[: limits.MESSAGE_CHARS_MAX]))

    def _expire(self, attempt: _Attempt) -> None:
        self._end(attempt, Failed(attempt.number, Failure.NO_ANSWER, "no answer in time"))

    def _end(self, attempt: _Attempt, event: Delivered | Failed) -> None:
        attempt.end()
        if self._attempts.pop(attempt.number, None) is not None:
            self._report(event)


# ---------------------------------------------------------------- what a response means


def understood(
    attempt: int, response: Response, refusals: Collection[int] | None = None, *, stamped: bool = False
) -> Delivered | Failed:
    """What a response means to us: OTLP/HTTP's table of statuses; with `refusals` see HttpClient."""
    stamp = ViewStamp.parse(response.fields.get(_VIEW_HEADER)) if stamped else None
    if 200 <= response.status < 300:
        rejected, message = _success(response)
        return Delivered(attempt, rejected, message, stamp)
    status = _status(response)
    reason = f"HTTP {response.status}: {_said(response, status)}".removesuffix(": ")[: limits.MESSAGE_CHARS_MAX]
    if refusals is None:
        refused = response.status not in RETRYABLE_STATUSES
    else:
        refused = status is not None and status.code in refusals and 400 <= response.status < 500
    failure = Failure.REFUSED if refused else Failure.RETRYABLE
    return Failed(attempt, failure, reason, None if refused else _retry_after(response), stamp)


def _kind(response: Response) -> bytes:
    return response.fields.get(b"content-type", b"").partition(b";")[0].strip().lower()


def _success(response: Response) -> tuple[int, str]:
    """Spans rejected, and a message. Some backends answer in JSON whatever they are asked in, some with anything at all."""
    if not response.body:
        return 0, ""
    if _kind(response) == _PROTOBUF:
        return reply.read_success(response.body)
    if _kind(response) == _JSON:
        with suppress(ValueError, TypeError, AttributeError):
            partial = orjson.loads(response.body).get("partialSuccess") or {}
            message = str(partial.get("errorMessage") or "")
            return max(0, int(partial.get("rejectedSpans") or 0)), message[: limits.MESSAGE_CHARS_MAX]
    return 0, ""


def _status(response: Response) -> Status | None:
    """The google.rpc.Status in the body, if it is one."""
    if _kind(response) != _PROTOBUF:
        return None
    try:
        return Status.FromString(response.body)
    except DecodeError:
        return None


def _said(response: Response, status: Status | None) -> str:
    if status is not None:
        return str(status.message)
    text = response.body[: 4 * limits.MESSAGE_CHARS_MAX].decode("utf-8", "replace")
    return " ".join(text.split()) if text.isprintable() or "\n" in text else ""


def _retry_after(response: Response) -> float | None:
    """Seconds to wait: RetryInfo, which is finer, else Retry-After in seconds or as a date (RFC 9110, section 10.2.3)."""
    if _kind(response) == _PROTOBUF:
        wanted = reply.read_retry_after({reply.STATUS_DETAILS_KEY: response.body})
        if wanted is not None:
            return wanted
    text = response.fields.get(b"retry-after", b"").decode("latin-1").strip()
    if text.isascii() and text.isdecimal():
        return float(text[:9])
    with suppress(ValueError):
        at = email.utils.parsedate_to_datetime(text)
        return max(0.0, at.replace(tzinfo=at.tzinfo or UTC).timestamp() - time.time())
    return None


def _words(error: OSError) -> str:
    return error.strerror or str(error) or type(error).__name__
