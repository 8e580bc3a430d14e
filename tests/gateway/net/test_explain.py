"""gateway.net.explain: whoever is asked about a trace finds who knows, over real sockets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from gateway import limits
from gateway.errors import TailgateError
from gateway.membership import Member, View, make_view
from gateway.net import explain
from gateway.net.admin import Pages
from gateway.net.explain import Body, Explainer, Own, UnansweredError, ask, best, fetch
from gateway.ring import Ring
from tests.support.edge import LOOPBACK
from tests.support.ports import free_endpoints

IDS = [bytes([n]) * 16 for n in range(1, 40)]
DECIDED: Body = {"state": "decided", "decision": "keep", "policy": "errors", "decided_at": 5.0}
UNKNOWN: Body = {"state": "unknown"}


async def never() -> tuple[bool, str]:
    return True, ""


async def nothing() -> bytes:
    return b""


@dataclass
class Nodes:
    """Samplers s0, s1, … and a balancer, each with its pages; `knows` says what each sampler knows."""

    knows: list[dict[bytes, Body]]
    explainers: list[Explainer] = field(default_factory=list)
    urls: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    view: View | None = None

    def look(self, number: int) -> explain.Callable[[bytes], Body]:
        def look(trace_id: bytes) -> Body:
            self.asked.append(f"s{number}:1")
            return dict(self.knows[number].get(trace_id, UNKNOWN))

        return look

    def owned_by(self, number: int) -> bytes:
        assert self.view is not None
        ring = Ring(self.view)
        return next(trace_id for trace_id in IDS if ring.owner(trace_id).endpoint == f"s{number}:1")


@asynccontextmanager
async def nodes(count: int, *, hidden: tuple[int, ...] = (), dead: tuple[int, ...] = ()) -> AsyncIterator[Nodes]:
    """`hidden` samplers say nowhere where their pages are; nobody listens where `dead` ones say they do."""
    made = Nodes([{} for _ in range(count)])
    async with AsyncExitStack() as stack:
        members = []
        owns = [Own(f"s{n}:1", f"s{n}:1", made.look(n), lambda: made.view) for n in range(count)]
        for number, own in enumerate([*owns, Own("load balancer", "", None, lambda: made.view)]):
            explainer = Explainer(own)
            pages = Pages(never, nothing, explainer)
            await pages.serve(None, LOOPBACK)
            stack.push_async_callback(pages.stop)
            made.explainers.append(explainer)
            made.urls.append(f"http://127.0.0.1:{pages.ports[0]}")
            admin = str(free_endpoints(1)[0]) if number in dead else made.urls[-1].removeprefix("http://")
            if own.endpoint:
                members.append(Member(f"a{number}", own.endpoint, admin="" if number in hidden else admin))
        made.view = make_view(3, members)
        yield made


# ---------------------------------------------------------------- who is asked


@pytest.mark.parametrize("asked", [0, 1, 2, 3])
async def test_any_node_finds_the_owner(asked: int) -> None:
    """Each sampler and the balancer give the owner's answer, and nobody else is asked but who was asked and the owner."""
    async with nodes(3) as made:
        trace_id = made.owned_by(1)
        made.knows[1][trace_id] = DECIDED
        status, answer = await made.explainers[asked](trace_id.hex().upper(), False)
    assert status == 200
    assert (answer["state"], answer["decision"], answer["policy"]) == ("decided", "keep", "errors")
    assert (answer["trace_id"], answer["owner"], answer["answered_by"]) == (trace_id.hex(), "s1:1", "s1:1")
    assert set(made.asked) <= {f"s{asked}:1", "s1:1"}


@pytest.mark.parametrize("asked", [1, 2])
async def test_a_trace_from_before_the_ring_moved(asked: int) -> None:
    """When the owner does not know the trace all members are asked; the answer says who it is from and how many were asked."""
    async with nodes(3) as made:
        trace_id = made.owned_by(1)
        made.knows[0][trace_id] = DECIDED
        status, answer = await made.explainers[asked](trace_id.hex(), False)
    assert (status, answer["decision"]) == (200, "keep")
    assert (answer["owner"], answer["answered_by"]) == ("s1:1", "s0:1")
    assert sorted(set(made.asked)) == ["s0:1", "s1:1", "s2:1"]


async def test_who_is_asked_and_knows_need_not_ask_everybody() -> None:
    """A sampler that is not the owner gives its own record when the owner has none."""
    async with nodes(3) as made:
        trace_id = made.owned_by(1)
        made.knows[0][trace_id] = DECIDED
        _, answer = await made.explainers[0](trace_id.hex(), False)
    assert (answer["owner"], answer["answered_by"], answer["decision"]) == ("s1:1", "s0:1", "keep")
    assert sorted(made.asked) == ["s0:1", "s1:1"]


async def test_nobody_knows() -> None:
    """A trace nobody knows is unknown, and the answer says how many were asked and who could not be."""
    async with nodes(4, hidden=(0,), dead=(2,)) as made:
        status, answer = await made.explainers[4](made.owned_by(1).hex(), False)
    assert (status, answer["state"], answer["owner"], answer["asked"]) == (200, "unknown", "s1:1", 2)
    silent = answer["not_asked"]
    assert isinstance(silent, dict)
    assert silent["s0:1"] == "s0:1 does not say where its admin pages are"
    assert "cannot be asked" in silent["s2:1"]
    assert sorted(made.asked) == ["s1:1", "s3:1"]


@pytest.mark.parametrize(
    ("dead", "hidden", "reason"), [((1,), (), "cannot be asked"), ((), (1,), "does not say where")]
)
async def test_an_owner_that_cannot_be_asked(dead: tuple[int, ...], hidden: tuple[int, ...], reason: str) -> None:
    """When the owner cannot be asked the answer is 502 and says who it is and why; what is known here is still said."""
    async with nodes(2, dead=dead, hidden=hidden) as made:
        trace_id = made.owned_by(1)
        status, answer = await made.explainers[0](trace_id.hex(), False)
        assert (status, answer["owner"], answer["state"]) == (502, "s1:1", "unknown")
        assert reason in str(answer["error"])
        made.knows[0][trace_id] = DECIDED
        status, answer = await made.explainers[0](trace_id.hex(), False)
        assert (status, answer["owner"], answer["decision"], answer["answered_by"]) == (200, "s1:1", "keep", "s0:1")
        assert reason in str(answer["error"])


async def test_asked_for_itself_a_node_asks_nobody() -> None:
    """With local a node says what it knows itself; a balancer knows nothing of traces."""
    async with nodes(2) as made:
        trace_id = made.owned_by(1)
        made.knows[1][trace_id] = DECIDED
        status, answer = await made.explainers[0](trace_id.hex(), True)
        assert (status, answer["state"], answer["answered_by"]) == (200, "unknown", "s0:1")
        status, answer = await made.explainers[2](trace_id.hex(), True)
        assert (status, answer["state"], answer["answered_by"]) == (200, "unknown", "load balancer")
    assert made.asked == ["s0:1"]


async def test_without_a_view_a_node_answers_for_itself() -> None:
    """A sampler that is no member of a cluster owns every trace."""
    explainer = Explainer(Own("127.0.0.1:4317", "", lambda _: dict(DECIDED), lambda: None))
    status, answer = await explainer(IDS[0].hex(), False)
    assert (status, answer["owner"], answer["decision"]) == (200, "127.0.0.1:4317", "keep")


@pytest.mark.parametrize("text", ["", "x" * 32, "0" * 32, "a" * 33, "../metrics"])
async def test_what_is_no_id_is_refused(text: str) -> None:
    """Anything but a trace id is a bad request; nobody is asked."""
    async with nodes(1) as made:
        status, answer = await made.explainers[0](text, False)
    assert status == 400 and "not a trace id" in str(answer["error"])
    assert made.asked == []


async def test_instants_are_unix_seconds() -> None:
    """A core's instants become everybody's: seconds of the Unix clock; durations stay."""
    now = asyncio.get_running_loop().time()
    known: Body = {"state": "undecided", "due_at": now + 10.0, "due_in": 10.0}
    _, answer = await Explainer(Own("s", "", lambda _: known, lambda: None))(IDS[0].hex(), True)
    assert isinstance(answer["due_at"], float)
    assert abs(answer["due_at"] - (time.time() + 10.0)) < 5.0
    assert answer["due_in"] == 10.0


async def test_an_instant_is_told_the_same_each_time() -> None:
    """Asked twice about one decision a node gives the very same instant."""
    explainer = Explainer(Own("s", "", lambda _: dict(DECIDED), lambda: None))
    first = await explainer(IDS[0].hex(), True)
    await asyncio.sleep(0.01)
    assert await explainer(IDS[0].hex(), True) == first


async def test_before_there_is_a_view() -> None:
    """A balancer or a member that has no view yet cannot say whose the trace is: 502, unless it knows the trace itself."""
    knows: list[Body] = [dict(UNKNOWN), dict(DECIDED)]
    balancer = Explainer(Own("load balancer", "", None, lambda: None))
    member = Explainer(Own("s0:1", "s0:1", lambda _: dict(knows[0]), lambda: None))
    for explainer in (balancer, member):
        status, answer = await explainer(IDS[0].hex(), False)
        assert (status, answer["state"], answer["error"]) == (502, "unknown", "there is no view of the samplers yet")
        assert "owner" not in answer
    knows.reverse()
    status, answer = await member(IDS[0].hex(), False)
    assert (status, answer["decision"]) == (200, "keep")


async def test_a_view_without_owners() -> None:
    """With nobody active there is no owner; members that are joining or draining may know the trace still."""
    explainer = Explainer(Own("load balancer", "", None, lambda: make_view(1, [])))
    status, answer = await explainer(IDS[0].hex(), False)
    assert (status, answer["state"]) == (200, "unknown") and "owner" not in answer


async def test_one_question_to_each_address() -> None:
    """Members that share an address, the workers of one parent, are asked there once."""
    async with nodes(2) as made:
        shared = made.urls[0].removeprefix("http://")
        members = [Member(f"b{n}", f"w{n}:1", admin=shared) for n in range(5)]
        made.view = make_view(4, members)
        _, answer = await made.explainers[2](IDS[0].hex(), False)
    assert answer["state"] == "unknown"
    assert len(made.asked) <= 2


async def test_a_frozen_owner_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """An owner that takes the question and never answers costs its time and no more."""
    monkeypatch.setattr(limits, "EXPLAIN_TIMEOUT", 0.1)
    async with nodes(1) as made:
        with socket.create_server(("127.0.0.1", 0)) as frozen:
            made.view = make_view(2, [Member("b", "frozen:1", admin=f"127.0.0.1:{frozen.getsockname()[1]}")])
            status, answer = await made.explainers[1](IDS[0].hex(), False)
    assert (status, answer["owner"]) == (502, "frozen:1")
    assert "does not answer in time" in str(answer["error"])


# ---------------------------------------------------------------- answers


def test_the_best_answer_is_the_one_that_says_most() -> None:
    """A decision's details come before an open trace, that before a mere memory, and anything before nothing."""
    remembered: Body = {"state": "decided", "remembered_as": "drop"}
    undecided: Body = {"state": "undecided", "due_in": 1.0}
    assert best([]) == best([UNKNOWN]) == UNKNOWN
    assert best([UNKNOWN, remembered]) == remembered
    assert best([remembered, undecided]) == undecided
    assert best([undecided, remembered, DECIDED]) == DECIDED


@asynccontextmanager
async def answering(status: int, body: bytes) -> AsyncIterator[str]:
    """A stranger's HTTP server that answers so."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    app = web.Application()
    app.router.add_get("/{tail:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"404: Not Found"), (200, b"[]"), (200, b"{}"), (200, b'{"state": "perhaps"}'), (302, b""), (200, b"\xff")],
)
async def test_an_answer_that_is_none(status: int, body: bytes) -> None:
    """What a stranger answers is no answer about a trace, and the error says what was asked."""
    async with answering(status, body) as url:
        with pytest.raises(UnansweredError, match=f"HTTP {status} without an answer about a trace"):
            await fetch(url, IDS[0].hex(), local=True, within=5.0)


async def test_an_endless_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer is read up to a bound."""
    monkeypatch.setattr(limits, "RESPONSE_BYTES_MAX", 100)
    async with answering(200, json.dumps({"state": "unknown", "filler": "x" * 1000}).encode()) as url:
        with pytest.raises(UnansweredError, match="more than 100 bytes"):
            await fetch(url, IDS[0].hex(), local=True, within=5.0)


async def test_the_first_node_that_answers() -> None:
    """A command asks the addresses in turn; when none answers it names each and why."""
    nobody, other = free_endpoints(2)
    async with nodes(1) as made:
        made.knows[0][IDS[0]] = DECIDED
        answer = await ask([f"http://{nobody}", made.urls[0] + "/"], IDS[0].hex())
        assert answer["decision"] == "keep"
    with pytest.raises(TailgateError) as caught:
        await ask([f"http://{nobody}", f"http://{other}"], IDS[0].hex())
    assert str(nobody) in str(caught.value) and str(other) in str(caught.value)


@pytest.mark.parametrize("url", ["127.0.0.1:13133", "ftp://x", "http://", "nonsense"])
async def test_a_url_that_is_none(url: str) -> None:
    """An address without a scheme is told as a mistake, with an example."""
    with pytest.raises(TailgateError, match=r"not a URL such as http://127.0.0.1:13133"):
        await ask([url], IDS[0].hex())
