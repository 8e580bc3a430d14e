"""From any server's request to a Received, and from its Reply back to the server that waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway.core import Outcome, Received, Reply
from gateway.membership import ViewStamp

Answer = Callable[[Outcome], None]
"""Where a request's outcome goes, once. It must not raise, also when the client is long gone."""


class Intake:
    """Where servers hand in requests. `waiting` is how many coroutines wait in `submit`."""

    def __init__(self, feed: Callable[[Received], None]) -> None:
        self._feed = feed
        self._loop = asyncio.get_running_loop()
        self.waiting = 0

    def hand_in(
        self, answer: Answer, request: bytes, patience: float | None = None, peer: str | bytes | None = None
    ) -> None:
        """Hand in one request; `answer` is called with its outcome, perhaps before this returns.

        `patience` is how many seconds the client waits, None if unknown. When the client goes away meanwhile the request goes
        on: what is stored is stored, and only the answer is lost.
        """
        deadline_at = None if patience is None else self._loop.time() + patience
        self._feed(Received(answer, request, deadline_at, ViewStamp.parse(peer) if peer else None))

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
        assert callable(action.token), "the token is the answer that was handed in"
        action.token(action.outcome)
