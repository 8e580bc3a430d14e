"""One HTTP/1.1 connection of a client: a request out, its response in, and again. Bytes are bounded, time is the caller's.

Responses are parsed by httptools (llhttp). What a response means is not known here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, cast

import httptools

from gateway import limits


class Response(NamedTuple):
    """A response: header names in lower case, of a header that comes twice the last."""

    status: int
    fields: dict[bytes, bytes]
    body: bytes


class Broken(NamedTuple):
    """No response: the connection ended, or what came is no HTTP. `untouched`: not a byte of an answer had come."""

    reason: str
    untouched: bool
    garbage: bool = False  # somebody is there and says something else


End = Response | Broken


class _Reading:
    """The response as far as it has come; the parser calls it back."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """The next response, to a request that is being sent."""
        self.fields: dict[bytes, bytes] = {}
        self.pieces: list[bytes] = []
        self.status = self.got = 0
        self.head_complete = self.done = self.interim = False
        self.keep_alive = False

    def feed(self, data: bytes) -> None:
        """Raises ValueError if this is no HTTP/1.1, or not of this response alone."""
        self.got += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            self.done = False
            raise ValueError("it changes the protocol") from error
        except httptools.HttpParserError as error:
            raise ValueError(f"{error!a}") from error

    def on_message_begin(self) -> None:
        """Called by the parser."""
        if self.done:
            self.keep_alive = False  # a second answer: nobody can say to what

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser, for trailers too; those say nothing here."""
        if not self.head_complete:
            self.fields[name.lower()] = value

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        if not self.done:
            self.status = self._parser.get_status_code()
            self.interim = 100 <= self.status < 200
            self.head_complete = not self.interim

    def on_body(self, piece: bytes) -> None:
        """Called by the parser."""
        if not self.done:
            self.pieces.append(piece)

    def on_message_complete(self) -> None:
        """Called by the parser, for each interim response too."""
        if self.interim:
            self.fields.clear()
        elif not self.done:
            self.done = True
            self.keep_alive = self._parser.should_keep_alive()  # it has forgotten afterwards

    @property
    def until_closed(self) -> bool:
        """Whether the body ends where the connection does."""
        framed = b"content-length" in self.fields or b"transfer-encoding" in self.fields
        return self.head_complete and not framed

    def response(self) -> Response:
        """What has come."""
        return Response(self.status, self.fields, b"".join(self.pieces))


class ClientConnection(asyncio.Protocol):
    """One connection to a server. `on_idle` is called when it may be used again, `on_lost` when it is gone; each End goes
    to the callback of its request."""

    def __init__(
        self, on_idle: Callable[[ClientConnection], None], on_lost: Callable[[ClientConnection], None]
    ) -> None:
        self._on_idle, self._on_lost = on_idle, on_lost
        self._transport: asyncio.Transport | None = None
        self._end: Callable[[End], None] | None = None
        self._reading = _Reading()
        self.idle_since = 0.0
        self.used = False  # it has brought an answer before

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connected."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass of it

    @property
    def alive(self) -> bool:
        """Whether nobody has closed it yet."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, head: bytes, body: bytes, end: Callable[[End], None]) -> None:
        """Send a request; `end` is called once, unless the connection is aborted."""
        assert self._end is None and self._transport is not None, "one request at a time"
        self._end = end
        self._reading.begin()
        self._transport.write(head)
        self._transport.write(body)

    def abort(self) -> None:
        """Give the connection up; nothing is said to anybody any more."""
        self._end = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close the connection, which is idle."""
        if self._transport is not None:
            self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        reading = self._reading
        if self._end is None:
            self.abort()  # an answer to nothing: whatever this is, it is not to be taken for the next one
            return
        try:
            reading.feed(data)
        except ValueError as error:
            if not reading.done:
                self._break(f"the answer is not HTTP/1.1: {error}")
                return
            reading.keep_alive = False
        bound = limits.RESPONSE_BYTES_MAX if reading.head_complete else limits.HTTP_HEAD_BYTES_MAX
        if reading.done:
            self._finish()
        elif reading.got > bound:
            self._break(f"the answer has more than {bound} bytes")

    def eof_received(self) -> None:
        """The server has closed its side."""
        if self._end is not None and self._reading.until_closed:
            self._finish()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone."""
        self._on_lost(self)
        end, self._end = self._end, None
        if end is not None:
            words = str(exc) if exc is not None else "closed by the server before its answer was complete"
            end(Broken(f"connection broken: {words}", self._reading.got == 0))

    def _finish(self) -> None:
        assert self._end is not None, "who reads an answer has asked"
        end, self._end = self._end, None
        response = self._reading.response()
        self.used = True
        if self._reading.keep_alive and self.alive:
            self._on_idle(self)
        else:
            self.close()
        end(response)

    def _break(self, reason: str) -> None:
        end, self._end = self._end, None
        self.abort()
        assert end is not None, "who reads an answer has asked"
        end(Broken(reason, untouched=False, garbage=True))
