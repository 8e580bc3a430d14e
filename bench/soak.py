"""Does a gRPC front's memory stay flat under everything that clients do, good and bad, for as long as one cares to wait?

    python -m bench.soak --front native --minutes 15

Starts one front in a process of its own, before a core that answers at once or, if a request asks for it, late; and drives it
with clients of every kind in KINDS at a modest pace. Prints a line a minute, and at the end what each kind of client got, and
how fast the server's resident memory grew after the first third of the time. Exits with 1 when it grew faster than --growth-max
(MiB an hour, and by more than NOISE in all), or when a client was told something else than it should have been.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import grpc
import uvloop

from bench import workload
from bench.load import METHOD, OPTIONS
from bench.processes import module, resident_bytes, running
from gateway.config.settings import Endpoint, GrpcListener
from gateway.core import Accepted, Invalid, Received
from gateway.limits import FREED_BYTES_KEPT, MIB
from gateway.net.intake import Answer, Intake
from gateway.net.process import keep_freed_memory
from gateway.net.servers import grpc_front

BAD, LATE = b"\xff", b"\xfe"  # how a request begins that is to be refused, or answered after LATER
LATER = 0.05
PAUSE = 0.02  # of a client between two calls
TIMEOUT = 30.0
WARM_UP_SHARE = 1 / 3
NOISE = 8 * MIB  # what the memory of a process moves by for no reason
GROWTH_MAX = 60.0  # MiB an hour
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
BROKEN = (
    PREFACE + b"\xff" * 500,
    PREFACE[:10],
    b"GET / HTTP/1.1\r\n\r\n",
    PREFACE + bytes((0, 0, 5, 0, 1, 0, 0, 0, 7)),
)


# ---------------------------------------------------------------- the server


async def serve(front: str) -> None:
    """One front on a free port, until stdin ends."""
    loop = asyncio.get_running_loop()

    def feed(event: Received) -> None:
        answer: Answer = event.token  # type: ignore[assignment]
        if event.request.startswith(BAD):
            answer(Invalid("this is not an ExportTraceServiceRequest"))
        elif event.request.startswith(LATE):
            loop.call_later(LATER, answer, Accepted())
        else:
            answer(Accepted())

    keep_freed_memory(FREED_BYTES_KEPT)
    server = grpc_front(GrpcListener(Endpoint("127.0.0.1", 0), front=front), Intake(feed))
    print(json.dumps({"port": await server.start()}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(1.0)


# ---------------------------------------------------------------- the clients


class Clients:
    """Clients of one server; what each kind was told is in `told`."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._target = f"127.0.0.1:{port}"
        self._polite, self._hasty = [grpc.aio.insecure_channel(self._target, OPTIONS) for _ in range(2)]
        self._call = self._polite.unary_unary(METHOD)
        self._leave = self._hasty.unary_unary(METHOD)  # who resets calls may lose the connection, and nobody else
        self._source = workload.stream(workload.templates(64, seed=1, distinct_spans=640), seed=1)
        self._hung_up = 0
        self.told: Counter[str] = Counter()

    async def valid(self) -> None:
        """A request as it should be."""
        await self._call(next(self._source)[0], timeout=TIMEOUT)

    async def gzip(self) -> None:
        """The same, compressed."""
        await self._call(next(self._source)[0], timeout=TIMEOUT, compression=grpc.Compression.Gzip)

    async def large(self) -> None:
        """A request of 4 MiB."""
        await self._call(b"\x00" * (4 * MIB), timeout=TIMEOUT)

    async def invalid(self) -> None:
        """A request that is refused."""
        await self._call(BAD * 100, timeout=TIMEOUT)

    async def cancelled(self) -> None:
        """A client that leaves before it is answered."""
        call = self._leave(LATE * 1000, timeout=TIMEOUT)
        await asyncio.sleep(LATER / 5)
        call.cancel()
        with suppress(asyncio.CancelledError):
            await call

    async def deadline(self) -> None:
        """A client whose time is up before it is answered."""
        await self._leave(LATE * 1000, timeout=LATER / 5)

    async def reconnecting(self) -> None:
        """A connection for every call."""
        async with grpc.aio.insecure_channel(self._target, OPTIONS) as channel:
            await channel.unary_unary(METHOD)(next(self._source)[0], timeout=TIMEOUT)

    async def broken(self) -> None:
        """A connection on which there is no HTTP/2, or not for long."""
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(BROKEN[self._hung_up % len(BROKEN)])
        await asyncio.sleep(PAUSE)
        writer.transport.abort()
        self._hung_up += 1

    async def again_and_again(self, kind: str, pause: float, until: float) -> None:
        """One client of this kind, until it is time."""
        once: Callable[[], Awaitable[None]] = getattr(self, kind)
        while time.monotonic() < until:
            try:
                await once()
            except grpc.aio.AioRpcError as error:
                self.told[f"{kind}: {error.code().name}"] += 1
            else:
                self.told[f"{kind}: OK"] += 1
            await asyncio.sleep(pause)

    async def close(self) -> None:
        """Leave."""
        await self._polite.close()
        await self._hasty.close()


KINDS = {
    "valid": (6, PAUSE),
    "gzip": (2, PAUSE),
    "large": (1, 0.5),
    "invalid": (2, PAUSE),
    "cancelled": (4, PAUSE),
    "deadline": (4, PAUSE),
    "reconnecting": (2, PAUSE),
    "broken": (2, PAUSE),
}
"""How many clients there are of each kind, and their pause in seconds."""

ALLOWED = {
    "invalid": {"INVALID_ARGUMENT"},
    "cancelled": {"OK", "UNAVAILABLE"},  # a connection may be closed on which many calls are reset (CVE-2023-44487)
    "deadline": {"DEADLINE_EXCEEDED", "UNAVAILABLE", "OK"},  # OK: its own clock was late
}
"""What each kind may be told; all others OK."""


# ---------------------------------------------------------------- the verdict


def slope(samples: list[tuple[float, float]]) -> float:
    """Bytes an hour, by least squares, of (seconds, bytes); 0 for fewer than two."""
    if len(samples) < 2:
        return 0.0
    return statistics.linear_regression(*zip(*samples, strict=True)).slope * 3600


def verdict(
    samples: list[tuple[float, float]], told: Counter[str], growth_max: float, kinds: Sequence[str] = tuple(KINDS)
) -> dict[str, Any]:
    """What was found; "failed" says why it is not good, and is empty when it is.

    `samples` are (seconds since the start, resident bytes) and cover the whole time.
    """
    end = samples[-1][0]
    settled = [sample for sample in samples if sample[0] >= end * WARM_UP_SHARE]
    an_hour = slope(settled)
    grown = an_hour * (end - settled[0][0]) / 3600
    strange = {
        what: times
        for what, times in told.items()
        if what.split(": ")[1] not in ALLOWED.get(what.split(": ")[0], {"OK"})
    }
    failed = []
    if an_hour > growth_max * MIB and grown > NOISE:
        failed.append(f"memory grew by {grown / MIB:.1f} MiB after the warm-up, {an_hour / MIB:.0f} MiB an hour")
    if strange:
        failed.append(f"answers that should not be: {strange}")
    missing = [kind for kind in kinds if not any(what.startswith(f"{kind}: ") for what in told)]
    if missing:
        failed.append(f"never answered: {missing}")
    return {
        "seconds": round(end),
        "first_mib": round(samples[0][1] / MIB, 1),
        "settled_mib": round(settled[0][1] / MIB, 1),
        "last_mib": round(samples[-1][1] / MIB, 1),
        "max_mib": round(max(size for _, size in samples) / MIB, 1),
        "mib_an_hour": round(an_hour / MIB, 1),
        "told": dict(sorted(told.items())),
        "failed": failed,
    }


async def drive(port: int, pid: int, asked: argparse.Namespace) -> dict[str, Any]:
    """Drive the server that listens on `port` as asked, and judge."""
    seconds = asked.minutes * 60
    clients = Clients(port)
    begun = time.monotonic()
    until = begun + seconds
    samples: list[tuple[float, float]] = []

    async def watch() -> None:
        said = begun
        while (now := time.monotonic()) < until:
            samples.append((now - begun, float(resident_bytes(pid))))
            if now - said >= 60:
                said = now
                print(f"{now - begun:6.0f} s {samples[-1][1] / MIB:8.1f} MiB {clients.told.total()} calls", flush=True)
            await asyncio.sleep(min(1.0, seconds / 20))

    await asyncio.gather(
        watch(),
        *(clients.again_and_again(kind, pause, until) for kind, (count, pause) in KINDS.items() for _ in range(count)),
    )
    await clients.close()
    return verdict(samples, clients.told, asked.growth_max, asked.kinds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="soak a gRPC front: does its memory stay flat?")
    parser.add_argument("--front", choices=("grpcio", "native"), default="grpcio")
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--growth-max", type=float, default=GROWTH_MAX, help="MiB an hour after the warm-up")
    parser.add_argument(
        "--kinds", nargs="+", choices=tuple(KINDS), default=tuple(KINDS), help="of clients; all of them"
    )
    parser.add_argument("--serve", action="store_true", help="be the server (for the command's own use)")
    return parser.parse_args()


def main() -> None:
    """Soak, print what was found as JSON, and exit with 1 if it is not good."""
    asked = _arguments()
    if asked.serve:
        uvloop.run(serve(asked.front))
        return
    with running(module("soak", "--serve", "--front", asked.front), talks=True) as child:
        port = child.read()["port"]
        found = uvloop.run(drive(port, child.pid, asked))
        child.check()
    print(json.dumps({"front": asked.front, **found}, indent=1))
    sys.exit(1 if found["failed"] else 0)


if __name__ == "__main__":
    main()
