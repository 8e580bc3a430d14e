"""gateway.net.native_server: what is its own. What it answers is in tests/conformance/, over both fronts."""

from __future__ import annotations

import asyncio
import sys

import pytest

from gateway import limits
from gateway.config.settings import GrpcListener
from gateway.core import Accepted, Outcome, Received, Reply
from gateway.errors import StartupError
from gateway.net import native_server
from gateway.net.intake import Intake
from gateway.net.native_server import NativeServer
from gateway.otlp.reply import RETRY_INFO_KEY
from tests.support.edge import LOOPBACK, Script


class Front:
    """Stands in for the library: what it was told of each call."""

    def __init__(self) -> None:
        self.told: dict[int, object] = {}

    def respond(self, call: int, message: bytes, *_: object) -> bool:
        self.told[call] = message
        return True

    def fail(self, call: int, code: int, message: str, trailers: object = None) -> bool:
        self.told[call] = (code, message, trailers)
        return True


def server(script: Script) -> tuple[NativeServer, Front]:
    """A server that has not been started, on a front of ours."""
    made, front = NativeServer(GrpcListener(LOOPBACK, front="native"), Intake(script.feed)), Front()
    made._front = front  # type: ignore[assignment]
    return made, front


def export(call: int, message: bytes = b"") -> tuple[int, int, int, bytes, str, None]:
    return (0, call, 0, message, "ipv4:127.0.0.1:1", None)


CANCEL = (1, 0, 0, None, None, None)


async def test_without_its_package() -> None:
    """Where the package is not installed, the command to install it is the whole message."""
    hidden = {name: module for name, module in sys.modules.items() if name.startswith("pygrpc_native")}
    with pytest.MonkeyPatch.context() as patch:
        for name in hidden:
            patch.delitem(sys.modules, name)
        patch.setitem(sys.modules, "pygrpc_native", None)
        with pytest.raises(StartupError, match=r"pip install 'tailgate\[native\]'"):
            await NativeServer(GrpcListener(LOOPBACK, front="native"), Intake(Script().feed)).start()


async def test_a_loop_that_is_far_behind_refuses_for_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages that wait for the loop are bounded in bytes: the next is UNAVAILABLE with RetryInfo, and a single one is taken."""
    monkeypatch.setattr(limits, "GRPC_RECEIVED_BYTES_MAX", 1000)
    script = Script()
    made, front = server(script)
    for call, size in enumerate((2000, 1)):
        made._put(front, export(call, bytes(size)))  # type: ignore[arg-type]
    code, _, trailers = front.told[1]  # type: ignore[misc]
    assert code == 14 and RETRY_INFO_KEY in dict(trailers)  # type: ignore[has-type]
    made._hand_in()
    made._put(front, export(2, bytes(1000)))  # type: ignore[arg-type]
    made._hand_in()
    assert [len(event.request) for event in script.received] == [2000, 1000]
    assert front.told[0] == front.told[2] == b""


async def test_the_loop_gets_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many calls come at once, the loop's other work runs between them."""
    monkeypatch.setattr(native_server, "_TURN", -1.0)  # every call is one too many
    script = Script()
    made, front = server(script)
    for call in range(3):
        made._put(front, export(call))  # type: ignore[arg-type]
    seen = []
    asyncio.get_running_loop().call_soon(made._hand_in)
    for _ in range(4):
        await asyncio.sleep(0)
        seen.append(len(script.received))
    assert seen == [1, 2, 3, 3]


async def test_who_has_left_is_not_answered() -> None:
    """After a cancel the answer goes nowhere; the request stays with the core."""
    script = Script([None])
    made, front = server(script)
    for event in (export(0), export(1), CANCEL):
        made._put(front, event)  # type: ignore[arg-type]
    made._hand_in()
    assert (len(script.received), made.waiting) == (2, 1)
    script.answer_all(Accepted())
    assert front.told == {1: b""}
    assert made.waiting == 0


async def test_a_bug_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug while a request is handed in is not swallowed by the loop: its client would wait for ever."""

    class DiedError(BaseException):
        pass

    def die() -> None:
        raise DiedError

    def bug(_: Received) -> Outcome:
        raise ZeroDivisionError

    monkeypatch.setattr(native_server, "die_of_bug", die)
    made = NativeServer(GrpcListener(LOOPBACK, front="native"), Intake(bug))  # type: ignore[arg-type]
    made._front = Front()  # type: ignore[assignment]
    made._put(made._front, export(0))  # type: ignore[arg-type]
    with pytest.raises(DiedError):
        made._hand_in()


async def test_a_wake_up_for_many() -> None:
    """What comes while the loop is awake already does not wake it again, and is handed in all the same."""
    script = Script([None])
    made, front = server(script)
    events = [[export(call)] for call in range(5)]

    class Batches(Front):
        def recv_batch_details(self, _: int) -> list[object] | None:
            return events.pop(0) if events else None  # type: ignore[return-value]

    wakes = []

    class Loop:
        def call_soon_threadsafe(self, what: object) -> None:
            wakes.append(what)

    loop, made._loop = made._loop, Loop()  # type: ignore[assignment]
    made._receive(Batches())  # type: ignore[arg-type]
    made._loop = loop
    assert len(wakes) == 1
    made._hand_in()
    assert len(script.received) == 5
    Intake.reply(Reply(script.received[0].token, Accepted()))
    assert front.told == {0: b""}
