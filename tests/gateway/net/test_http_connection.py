"""gateway.net.http_connection: framing, patience and bounds. What requests mean is in tests/conformance/test_otlp_http.py."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import limits
from gateway.core import Accepted, Overloaded
from gateway.membership import ViewStamp
from gateway.net.http_connection import BadRequestError, Head, read_head
from tests.support.edge import PATIENCE, Answer, Edge, edge, http_raw, post, read_answer, until

CHUNKED = post(content_length=None, transfer_encoding="chunked")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patience of a moment."""
    monkeypatch.setattr(limits, "HTTP_SWEEP", 0.02)
    for name in ("HTTP_HEAD_TIME", "HTTP_BODY_TIME", "HTTP_IDLE_TIME", "HTTP_LINGER"):
        monkeypatch.setattr(limits, name, 0.1)


async def answers(made: Edge, *pieces: bytes, count: int = 1) -> list[Answer]:
    """Send the pieces one by one on a connection; the first answers on it, fewer if it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
    found: list[Answer] = []
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        while len(found) < count:
            found.append(await read_answer(reader))
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()
    return found


async def closes(reader: asyncio.StreamReader) -> bytes:
    """All that still comes until the server closes the connection."""
    try:
        return await asyncio.wait_for(reader.read(), PATIENCE)
    except OSError:  # reset, or gone before we knew
        return b""


def received(made: Edge) -> list[bytes]:
    return [each.request for each in made.script.received]


# ---------------------------------------------------------------- framing


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
async def test_bytes_may_come_in_any_pieces(size: int) -> None:
    """However a stream of requests is cut, each arrives whole and is answered in its turn."""
    body = bytes(range(250))
    stream = post(body) + b"\r\n" + post() + CHUNKED + b"5;x=y\r\nabcde\r\n0\r\nA: b\r\n\r\n" + post(body[:100])
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    async with edge() as made:
        found = await answers(made, *pieces, count=4)
        sent = [body, b"", b"abcde", body[:100]]
        assert received(made) in (sent, sent[:3])  # where chunks end in the middle of a read, the connection ends
        assert [answer.status for answer in found] == [200] * len(received(made))


async def test_pipelined_requests_are_answered_in_their_order() -> None:
    """Requests sent without waiting are handed in at once; answers keep their order, whatever is ready first."""
    async with edge(None) as made:
        going = asyncio.ensure_future(answers(made, b"".join(post(bytes([n])) for n in range(5)), count=5))
        await made.script.wait_for(5)
        for number, each in reversed(list(enumerate(made.script.received))):
            each.token(Accepted(number, f"{number}"))  # type: ignore[operator]
        assert [answer.body[-1:] for answer in await going] == [b"0"[:0] or b"0", b"1", b"2", b"3", b"4"]


async def test_a_pipeline_is_bounded() -> None:
    """A connection with many requests unanswered is read no further, and goes on when they are answered."""
    async with edge(None) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
        for _ in range(limits.HTTP_PIPELINE_MAX * 4):
            writer.write(post(b"x" * 300_000))
        await made.script.wait_for(limits.HTTP_PIPELINE_MAX + 1)
        assert made.http.waiting <= limits.HTTP_PIPELINE_MAX + 2
        made.script.outcomes = [Accepted()]
        made.script.answer_all(Accepted())
        for _ in range(limits.HTTP_PIPELINE_MAX * 4):
            assert (await read_answer(reader)).status == 200
        writer.close()


async def test_connection_close_is_kept() -> None:
    """A client that asks for it, and one that speaks HTTP/1.0, has the connection closed behind the answer."""
    async with edge() as made:
        for request in (post(b"x", connection="close"), post(connection="Close"), post().replace(b"/1.1", b"/1.0")):
            reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
            writer.write(request)
            answer = await read_answer(reader)
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert await closes(reader) == b""
            writer.close()


async def test_a_client_may_close_its_side_and_wait() -> None:
    """A half-closed connection still brings the answers that are owed, and is then closed."""
    async with edge(None) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
        writer.write(post(b"x"))
        writer.write_eof()
        await made.script.wait_for(1)
        made.script.answer_all(Accepted())
        assert (await read_answer(reader)).status == 200
        assert await closes(reader) == b""
        writer.close()


async def test_the_view_goes_both_ways() -> None:
    """A sender's view is read from the request, and every answer of the core carries ours."""
    async with edge(Accepted(), Accepted(1, "x"), Overloaded("busy"), stamp=lambda: ViewStamp(9, "cc")) as made:
        found = await answers(made, post(b"x", x_tailgate_view="4:aa") * 3, count=3)
        assert [answer.headers["x-tailgate-view"] for answer in found] == ["9:cc"] * 3
        assert made.script.received[0].peer_view == ViewStamp(4, "aa")


@pytest.mark.parametrize(
    "target", ["/v1/traces?x=y", "/v1/tr%61ces", "http://gateway:4318/v1/traces", "HTTP://g/v1/traces?z"]
)
async def test_a_target_may_be_written_otherwise(target: str) -> None:
    """Queries, needless escapes and the form that proxies use lead to the same path."""
    async with edge() as made:
        assert [answer.status for answer in await answers(made, post(b"x", path=target))] == [200]


def test_a_head_is_all_or_nothing() -> None:
    """Lines that end in LF alone, or a second request smuggled into a head, are no head."""
    for text in (
        b"POST / HTTP/1.1\nContent-Length: 1\n\nx\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\nPOST / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\n Content-Length: 5\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length : 5\r\n\r\n",
    ):
        with pytest.raises(BadRequestError):
            read_head(text)
    head, _ = read_head(b"POST / HTTP/1.1\r\nA: 1\r\na: 2\r\nContent-Length: 5\r\n\r\n")
    assert isinstance(head, Head)
    assert (head.length, head.fields[b"a"], head.keep_alive) == (5, b"1, 2", True)


# ---------------------------------------------------------------- bounds


async def test_too_large_is_seen_in_the_head() -> None:
    """A Content-Length over the bound is answered at once, also to a client that asks first, and the connection ends."""
    async with edge(bytes_max=1000) as made:
        for extra in ({}, {"expect": "100-continue"}):
            reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
            writer.write(post(content_length="1001", **extra))
            answer = await read_answer(reader)
            assert (answer.status, answer.headers["connection"]) == (413, "close")
            assert await closes(reader) == b""
            writer.close()
        assert not received(made)


async def test_a_refused_body_does_not_take_the_answer_away() -> None:
    """A client that sends on and on after a refusal reads its answer: what it sends is swallowed, not reset."""
    async with edge(bytes_max=1000) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
        writer.write(post(content_length=str(30_000_000)))
        for _ in range(30):
            writer.write(b"x" * 1_000_000)
            await writer.drain()
        assert (await read_answer(reader)).status == 413
        writer.close()


async def test_a_wrong_request_keeps_its_connection() -> None:
    """A request refused for its head alone is read to its end, and the next one is served."""
    async with edge() as made:
        stream = post(b"x" * 50_000, path="/v1/logs") + post(b"y" * 9, content_type="text/plain") + post(b"z")
        found = await answers(made, *(stream[at : at + 9000] for at in range(0, len(stream), 9000)), count=3)
        assert [answer.status for answer in found] == [404, 415, 200]
        assert received(made) == [b"z"]


@pytest.mark.parametrize("piece", [b"X: " + b"y" * 40_000, b"X: y\r\n" * 8000], ids=["long", "many"])
async def test_a_head_is_bounded(piece: bytes) -> None:
    """Neither one endless header nor headers without end are collected."""
    async with edge() as made:
        found = await answers(made, b"POST /v1/traces HTTP/1.1\r\n", piece)
        assert [answer.status for answer in found] == [431]


@pytest.mark.parametrize(
    "piece", [b"1;" + b"x" * 70_000, b"1\r\nx\r\n0\r\n" + b"A: b\r\n" * 12_000], ids=["extension", "trailers"]
)
async def test_framing_of_chunks_is_bounded(piece: bytes) -> None:
    """Chunk extensions and trailers without end are no body."""
    async with edge() as made:
        pieces = [piece[at : at + 5000] for at in range(0, len(piece), 5000)]
        assert [answer.status for answer in await answers(made, CHUNKED, *pieces)] == [400]


async def test_bodies_being_received_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When unfinished bodies hold too much, whoever sends more is told to come back; the others are served, and room returns."""
    monkeypatch.setattr(limits, "HTTP_RECEIVING_BYTES_MAX", 100_000)
    async with edge() as made:
        first = await asyncio.open_connection("127.0.0.1", made.http_port)
        first[1].write(post(b"x" * 90_001)[:-1])
        await until(lambda: made.http._held > 80_000)
        second = await asyncio.open_connection("127.0.0.1", made.http_port)
        second[1].write(post(b"x" * 50_001)[:-1])
        answer = await read_answer(second[0])
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        first[1].write(b"x")
        assert (await read_answer(first[0])).status == 200
        assert made.http._held == 0
        assert (await http_raw(made.http_port, post(b"x" * 300_000))).status == 200  # alone it may have all
        assert made.http._held == 0
        for _, writer in (first, second):
            writer.close()


# ---------------------------------------------------------------- patience


@pytest.mark.parametrize("start", [b"", b"POST /v1/tr", post(b"abc")], ids=["nothing", "head", "idle"])
@pytest.mark.usefixtures("hasty")
async def test_silent_clients_are_let_go(start: bytes) -> None:
    """A connection on which nothing comes, no end of a head, or no further request, is closed after its time."""
    async with edge() as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
        writer.write(start)
        if start == post(b"abc"):
            assert (await read_answer(reader)).status == 200
        assert await closes(reader) == b""
        writer.close()
        await until(lambda: not made.http._connections)


@pytest.mark.usefixtures("hasty")
async def test_a_head_that_drips_is_cut_off() -> None:
    """Slowloris: a byte now and then does not prolong a head's time."""
    async with edge() as made:
        _, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
        dripped = 0
        while made.http._connections or not dripped:
            writer.write(b"X")
            dripped += 1
            await asyncio.sleep(0.02)
            assert dripped < 500
        writer.close()


@pytest.mark.parametrize("start", [post(b"abc")[:-1], CHUNKED + b"2\r\na"], ids=["length", "chunks"])
@pytest.mark.usefixtures("hasty")
async def test_a_body_that_takes_too_long_may_be_sent_again(start: bytes) -> None:
    """An agent on a slow line is told to try again, not that its spans are refused."""
    async with edge() as made:
        found = await answers(made, start)
        assert [(answer.status, "retry-after" in answer.headers) for answer in found] == [(503, True)]
        await until(lambda: not made.http._connections)
        assert made.http._held == 0


@pytest.mark.usefixtures("hasty")
async def test_waiting_for_us_is_not_held_against_a_client() -> None:
    """However long the core takes, its client is not timed out."""
    async with edge(None) as made:
        going = asyncio.ensure_future(answers(made, post(b"x") + b"POST /v"))
        await made.script.wait_for(1)
        await asyncio.sleep(0.3)
        made.script.answer_all(Accepted())
        assert [answer.status for answer in await going] == [200]


@pytest.mark.usefixtures("hasty")
async def test_clients_that_read_no_answers_are_let_go() -> None:
    """Answers nobody reads are not collected without end."""
    async with edge() as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port, limit=1)
        reader._transport.pause_reading()  # type: ignore[attr-defined]
        sent = 0
        while made.http._connections or not sent:
            if writer.transport.get_write_buffer_size() < 1_000_000 and not writer.is_closing():
                writer.write(post(path="/nowhere") * 1000)
            sent += 1
            await asyncio.sleep(0.005)
            assert sent < 4000
        writer.close()


# ---------------------------------------------------------------- hostile bytes

SEEDS = [
    post(b"abc"),
    CHUNKED + b"3\r\nabc\r\n0\r\n\r\n",
    post(b"abc", expect="100-continue", content_encoding="gzip"),
    post(b"abc", connection="upgrade", upgrade="h2c"),
    post(b"", method="GET", path="*"),
]


def mutants(seed: int, count: int) -> Iterator[bytes]:
    """Requests with bytes flipped, cut out, doubled, moved, or made up."""
    dice = random.Random(seed)
    for _ in range(count):
        text = bytearray(b"".join(dice.choices(SEEDS, k=dice.randint(1, 3))))
        for _ in range(dice.randint(0, 6)):
            at, size = dice.randrange(len(text) + 1), dice.randint(1, 20)
            match dice.randrange(5):
                case 0:
                    text[at : at + 1] = bytes([dice.randrange(256)])
                case 1:
                    del text[at : at + size]
                case 2:
                    text[at:at] = text[at : at + size]
                case 3:
                    text[at:at] = dice.randbytes(size)
                case _:
                    text[at:at] = dice.choice([b"\r\n", b"\r\n\r\n", b"\n", b"\0", b"9" * 30, b": ", b"chunked", b"-1"])
        yield bytes(text)


@pytest.mark.parametrize("seed", range(4))
async def test_no_bytes_do_harm(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """Mutated requests are answered with anything but 500 or not at all; the next good one is served, and nothing is left."""
    async with edge() as made:
        for text in mutants(seed, 150):
            reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
            cut = len(text) // 2
            writer.write(text[:cut])
            await asyncio.sleep(0)
            writer.write(text[cut:])
            writer.write_eof()
            came = await closes(reader)
            assert not came or came.startswith(b"HTTP/1.1 "), text
            assert b"HTTP/1.1 500" not in came, text
            writer.close()
        assert (await http_raw(made.http_port, post(b"good"))).status == 200
        await until(lambda: not made.http._connections)
        assert (made.http._held, made.http.waiting) == (0, 0)
        assert not [record for record in caplog.records if record.levelname in ("ERROR", "CRITICAL")], caplog.text


@given(st.binary(max_size=400))
def test_any_head_is_read_or_refused(noise: bytes) -> None:
    """Arbitrary bytes make a head or a BadRequestError, and nothing else."""
    for text in (noise, b"POST / HTTP/1.1\r\n" + noise, b"POST / HTTP/1.1\r\nA: " + noise):
        try:
            head, _ = read_head(text + b"\r\n\r\n")
        except BadRequestError as error:
            assert str(error)
        else:
            assert head.length is None or head.length >= 0
