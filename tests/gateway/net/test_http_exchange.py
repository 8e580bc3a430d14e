"""gateway.net.http_exchange: bytes of a server to one Response, or to the reason why there is none."""

from __future__ import annotations

import random

import pytest

from gateway import limits
from gateway.net.http_exchange import Broken, ClientConnection, End, Response


class Transport:
    """Remembers what was done to it."""

    def __init__(self) -> None:
        self.written = b""
        self.ended = ""

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.ended = self.ended or "closed"

    def abort(self) -> None:
        self.ended = "aborted"

    def is_closing(self) -> bool:
        return bool(self.ended)


class Talk:
    """A connection, what it said to its owner, and the ends of its requests."""

    def __init__(self) -> None:
        self.idle = self.lost = 0
        self.ends: list[End] = []
        self.transport = Transport()
        self.connection = ClientConnection(self._on_idle, self._on_lost)
        self.connection.connection_made(self.transport)  # type: ignore[arg-type]

    def _on_idle(self, _: ClientConnection) -> None:
        self.idle += 1

    def _on_lost(self, _: ClientConnection) -> None:
        self.lost += 1

    def ask(self) -> None:
        self.connection.ask(b"HEAD", b"BODY", self.ends.append)

    def hear(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.connection.data_received(piece)

    def over(self, error: Exception | None = None) -> None:
        if error is None:
            self.connection.eof_received()
        self.connection.connection_lost(error)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nA: b\r\n\r\nok"


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_response_may_come_in_any_pieces(size: int) -> None:
    """Head and body are put together however they come, again and again on one connection."""
    talk = Talk()
    for number in range(1, 4):
        talk.ask()
        talk.hear(*(OK[at : at + size] for at in range(0, len(OK), size)))
        assert talk.ends[-1] == Response(200, {b"content-length": b"2", b"a": b"b"}, b"ok")
        assert (talk.idle, len(talk.ends), talk.transport.ended) == (number, number, "")
    assert talk.transport.written == b"HEADBODY" * 3
    assert talk.connection.used


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        OK + b"more",
        OK + OK,
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP",
    ],
)
def test_a_connection_is_not_used_again_when_in_doubt(response: bytes) -> None:
    """After Connection: close, HTTP/1.0, or bytes that nobody asked for, a response counts and its connection ends."""
    talk = Talk()
    talk.ask()
    talk.hear(response)
    assert isinstance(talk.ends[0], Response) and talk.ends[0].status == 200
    assert (talk.idle, len(talk.ends), talk.transport.ended) == (0, 1, "closed")


def test_how_a_connection_breaks_is_told() -> None:
    """Broken before a byte came is another thing than in the middle of an answer; the error is in the reason."""
    for start, untouched in ((b"", True), (OK[:9], False), (OK[:-1], False)):
        talk = Talk()
        talk.ask()
        talk.hear(*([start] if start else []))
        talk.over()
        assert [end.untouched for end in talk.ends if isinstance(end, Broken)] == [untouched]
        assert talk.lost == 1
    talk = Talk()
    talk.ask()
    talk.over(ConnectionResetError("reset by peer"))
    assert talk.ends == [Broken("connection broken: reset by peer", True)]


def test_what_was_given_up_ends_in_silence() -> None:
    """After abort nothing is said of the request, whatever still comes."""
    talk = Talk()
    talk.ask()
    talk.connection.abort()
    talk.hear(OK)
    talk.over()
    assert (talk.ends, talk.transport.ended, talk.lost) == ([], "aborted", 1)


def test_bytes_on_an_idle_connection_end_it() -> None:
    """An answer to nothing is never taken for the next one."""
    talk = Talk()
    talk.hear(OK)
    assert (talk.transport.ended, talk.ends) == ("aborted", [])


def test_a_body_may_end_with_the_connection() -> None:
    """Without a length the body ends where the connection does; with one, that is too early."""
    talk = Talk()
    talk.ask()
    talk.hear(b"HTTP/1.1 200 OK\r\n\r\nab", b"cd")
    talk.over()
    assert talk.ends == [Response(200, {}, b"abcd")]


def test_no_bytes_do_harm() -> None:
    """Whatever comes, a request has one end at most, or is still waiting for it within the bounds."""
    dice = random.Random(5)
    for _ in range(3000):
        text = bytearray(dice.choice([OK, OK.replace(b"200", b"100") + OK, b"HTTP/1.1 204 N\r\n\r\n", b""]))
        for _ in range(dice.randint(0, 4)):
            at = dice.randrange(len(text) + 1)
            text[at : at + dice.randint(0, 3)] = dice.choice([b"\r\n", b"\0", b"9", dice.randbytes(5), b"chunked"])
        talk = Talk()
        talk.ask()
        cut = dice.randrange(len(text) + 1)
        talk.hear(*(piece for piece in (bytes(text[:cut]), bytes(text[cut:])) if piece))
        talk.over()
        assert len(talk.ends) == 1
    assert limits.HTTP_HEAD_BYTES_MAX < limits.RESPONSE_BYTES_MAX
