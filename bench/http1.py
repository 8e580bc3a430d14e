"""The least HTTP/1.1 that an OTLP/HTTP client of ours will speak to: POSTs with a Content-Length, answered with 200 and no body.

And the choice between this and bench.http2 by the first bytes of a connection, so that one port takes both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bench import http2

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: %d\r\n\r\n"
_END = b"\r\n\r\n"
_LENGTH = b"content-length:"


class Connection(asyncio.Protocol):
    """One connection; `take` is called with each body and gives the answer's."""

    def __init__(self, take: Callable[[bytes], bytes]) -> None:
        self._take = take
        self._buffer = bytearray()
        self._body_at = self._end = 0  # of the request at hand, once its head is there

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self._buffer += data
        while self._head_is_there() and len(self._buffer) >= self._end:
            answer = self._take(bytes(self._buffer[self._body_at : self._end]))
            del self._buffer[: self._end]
            self._end = 0
            self._transport.write(_ANSWER % len(answer) + answer)  # type: ignore[attr-defined]

    def _head_is_there(self) -> bool:
        if not self._end:
            at = self._buffer.find(_END)
            if at < 0:
                return False
            head = bytes(self._buffer[:at]).lower()
            self._body_at = at + len(_END)
            length = head[head.index(_LENGTH) + len(_LENGTH) :].split(b"\r\n", 1)[0]
            self._end = self._body_at + int(length)
        return True


class Either(asyncio.Protocol):
    """A connection of which it is not known yet what it speaks."""

    def __init__(self, take: Callable[[bytes], bytes]) -> None:
        self._take = take

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Hand the connection on to who speaks it: HTTP/2 begins with PRI, all else here with POST."""
        spoken = http2.Connection(self._take) if data.startswith(b"PR") else Connection(self._take)
        self._transport.set_protocol(spoken)  # type: ignore[attr-defined]
        spoken.connection_made(self._transport)
        spoken.data_received(data)
