"""From any server's request to a Received, and from its Reply back to the server that waits for it.

Counts what came in by which receiver and transport: the cores do not know of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway import metrics
from gateway.core import Accepted, Outcome, Received, Reply
from gateway.membership import ViewStamp
from gateway.metrics import Tally

Answer = Callable[[Outcome], None]
"""Where a request's outcome goes, once. It must not raise, also when the client is long gone."""


class Source:
    """One way in: spans are counted under the receiver's name and the transport, "grpc" or "http"."""

    __slots__ = ("_labels", "_tally")

    def __init__(self, tally: Tally, receiver: str, transport: str) -> None:
        self._tally = tally
        self._labels = receiver, transport
        for instrument in (metrics.RECEIVER_ACCEPTED, metrics.RECEIVER_REFUSED):
            tally.add(instrument, 0, *self._labels)  # it is there from the start: a rate of nothing is none

    def count(self, outcome: Outcome, spans: int) -> None:
        """A request of so many spans got this outcome; one that was refused unread counts as one span."""
        refused = outcome.rejected_spans if isinstance(outcome, Accepted) else max(spans, 1)
        if spans > refused:
            self._tally.add(metrics.RECEIVER_ACCEPTED, spans - refused, *self._labels)
        if refused:
            self._tally.add(metrics.RECEIVER_REFUSED, refused, *self._labels)


class Intake:
    """Where servers hand in requests, those of one listener counted by `source`. `waiting`: coroutines waiting in `submit`."""

    def __init__(self, feed: Callable[[Received], None], source: Source | None = None) -> None:
        self._feed = feed
        self._source = source
        self._loop = asyncio.get_running_loop()
        self.waiting = 0

    def of(self, source: Source) -> Intake:
        """The same intake for one listener."""
        return Intake(self._feed, source)

    def hand_in(
        self, answer: Answer, request: bytes, patience: float | None = None, peer: str | bytes | None = None
    ) -> None:
        """Hand in one request; `answer` is called with its outcome, perhaps before this returns.

        `patience` is how many seconds the client waits, None if unknown. When the client goes away meanwhile the request goes
        on: what is stored is stored, and only the answer is lost.
        """
        deadline_at = None if patience is None else self._loop.time() + patience
        token = answer if self._source is None else (answer, self._source)
        self._feed(Received(token, request, deadline_at, ViewStamp.parse(peer) if peer else None))

    async def submit(self, request: bytes, patience: float | None = None, peer: str | bytes | None = None) -> Outcome:
        """hand_in for servers that are coroutines: waits for the outcome and returns it."""
        outcome: asyncio.Future[Outcome] = self._loop.create_future()

        def answer(came: Outcome) -> None:
            if not outcome.done():  # done: the client went away
                outcome.set_result(came)

        self.waiting += 1
        try:
            self.hand_in(answer, request, patience, peer)
            return await outcome
        finally:
            self.waiting -= 1

    @staticmethod
    def reply(action: Reply) -> None:
        """Perform a Reply."""
        answer = action.token
        if isinstance(answer, tuple):
            answer, source = answer
            source.count(action.outcome, action.spans)
        assert callable(answer), "the token is what was handed in"
        answer(action.outcome)
