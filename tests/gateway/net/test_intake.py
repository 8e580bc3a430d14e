"""gateway.net.intake: from a server's request to an event and back, without any server."""

from __future__ import annotations

import asyncio

import pytest

from gateway import metrics
from gateway.core import Accepted, Invalid, Outcome, Overloaded, Received, Reply
from gateway.membership import ViewStamp
from gateway.metrics import Tally
from gateway.net.intake import Intake, Source


async def test_a_request_and_its_answer() -> None:
    """A request becomes one event, and its Reply is what the server gets."""
    received: list[Received] = []
    intake = Intake(received.append)
    asked = asyncio.ensure_future(intake.submit(b"abc"))
    await asyncio.sleep(0)
    assert (received[0].request, received[0].deadline_at, received[0].peer_view) == (b"abc", None, None)
    assert intake.waiting == 1
    intake.reply(Reply(received[0].token, Accepted(2, "two")))
    assert await asked == Accepted(2, "two")
    assert intake.waiting == 0


async def test_an_answer_may_come_at_once() -> None:
    """A core may answer while it is being told."""

    def feed(event: Received) -> None:
        Intake.reply(Reply(event.token, Overloaded("busy", 2.0)))

    assert await Intake(feed).submit(b"") == Overloaded("busy", 2.0)


@pytest.mark.parametrize(("patience", "left"), [(None, None), (0.0, 0.0), (2.5, 2.5)])
async def test_patience_becomes_an_instant(patience: float | None, left: float | None) -> None:
    """How long a client waits reaches the core as an instant on the loop's clock."""
    deadlines: list[float | None] = []

    def feed(event: Received) -> None:
        deadlines.append(event.deadline_at)
        Intake.reply(Reply(event.token, Accepted()))

    before = asyncio.get_running_loop().time()
    await Intake(feed).submit(b"", patience)
    (at,) = deadlines
    assert (at is None) == (left is None)
    assert at is None or before + (left or 0) <= at <= asyncio.get_running_loop().time() + (left or 0)


@pytest.mark.parametrize(
    ("peer", "stamp"),
    [
        (None, None),
        ("", None),
        ("12:abc", ViewStamp(12, "abc")),
        (b"12:abc", ViewStamp(12, "abc")),
        ("abc", None),
        ("12:", None),
        ("-1:abc", None),
        ("9" * 30 + ":abc", None),
        ("1:" + "x" * 65, None),
        (b"\xff:\xff", None),
        ("²:abc", None),
    ],
)
async def test_a_peers_view_is_read_or_ignored(peer: str | bytes | None, stamp: ViewStamp | None) -> None:
    """A view in the header that is one of ours reaches the core; anything else is as if there were none."""
    received: list[Received] = []

    def feed(event: Received) -> None:
        received.append(event)
        Intake.reply(Reply(event.token, Accepted()))

    await Intake(feed).submit(b"", peer=peer)
    assert received[0].peer_view == stamp


async def test_a_client_that_goes_away() -> None:
    """When a server gives a request up nothing waits any more, and its late answer does no harm to the others."""
    received: list[Received] = []
    intake = Intake(received.append)
    asked = [asyncio.ensure_future(intake.submit(bytes([n]))) for n in range(3)]
    await asyncio.sleep(0)
    asked[1].cancel()
    await asyncio.sleep(0)
    assert intake.waiting == 2
    for event in received:
        intake.reply(Reply(event.token, Accepted(event.request[0])))
    answers: list[Outcome | BaseException] = await asyncio.gather(*asked, return_exceptions=True)
    assert (answers[0], answers[2]) == (Accepted(0), Accepted(2))
    assert isinstance(answers[1], asyncio.CancelledError)
    assert intake.waiting == 0


@pytest.mark.parametrize(
    ("outcome", "spans", "accepted", "refused"),
    [
        (Accepted(), 7, 7, 0),
        (Accepted(2, "two"), 7, 5, 2),
        (Accepted(), 0, 0, 0),
        (Invalid("all refused"), 7, 0, 7),
        (Invalid("not protobuf"), 0, 0, 1),
        (Overloaded("full"), 0, 0, 1),
        (Overloaded("no sampler"), 7, 0, 7),
    ],
)
async def test_spans_are_counted_by_their_way_in(outcome: Outcome, spans: int, accepted: int, refused: int) -> None:
    """What one listener takes in is counted accepted or refused; a request that was refused unread counts as one span."""
    tally = Tally()
    intake = Intake(lambda event: Intake.reply(Reply(event.token, outcome, spans))).of(Source(tally, "otlp", "http"))
    assert await intake.submit(b"") == outcome
    assert tally.get(metrics.RECEIVER_ACCEPTED, "otlp", "http") == accepted
    assert tally.get(metrics.RECEIVER_REFUSED, "otlp", "http") == refused
