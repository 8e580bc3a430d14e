"""The least HTTP/2 a gRPC client will speak to, for servers that must cost next to nothing beside what they measure.

A server of unary calls that always succeed with an empty message. It never reads a header, for there is one method to call, and
never waits for a window: its answers are 5 bytes each and clients return that credit long before it runs out. No TLS, no
padding, no compressed messages. Knows nothing of spans.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import cast

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, WINDOW_UPDATE = 0, 1, 3, 4, 6, 8
ACK = END_STREAM = 1
END_HEADERS, PADDED = 4, 8
FRAME_HEADER = 9
MESSAGE_HEADER = 5  # gRPC's: compressed or not, and the length
WINDOW_MAX = 2**31 - 1
WINDOW_FIRST = 65_535
WINDOW_RETURN = 2**28  # bytes received before their credit is given back


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """One frame (RFC 9113, 4.1)."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


# Header blocks in HPACK without the dynamic table (RFC 7541): an indexed `:status 200`, and literals.
_HEAD = b"\x88\x0f\x10\x10application/grpc"
_TRAILER = b"\x00\x0bgrpc-status\x010"
_SETTINGS = struct.pack(">HIHI", 3, 10_000, 4, WINDOW_MAX)  # streams at once, and the window of each
_GREETING = frame(SETTINGS, 0, 0, _SETTINGS) + frame(
    WINDOW_UPDATE, 0, 0, (WINDOW_MAX - WINDOW_FIRST).to_bytes(4, "big")
)


def answer(stream: int) -> bytes:
    """Headers, an empty message and the status OK."""
    return (
        frame(HEADERS, END_HEADERS, stream, _HEAD)
        + frame(DATA, 0, stream, bytes(MESSAGE_HEADER))
        + frame(HEADERS, END_HEADERS | END_STREAM, stream, _TRAILER)
    )


class Connection(asyncio.Protocol):
    """One client. `take` is called with every message received, before it is answered."""

    def __init__(self, take: Callable[[bytes], object]) -> None:
        self._take = take
        self._unread = b""  # shorter than a frame, and those stay at 16 KiB
        self._greeted = False
        self._streams: dict[int, list[bytes]] = {}
        self._unreturned = 0
        self._out: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the client."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass of it
        self._transport.write(_GREETING)

    def data_received(self, data: bytes) -> None:
        """Read whole frames; keep the rest for later."""
        unread = self._unread + data
        at = 0
        if not self._greeted and len(unread) >= len(PREFACE):
            assert unread.startswith(PREFACE), "not HTTP/2"
            self._greeted, at = True, len(PREFACE)
        while self._greeted and (body := at + FRAME_HEADER) <= len(unread):
            stop = body + int.from_bytes(unread[at : at + 3], "big")
            if stop > len(unread):
                break
            self._frame(unread[at + 3], unread[at + 4], int.from_bytes(unread[at + 5 : body], "big"), unread[body:stop])
            at = stop
        self._unread = unread[at:]
        if self._out:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == DATA:
            self._data(flags, stream, payload)
        elif kind == HEADERS:
            self._streams[stream] = []
        elif kind == RST_STREAM:
            self._streams.pop(stream, None)
        elif kind in (SETTINGS, PING) and not flags & ACK:
            self._out.append(frame(kind, ACK, 0, payload if kind == PING else b""))

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        assert not flags & PADDED, "no gRPC client pads"
        self._return_credit(len(payload))
        parts = self._streams.get(stream)
        if parts is None:  # it was reset
            return
        parts.append(payload)
        if flags & END_STREAM:
            message = b"".join(self._streams.pop(stream))
            assert message[:1] == b"\x00", "nobody was asked to compress"
            self._take(message[MESSAGE_HEADER:])
            self._out.append(answer(stream))

    def _return_credit(self, size: int) -> None:
        self._unreturned += size
        if self._unreturned >= WINDOW_RETURN:
            self._out.append(frame(WINDOW_UPDATE, 0, 0, self._unreturned.to_bytes(4, "big")))
            self._unreturned = 0
