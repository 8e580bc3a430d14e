"""Just enough of HTTP/2 to say to a gRPC server what no gRPC library would: hand-made frames, and answers read by eye."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import hpack

from gateway.net.grpc_front import TRACE_SERVICE

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 3, 4, 6, 7, 8, 9
END_STREAM, END_HEADERS, ACK = 1, 4, 1
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_WINDOW = 65_535  # what may be sent before the server has widened it


@dataclass
class Connection:
    """One connection with the preface sent. It acknowledges nothing but answers settings."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    headers: hpack.Decoder = field(default_factory=hpack.Decoder)

    def send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        head = struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream)
        self.writer.write(head + payload)

    def call(self, stream: int, message: bytes | None = None, **headers: str) -> None:
        """Open an Export call; without a message it stays open. Header names are written with _ for -."""
        fields = {
            ":method": "POST",
            ":scheme": "http",
            ":path": f"/{TRACE_SERVICE}/Export",
            ":authority": "test",
            "te": "trailers",
            "content-type": "application/grpc",
        } | {name.replace("_", "-"): value for name, value in headers.items()}
        self.send(HEADERS, END_HEADERS, stream, b"".join(_literal(name, value) for name, value in fields.items()))
        if message is not None:
            assert len(message) <= _WINDOW
            chunks = [message[at : at + 16_000] for at in range(0, len(message), 16_000)] or [b""]
            for number, chunk in enumerate(chunks, 1):
                self.send(DATA, END_STREAM if number == len(chunks) else 0, stream, chunk)

    async def next_frame(self) -> tuple[int, int, int, bytes]:
        """(kind, flags, stream, payload); raises IncompleteReadError when the server has closed."""
        head = await self.reader.readexactly(9)
        payload = await self.reader.readexactly(int.from_bytes(head[:3]))
        kind, flags = head[3], head[4]
        if kind == SETTINGS and not flags & ACK:
            self.send(SETTINGS, ACK, 0, b"")
        return kind, flags, int.from_bytes(head[5:9]), payload

    async def status(self, stream: int) -> tuple[int, dict[str, str]]:
        """(grpc-status, the headers it stood among) of a call on this connection.

        Raises ConnectionError when the server gives up the connection or the call.
        """
        while True:
            kind, _, which, payload = await self.next_frame()
            if kind == GOAWAY or (kind == RST_STREAM and which == stream):
                raise ConnectionAbortedError(payload)
            if kind == HEADERS:
                found = dict(self.headers.decode(payload))  # of every stream: what one has said shortens the next
                if which == stream and "grpc-status" in found:
                    return int(found["grpc-status"]), found


@asynccontextmanager
async def connection(port: int) -> AsyncIterator[Connection]:
    """A connection to this port of this machine."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    made = Connection(reader, writer)
    writer.write(_PREFACE)
    made.send(SETTINGS, 0, 0, b"")
    try:
        yield made
    finally:
        writer.close()


def message(body: bytes, *, compressed: bool = False) -> bytes:
    """A length-prefixed gRPC message."""
    return bytes([compressed]) + struct.pack(">I", len(body)) + body


def _literal(name: str, value: str) -> bytes:
    assert len(name) < 127 and len(value) < 127, "longer ones need more than one byte of length"
    return b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
