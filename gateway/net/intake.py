"""From any server's request to a Received, and from its Reply back to the server that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core import Outcome, Received, Reply
from gateway.membership import ViewStamp


class Intake:
    """Where servers hand in requests. Knows how many wait for an answer, which a drain waits for."""

    def __init__(self, feed: Callable[[Received], None]) -> None:
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self.waiting = 0

    async def submit(self, request: bytes, patience: float | None = None, peer: str | bytes | None = None) -> Outcome:
        """Hand in one request and wait for its outcome. `patience` is how many seconds the client waits, None if unknown.

        When the client goes away meanwhile the request goes on: what is stored is stored, and only the answer is lost.
        """
        answer: asyncio.Future[Outcome] = self._loop.create_future()
        deadline_at = None if patience is None else self._loop.time() + patience
        self.waiting += 1
        try:
            self._feed(Received(answer, request, deadline_at, ViewStamp.parse(peer)))
            return await answer
        finally:
            self.waiting -= 1

    @staticmethod
    def reply(action: Reply) -> None:
        """Perform a Reply."""
        answer = action.token
        assert isinstance(answer, asyncio.Future), "the token is the one that submit made"
        if not answer.done():  # done: the client went away
            answer.set_result(action.outcome)
