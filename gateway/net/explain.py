"""Who knows about a trace: finds the owner by the view, asks it over HTTP, and gives its answer under /debug/trace/ID.

Owns the questions between nodes and what is said when nobody can answer. What a sampler knows of a trace is its core's.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import aiohttp
import orjson

from gateway import limits
from gateway.errors import TailgateError
from gateway.explanation import parse_trace_id
from gateway.membership import Member, View, ViewStamp
from gateway.net.admin import TRACE_PAGE
from gateway.ring import Ring

OK, BAD_REQUEST, BAD_GATEWAY = 200, 400, 502
STATES = ("undecided", "decided", "unknown")

_CLOCK_STEP = 1.0  # seconds: the machine's clock was set

Body = dict[str, object]


class UnansweredError(TailgateError):
    """A node could not be asked, or its answer is none; the text says why."""


@dataclass(frozen=True, slots=True)
class Own:
    """What a process knows without asking anybody.

    `name` is what it calls itself in answers; `endpoint` is its member's, "" for one that is none. `look` gives what its core
    knows of a trace (instants, whose keys end in `_at`, in the core's seconds); None where a core knows nothing of traces.
    """

    name: str
    endpoint: str
    look: Callable[[bytes], Body] | None
    view: Callable[[], View | None]

    @property
    def alone(self) -> bool:
        """Whether it is a sampler without a cluster: then it owns every trace."""
        return self.look is not None and not self.endpoint


class Explainer:
    """Answers for one process: `await explainer(id as text, local)` → HTTP status and body."""

    def __init__(self, own: Own) -> None:
        self._own = own
        self._asking = asyncio.Semaphore(limits.EXPLAIN_PARALLEL_MAX)
        self._ring: Ring | None = None
        self._ring_of: ViewStamp | None = None
        self._shifted = -math.inf

    async def __call__(self, text: str, local: bool) -> tuple[int, Body]:
        """What is known of this trace, here if `local`, otherwise to its owner, or to whoever knows."""
        trace_id = parse_trace_id(text)
        if trace_id is None:
            return refused(text)
        own = self._look(trace_id)
        if local:
            return OK, {"trace_id": trace_id.hex(), **own}
        if self._own.alone:
            return OK, {"trace_id": trace_id.hex(), "owner": self._own.name, **own}
        view = self._own.view()
        if view is None:
            return _without_owner({"trace_id": trace_id.hex()}, own, "there is no view of the samplers yet")
        return await self._find(trace_id, view, own)

    def _look(self, trace_id: bytes) -> Body:
        """What this process knows, with instants of everybody's clock."""
        found: Body = {"state": "unknown"} if self._own.look is None else self._own.look(trace_id)
        for key, value in found.items():
            if key.endswith("_at") and isinstance(value, (int, float)):
                found[key] = round(value + self._shift(), 3)
        return {**found, "answered_by": self._own.name}

    def _shift(self) -> float:
        """From the loop's clock to everybody's: the same each time, or an instant would be told differently by a moment."""
        shift = time.time() - asyncio.get_running_loop().time()
        if abs(shift - self._shifted) > _CLOCK_STEP:
            self._shifted = shift
        return self._shifted

    async def _find(self, trace_id: bytes, view: View, own: Body) -> tuple[int, Body]:
        owner = await self._owner(trace_id, view)
        base: Body = {"trace_id": trace_id.hex()}
        if owner is not None:
            base["owner"] = owner.endpoint
            if owner.ring_name:
                base["owner_name"] = owner.name
            if owner.endpoint != self._own.endpoint:
                try:
                    answer = await self._ask(owner, trace_id)
                except UnansweredError as error:
                    return _without_owner(base, own, f"the owner could not be asked: {error}")
                if is_known(answer):
                    return OK, answer | base
        if is_known(own):
            return OK, own | base
        others = [m for m in view.members if m is not owner and m.endpoint != self._own.endpoint]
        return OK, {**base, **await self._ask_all(others, trace_id)}

    async def _owner(self, trace_id: bytes, view: View) -> Member | None:
        if self._ring is None or self._ring_of != view.stamp:  # built by another thread: it takes up to half a second
            self._ring, self._ring_of = await asyncio.to_thread(Ring, view), view.stamp
        return None if self._ring.empty else self._ring.owner(trace_id)

    async def _ask(self, member: Member, trace_id: bytes) -> Body:
        if not member.admin:
            raise UnansweredError(f"{member.endpoint} does not say where its admin pages are")
        async with self._asking:
            _, answer = await fetch(f"http://{member.admin}", trace_id.hex(), local=True, within=limits.EXPLAIN_TIMEOUT)
        return answer

    async def _ask_all(self, members: Iterable[Member], trace_id: bytes) -> Body:
        """The owner does not know it: perhaps it was decided before the ring moved. Each admin address is asked once."""
        places = {member.admin or member.endpoint: member for member in members}
        asking = {place: asyncio.create_task(self._ask(member, trace_id)) for place, member in places.items()}
        if asking:
            await asyncio.wait(asking.values(), timeout=limits.EXPLAIN_TIME_MAX)
        answers, silent = [], {}
        for place, task in asking.items():
            if not task.done():
                task.cancel()
                silent[places[place].endpoint] = "no time left to ask it"
            elif error := cast("UnansweredError | None", task.exception()):
                silent[places[place].endpoint] = str(error)
            else:
                answers.append(task.result())
        extra: Body = {"asked": len(answers) + 1} | ({"not_asked": silent} if silent else {})
        return {**best(answers), **extra}


def _without_owner(base: Body, own: Body, error: str) -> tuple[int, Body]:
    if is_known(own):
        return OK, {**own, **base, "error": error}
    return BAD_GATEWAY, {**base, "state": "unknown", "error": error}


def refused(text: str) -> tuple[int, Body]:
    """The answer to something that is no trace id."""
    return BAD_REQUEST, {"error": f"not a trace id of 32 hexadecimal digits, not all 0: {text[:64]!a}"}


def unknown(trace_id: bytes) -> Body:
    """The answer when nobody knows."""
    return {"trace_id": trace_id.hex(), "state": "unknown"}


def is_known(answer: Body) -> bool:
    """Whether it says anything about the trace."""
    return answer.get("state") in ("undecided", "decided")


def best(answers: Sequence[Body]) -> Body:
    """The answer that says most: with a decision's details, then undecided, then what is only remembered."""
    for fits in ("decision", "due_in", "remembered_as"):
        for answer in answers:
            if fits in answer:
                return answer
    return next((answer for answer in answers if is_known(answer)), {"state": "unknown"})


# ---------------------------------------------------------------- asking


async def fetch(base: str, trace_id: str, *, local: bool, within: float) -> tuple[int, Body]:
    """Status and body of the answer of the node whose admin pages are at `base`. Raises UnansweredError."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=within)) as session:
        return await fetch_over(session, base, trace_id, local=local)


async def fetch_over(session: aiohttp.ClientSession, base: str, trace_id: str, *, local: bool) -> tuple[int, Body]:
    """fetch, over a session that has its own timeout."""
    url = f"{base}{TRACE_PAGE}{trace_id}{'?local=1' if local else ''}"
    try:
        async with session.get(url, allow_redirects=False) as response:
            body = await _read(response)
            return response.status, _understood(response.status, body)
    except TimeoutError as error:
        raise UnansweredError(f"{base} does not answer in time") from error
    except aiohttp.ClientConnectorError as error:
        raise UnansweredError(f"{base} cannot be asked: {error.strerror or error}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise UnansweredError(f"{base} cannot be asked: {str(error) or type(error).__name__}") from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for piece in response.content.iter_any():
        body += piece
        if len(body) > limits.RESPONSE_BYTES_MAX:
            raise UnansweredError(f"an answer of more than {limits.RESPONSE_BYTES_MAX} bytes")
    return bytes(body)


def _understood(status: int, body: bytes) -> Body:
    try:
        answer = orjson.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or ("error" not in answer and answer.get("state") not in STATES):
        raise UnansweredError(f"HTTP {status} without an answer about a trace: is that an admin address of Tailgate?")
    return answer


async def ask(urls: Sequence[str], trace_id: str) -> Body:
    """What the first node that can be asked says. Raises UnansweredError naming why none could."""
    reasons = []
    for url in urls:
        address = urlsplit(url)
        if address.scheme not in ("http", "https") or not address.netloc:
            raise UnansweredError(f"not a URL such as http://127.0.0.1:13133: {url!a}")
        try:
            _, answer = await fetch(url.rstrip("/"), trace_id, local=False, within=limits.EXPLAIN_TIME_MAX * 2)
        except UnansweredError as error:
            reasons.append(str(error))
        else:
            return answer
    raise UnansweredError("; ".join(reasons))
