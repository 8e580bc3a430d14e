"""Keeps a lease and watches the views: calls the lease store when gateway.lease says so and tells the tier what came of it.

Owns the connection to Redis, two tasks (calls and hints) and the log lines about them. Decides nothing: which view is in
force, when to call and whether to be ready is the Keeper's.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from redis.asyncio.client import PubSub
from redis.exceptions import RedisError

from gateway import limits, metrics
from gateway.config.settings import RedisCluster, RedisMembership
from gateway.errors import StartupError
from gateway.lease import Change, Claim, Keeper, SteppedDown, StoreBack, StoreSilent, ViewTaken
from gateway.membership import RingParameters, State, View
from gateway.metrics import Tally
from gateway.net import log
from gateway.net.driver import die_of_bug
from gateway.net.lease_store import LeaseStore, LeaseStoreError, channel, connect, masked, unreachable


def new_id() -> str:
    """A replica's id: new at every start, never told to mean anything."""
    return secrets.token_hex(8)


def claim(settings: RedisMembership, http: str = "", admin: str = "") -> Claim:
    """What a sampler so configured asks for, under a new id. `http`: where it takes OTLP/HTTP; `admin`: its admin pages."""
    return Claim(
        new_id(),
        str(settings.advertise),
        settings.ring_name,
        settings.weight,
        settings.lease,
        RingParameters(settings.ring),
        http,
        admin,
    )


class Membership:
    """A replica's place in the cluster. With a claim it is a member, without one it only watches.

    `on_view` is told of every view taken into force, `on_step_down` (at most once) that the replica must drain and end, with
    the reason in words. Both are called on the event loop and must not block. `start` before anything else, `stop` at the end.
    """

    def __init__(
        self,
        redis: RedisCluster,
        claim: Claim | None,
        on_view: Callable[[View], None],
        on_step_down: Callable[[str], None],
        tally: Tally,
    ) -> None:
        self._settings = redis
        self._keeper = Keeper(claim.id if claim else new_id(), redis.poll, claim)
        self._on_view, self._on_step_down, self._tally = on_view, on_step_down, tally
        self._redis = connect(redis.url)
        self._store = LeaseStore(self._redis, redis.cluster)
        self._log = log.get(redis=masked(redis.url), cluster=redis.cluster)
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._calling = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    # ---- what can be asked

    @property
    def view(self) -> View | None:
        """The view in force."""
        return self._keeper.view

    @property
    def converged(self) -> bool:
        """Whether the view is fit to be ready by (gateway.lease.Keeper.converged)."""
        return self._keeper.converged

    @property
    def lease_age(self) -> float:
        """Seconds since Redis last answered; 0 before it first has."""
        return self._keeper.age(self._loop.time()) or 0.0

    # ---- what can be done

    async def start(self) -> None:
        """Join, or read the first view; then keep on. Raises StartupError, in one line, if Redis cannot be reached or refuses."""
        for change in await self._ask(within=2 * limits.STORE_TIMEOUT):
            if isinstance(change, StoreSilent | SteppedDown):
                await self._redis.aclose()
                raise self._cannot_start(change)
            self._report(change)
        self._tasks = [self._loop.create_task(_or_die(work)) for work in (self._keep_calling(), self._keep_listening())]

    async def set_state(self, state: State) -> bool:
        """Go on to ACTIVE or DRAINING. True once the store has it; False if it is silent, then a later beat carries it."""
        self._keeper.want(state, self._loop.time())
        return await self._call()

    def read_now(self) -> None:
        """Read the view soon: performs gateway.core.ReadView."""
        self._keeper.hasten(self._loop.time())
        self._wake.set()

    async def leave(self) -> bool:
        """Give the lease up, and make no further calls. False if Redis did not answer: then the lease lapses."""
        await self._cancel()
        return await self._call(leaving=True)

    async def stop(self) -> None:
        """End the tasks and close the connection. The lease, if not given up, lapses."""
        await self._cancel()
        await self._redis.aclose()

    # ---- within

    def _cannot_start(self, change: StoreSilent | SteppedDown) -> StartupError:
        if isinstance(change, StoreSilent):
            return unreachable(self._settings.url, change.reason)
        return StartupError(change.reason)

    @property
    def _over(self) -> bool:
        return self._stopping or self._keeper.ended

    async def _cancel(self) -> None:
        self._stopping = (
            True  # a cancellation alone may be swallowed: asyncio.wait_for of Python 3.11 does, deep in a library
        )
        self._wake.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []

    async def _call(self, *, leaving: bool = False) -> bool:
        """Make a call, tell the tier and the log what came of it. False if there was no answer, or is nothing to call for."""
        async with self._calling:
            if self._keeper.ended:
                return False
            for change in await self._ask(self._keeper.timeout, leaving=leaving):
                self._report(change)
            self._wake.set()
            return not self._keeper.silent

    async def _ask(self, within: float, *, leaving: bool = False) -> list[Change]:
        call = self._keeper.call(self._loop.time(), leaving=leaving)
        self._tally.add(metrics.LEASE_CALLS)
        try:
            answer = await self._store.call(call, within)
        except LeaseStoreError as error:
            self._tally.add(metrics.LEASE_FAILURES)
            return self._keeper.failed(str(error), self._loop.time())
        except asyncio.CancelledError:
            self._keeper.failed("given up", self._loop.time())
            raise
        return self._keeper.answered(answer, self._loop.time())

    def _report(self, change: Change) -> None:
        match change:
            case ViewTaken(view):
                self._log.debug("view_taken", epoch=view.epoch, digest=view.digest, members=len(view.members))
                self._on_view(view)
            case SteppedDown(reason):
                self._log.error("stepped_down", reason=reason)
                self._on_step_down(reason)
            case StoreSilent(reason):
                self._log.warning("lease_store_silent", reason=reason, consequence="the last view stays in force")
            case StoreBack(silent_for):
                self._log.info("lease_store_back", silent_for=round(silent_for, 3))

    async def _keep_calling(self) -> None:
        """Call when the keeper is due, or sooner when woken."""
        while not self._over:
            self._wake.clear()
            due_at, now = self._keeper.next_deadline(), self._loop.time()
            if due_at is not None and due_at <= now:
                await self._call()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(due_at):
                    await self._wake.wait()

    async def _keep_listening(self) -> None:
        """Hints are a convenience: while they fail, polling goes on, and it is polling that reports a silent Redis."""
        while not self._over:
            with contextlib.suppress(RedisError, OSError, TimeoutError):
                async with self._redis.pubsub() as hints, asyncio.timeout(2 * limits.STORE_TIMEOUT) as patience:
                    await hints.subscribe(channel(self._settings.cluster))
                    patience.reschedule(None)
                    self.read_now()  # what was published while nobody listened is lost
                    await self._listen(hints)
            await asyncio.sleep(limits.HINT_RETRY)

    async def _listen(self, hints: PubSub) -> None:
        """Until a ping goes unanswered: a connection that died silently looks like one with no news."""
        pinged = False
        while not self._over:
            message = await hints.get_message(timeout=limits.HINT_PING)
            if message is not None:
                pinged = False
                if message["type"] == "message" and str(message["data"]).isdecimal():
                    self._keeper.heard(int(message["data"]), self._loop.time())
                    self._wake.set()
            elif pinged:
                return
            else:
                await hints.ping()
                pinged = True


async def _or_die(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception:  # noqa: BLE001 -- a bug: a process that silently keeps no lease is worse than a dead one
        die_of_bug()
