"""The bench's own HTTP/2 speaks to gRPC clients, in whatever pieces the bytes come."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from bench import http2

MESSAGE = b"a request"
HEADERS = http2.frame(http2.HEADERS, http2.END_HEADERS, 1, b"whatever the headers are")
BODY = b"\x00" + len(MESSAGE).to_bytes(4, "big") + MESSAGE


class Wire:
    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        self.written += data


def connected() -> tuple[http2.Connection, Wire, list[bytes]]:
    taken: list[bytes] = []
    wire = Wire()
    connection = http2.Connection(taken.append)
    connection.connection_made(cast(asyncio.BaseTransport, wire))
    wire.written = b""
    return connection, wire, taken


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_a_call_is_taken_and_answered_however_its_bytes_are_cut(piece: int) -> None:
    """A preface, settings and a call, byte by byte or at once: one message, one acknowledgement, one answer."""
    connection, wire, taken = connected()
    call = HEADERS + http2.frame(http2.DATA, 0, 1, BODY[:3]) + http2.frame(http2.DATA, http2.END_STREAM, 1, BODY[3:])
    sent = http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0, b"") + call
    for at in range(0, len(sent), piece):
        connection.data_received(sent[at : at + piece])
    assert taken == [MESSAGE]
    assert wire.written == http2.frame(http2.SETTINGS, http2.ACK, 0, b"") + http2.answer(1)


def test_a_ping_is_returned_and_an_acknowledgement_is_not() -> None:
    """Clients measure the path with pings; answering an answer would never end."""
    connection, wire, _ = connected()
    connection.data_received(http2.PREFACE + http2.frame(http2.PING, 0, 0, b"12345678"))
    connection.data_received(http2.frame(http2.PING, http2.ACK, 0, b"12345678"))
    assert wire.written == http2.frame(http2.PING, http2.ACK, 0, b"12345678")


def test_a_call_that_is_reset_is_forgotten() -> None:
    """What arrives for a stream after its reset is neither taken nor answered."""
    connection, wire, taken = connected()
    reset = http2.frame(http2.RST_STREAM, 0, 1, bytes(4))
    connection.data_received(http2.PREFACE + HEADERS + reset + http2.frame(http2.DATA, http2.END_STREAM, 1, BODY))
    assert (taken, wire.written) == ([], b"")


def test_a_connection_never_runs_out_of_credit() -> None:
    """The window is given back before it is used up."""
    connection, wire, _ = connected()
    chunk = http2.frame(http2.DATA, 0, 1, bytes(2**14))
    connection.data_received(http2.PREFACE + HEADERS)
    for _ in range(http2.WINDOW_RETURN // 2**14):
        connection.data_received(chunk)
    assert wire.written == http2.frame(http2.WINDOW_UPDATE, 0, 0, http2.WINDOW_RETURN.to_bytes(4, "big"))
