"""One HTTP/1.1 connection of a server: bytes in, whole requests out, answers back in the order of the requests.

Owns framing, keep-alive, pipelining and how long a client may take. Heads and chunks are parsed by httptools (llhttp); a body of
known length is cut out here, which spares a copy. What a request means and what it is answered is the Host's business.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from typing import NamedTuple, Protocol, cast

import httptools

from gateway import limits
from gateway.otlp import reply

_END = b"\r\n\r\n"
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Refusal(NamedTuple):
    """An error: HTTP status, google.rpc code, and words."""

    status: int
    code: int
    message: str
    extra: str = ""  # header lines


class Head:
    """What a request says before its body; the parser calls it back. Of a header that comes twice, both values."""

    __slots__ = (
        "begun",
        "complete",
        "ended",
        "fields",
        "keep_alive",
        "length",
        "method",
        "pieces",
        "refusal",
        "target",
    )

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.fields: dict[bytes, bytes] = {}
        self.refusal: Refusal | None = None  # what it is answered whatever its body is
        self.keep_alive = False
        self.length: int | None = 0  # None: chunked
        self.complete = self.ended = False
        self.begun = 0  # messages; a second one came on the heels of a chunked one
        self.pieces: list[bytes] = []  # of a chunked body, until they are taken away

    def on_message_begin(self) -> None:
        """Called by the parser."""
        self.begun += 1

    def on_url(self, part: bytes) -> None:
        """Called by the parser."""
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser, for trailers too; those say nothing here."""
        if not self.complete:
            name = name.lower()
            before = self.fields.get(name)
            self.fields[name] = value if before is None else before + b", " + value

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self.complete = True

    def on_body(self, piece: bytes) -> None:
        """Called by the parser."""
        if not self.ended:
            self.pieces.append(piece)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        self.ended = True


class BadRequestError(Exception):
    """What came is no HTTP/1.1 that can be answered otherwise."""


def read_head(text: bytes) -> tuple[Head, httptools.HttpRequestParser]:
    """The head of one request, its empty line included, and the parser behind it. Raises BadRequestError."""
    head = Head()
    parser = httptools.HttpRequestParser(head)
    upgrade = False
    try:
        parser.feed_data(text)
    except httptools.HttpParserUpgrade:
        upgrade = True  # may be passed over (RFC 9110, section 7.8), but what follows is then not for us
    except httptools.HttpParserError as error:
        raise BadRequestError(f"not HTTP/1.1: {error!a}") from error
    if not head.complete or head.pieces or head.begun != 1:
        raise BadRequestError("not HTTP/1.1: the lines of the head end in CR LF")
    head.method = parser.get_method()
    closes = b"close" in head.fields.get(b"connection", b"").lower()  # the parser has forgotten when there is no body
    head.keep_alive = not upgrade and not closes and parser.get_http_version() == "1.1"
    coding = head.fields.get(b"transfer-encoding")
    length = head.fields.get(b"content-length")
    if coding is None:
        head.length = int(length or 0)  # the parser has seen that it is a number, and there once
    elif coding.strip().lower() == b"chunked" and length is None:
        head.length = None
    else:
        raise BadRequestError("Transfer-Encoding must be chunked, without Content-Length")
    return head, parser


class Exchange:
    """One request and its answer. `answer` is called once, perhaps when the client is long gone."""

    __slots__ = ("_connection", "cut_off", "head", "last", "response")

    def __init__(self, connection: Connection, head: Head | None, *, last: bool, cut_off: bool = False) -> None:
        self._connection = connection
        self.head = head
        self.last = last  # the connection ends with it
        self.cut_off = cut_off  # more has come, or will, that is not looked at
        self.response: tuple[bytes, bytes] | None = None

    def answer(self, head: bytes, body: bytes = b"") -> None:
        """Send the response: its head without the empty line, and its body."""
        self.response = (head, b"" if self.head is not None and self.head.method == b"HEAD" else body)
        self._connection.flush()


class Host(Protocol):
    """What a connection asks of its server. `now` need not be exact."""

    now: float
    draining: bool
    request_bytes_max: int

    def opened(self, connection: Connection) -> None:
        """A client has connected."""

    def closed(self, connection: Connection) -> None:
        """The connection is gone."""

    def receive(self, size: int, of: int) -> bool:
        """`size` more bytes (fewer if negative) are held of a body of which there are `of` now; False if that is too much."""

    def judge(self, head: Head) -> Refusal | None:
        """What a request with this head is refused with whatever its body is."""

    def take(self, exchange: Exchange, head: Head, body: bytes) -> None:
        """A request is complete: answer it, now or later."""

    def refuse(self, exchange: Exchange, refusal: Refusal) -> None:
        """Answer with an error."""


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._transport: asyncio.Transport = _NONE
        self._exchanges: deque[Exchange] = deque()
        self._begun = b""  # of a head
        self._head: Head | None = None  # of the request whose body is being received
        self._parser: httptools.HttpRequestParser | None = None  # of its chunks
        self._left = 0  # bytes of its body that are still to come
        self._pieces: list[bytes] = []
        self._size = 0
        self._barren = 0  # bytes of chunked framing since the last byte of a body
        self._awaiting = False  # the end of a head that has begun
        self._over = False  # nothing more is read: the last answer is given
        self._half_closed = False
        self._paused: set[str] = set()
        self.deadline_at: float | None = None  # when the client has taken too long; None while it waits for us

    # ------------------------------------------------------------ what the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it
        self.deadline_at = self._host.now + limits.HTTP_HEAD_TIME
        self._host.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone; what it is still owed is answered to nobody."""
        self._drop_body()
        self._over = True
        self._exchanges.clear()
        self._host.closed(self)

    def eof_received(self) -> bool:
        """The client sends no more; it may still wait for answers."""
        self._half_closed = True
        self._drop_body()
        return bool(self._exchanges)

    def pause_writing(self) -> None:
        """The client does not read its answers: take no more requests of it."""
        self._pause("writing")
        self.deadline_at = self._host.now + limits.HTTP_BODY_TIME

    def resume_writing(self) -> None:
        """It has read them."""
        self._resume("writing")
        self._rest()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._begun:
            data = self._begun + data
            self._begun = b""
        at = 0
        try:
            while at < len(data) and not self._over:
                if self._head is None:
                    at = self._read_head(data, at)
                elif self._parser is None:
                    at = self._read_body(data, at)
                else:
                    at = self._read_chunks(data, at)
        except BadRequestError as error:
            self._refuse(None, Refusal(400, reply.INVALID_ARGUMENT, str(error)))

    # ------------------------------------------------------------ from bytes to requests

    def _read_head(self, data: bytes, at: int) -> int:
        while at < len(data) and data[at] in b"\r\n":  # RFC 9112, section 2.2
            at += 1
        if at == len(data):
            return at
        end = data.find(_END, at, at + limits.HTTP_HEAD_BYTES_MAX)
        if end < 0:
            self._await_head(data, at)
            return len(data)
        end += len(_END)
        self._awaiting = False
        head, parser = read_head(data[at:end])
        head.refusal = self._host.judge(head)
        if head.length is None:
            self._parser = parser
            self._begin_body(head)
        elif head.length > self._host.request_bytes_max:
            self._refuse(head, head.refusal or self._too_large)
        elif len(data) - end >= head.length:
            self._complete(head, data[end : end + head.length])
            return end + head.length
        else:
            self._left = head.length
            self._begin_body(head)
        return end

    def _await_head(self, data: bytes, at: int) -> None:
        """The end of a head has not come."""
        if len(data) - at >= limits.HTTP_HEAD_BYTES_MAX:
            words = f"the head has more than {limits.HTTP_HEAD_BYTES_MAX} bytes"
            self._refuse(None, Refusal(431, reply.INVALID_ARGUMENT, words))
        elif not data[at : at + 1].isalpha():
            raise BadRequestError("not HTTP/1.1: no method")  # at once, as TLS and noise may never bring an empty line
        else:
            if not self._awaiting:
                self._awaiting = True
                self.deadline_at = self._host.now + limits.HTTP_HEAD_TIME
            self._begun = data[at:]

    def _begin_body(self, head: Head) -> None:
        """A body is to come, in this read or later."""
        self._head = head
        self._barren = 0
        self.deadline_at = self._host.now + limits.HTTP_BODY_TIME
        if head.fields.get(b"expect", b"").lower() == b"100-continue":
            if head.refusal is not None:
                self._refuse(head, head.refusal)
            elif not self._exchanges:
                self._transport.write(_CONTINUE)

    def _read_body(self, data: bytes, at: int) -> int:
        end = min(len(data), at + self._left)
        self._left -= end - at
        self._keep(data[at:end])  # the same object when it is all of it
        if not self._left and not self._over:
            self._complete_body()
        return end

    def _read_chunks(self, data: bytes, at: int) -> int:
        head, parser = self._head, self._parser
        assert head is not None and parser is not None, "who reads chunks has seen a head"
        try:
            parser.feed_data(data[at:])
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not head.ended:
                raise BadRequestError(f"the body cannot be read: {error!a}") from error
            head.begun += 1
        self._barren = 0 if head.pieces else self._barren + len(data) - at
        for piece in head.pieces:
            self._keep(piece)
        head.pieces.clear()
        if self._over:
            return len(data)
        if head.ended:
            head.keep_alive = head.keep_alive and head.begun == 1  # nobody says where a second one begins
            self._complete_body()
        elif self._barren > limits.HTTP_HEAD_BYTES_MAX:
            raise BadRequestError("the body cannot be read: no end of chunk extensions or trailers")
        return len(data)

    def _keep(self, piece: bytes) -> None:
        """Part of a body, unless nobody wants it."""
        head = self._head
        if head is None:
            return  # refused meanwhile
        size = len(piece)
        if self._size + size > self._host.request_bytes_max:
            self._refuse(head, head.refusal or self._too_large)
            return
        self._size += size
        if head.refusal is None:
            self._pieces.append(piece)
        if not self._host.receive(size, self._size):
            self._refuse(head, _busy("too many request bodies are being received"))

    @property
    def _too_large(self) -> Refusal:
        words = f"the request has more than {self._host.request_bytes_max} bytes"
        return Refusal(413, reply.RESOURCE_EXHAUSTED, words)

    def _complete_body(self) -> None:
        head = self._head
        assert head is not None, "who has a body has seen a head"
        body = b"".join(self._pieces)
        self._drop_body()
        self._complete(head, body)

    def _drop_body(self) -> None:
        """Forget what there is of a request."""
        if self._size:
            self._host.receive(-self._size, 0)
        self._begun = b""
        self._head = self._parser = None
        self._pieces = []
        self._size = self._left = 0

    def _complete(self, head: Head, body: bytes) -> None:
        exchange = Exchange(self, head, last=not head.keep_alive, cut_off=head.begun > 1)
        self._over = exchange.last
        self.deadline_at = None
        self._exchanges.append(exchange)
        if len(self._exchanges) > limits.HTTP_PIPELINE_MAX:
            self._pause("pipeline")
        if head.refusal is None:
            self._host.take(exchange, head, body)
        else:
            self._host.refuse(exchange, head.refusal)

    def _refuse(self, head: Head | None, refusal: Refusal) -> None:
        """Give the last answer, although the request has not come to its end."""
        self._drop_body()
        self._over = True
        self.deadline_at = None
        exchange = Exchange(self, head, last=True, cut_off=True)
        self._exchanges.append(exchange)
        self._host.refuse(exchange, refusal)

    # ------------------------------------------------------------ from answers to bytes

    def flush(self) -> None:
        """Write the answers whose turn it is."""
        while self._exchanges and (response := self._exchanges[0].response) is not None:
            exchange = self._exchanges.popleft()
            last = exchange.last or (not self._exchanges and not self._receiving and self._ends)
            head, body = response
            self._transport.write(head + (b"Connection: close\r\n\r\n" if last else b"\r\n") + body)
            if last:
                self._finish(exchange)
                return
        if len(self._exchanges) <= limits.HTTP_PIPELINE_MAX:
            self._resume("pipeline")
        self._rest()

    @property
    def _receiving(self) -> bool:
        return self._head is not None or bool(self._begun)

    @property
    def _ends(self) -> bool:
        return self._host.draining or self._half_closed

    def _rest(self) -> None:
        """With nothing owed and nothing begun a client may be silent for long."""
        if not self._exchanges and not self._receiving:
            self.deadline_at = self._host.now + limits.HTTP_IDLE_TIME

    def _finish(self, exchange: Exchange) -> None:
        """The last answer is written. What a client still sends is read for a while: a reset would take its answer away."""
        self._over = True
        self.deadline_at = self._host.now + limits.HTTP_LINGER
        if exchange.cut_off and not self._half_closed:
            self._resume("pipeline")
            self._transport.write_eof()
        else:
            self._transport.close()

    # ------------------------------------------------------------ what the server says

    @property
    def waiting(self) -> int:
        """How many requests are not answered yet."""
        return len(self._exchanges)

    def drain(self) -> None:
        """Close if nothing is under way; otherwise that may come to its end."""
        if not self._exchanges and not self._receiving:
            self._transport.close()

    def time_out(self) -> None:
        """The deadline is past."""
        if self._over or "writing" in self._paused:
            self.abort()
        elif self._head is not None:
            self._refuse(self._head, _busy("the body took too long"))
        elif self._exchanges:  # these are answered still; what has begun behind them is given up
            self._drop_body()
            self._over = self._exchanges[-1].last = True
            self.deadline_at = None
        else:
            self._transport.close()

    def abort(self) -> None:
        """Give the client up."""
        self._over = True
        self._transport.abort()

    # ------------------------------------------------------------ reading or not

    def _pause(self, reason: str) -> None:
        if not self._paused and not self._transport.is_closing():
            self._transport.pause_reading()
        self._paused.add(reason)

    def _resume(self, reason: str) -> None:
        if reason in self._paused:
            self._paused.discard(reason)
            if not self._paused and not self._transport.is_closing():
                self._transport.resume_reading()


def _busy(words: str) -> Refusal:
    retry_after = f"Retry-After: {math.ceil(limits.RETRY_AFTER)}\r\n"
    return Refusal(503, reply.UNAVAILABLE, words, retry_after)


_NONE = asyncio.Transport()  # until the client is there
