"""A process that loads an OTLP/gRPC server: a fixed number of requests in flight, each sent again as soon as it is answered.

    python -m bench.load --target HOST:PORT --spans 512 --in-flight 8 --warm-up 2 --seconds 5

Prints one JSON object a line: {"event": "start"} and {"event": "stop"} as the measured window opens and closes, and, when
every answer is in, {"event": "done"} with what was acknowledged in the window, and sent and acknowledged in all.
With --requests it ends when so many have been answered, and the window is the whole of it.
With --rate requests leave on a timetable instead, and latency counts from the instant one should have left, so that a server
that stalls is charged for those it kept waiting. Knows the wire only through workload.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import time
from collections import Counter
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import grpc
import uvloop
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from bench import workload

METHOD = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
TIMEOUT = 30.0
PAUSE_AFTER_ERROR = 0.02  # a server that refuses is not to be asked as fast as the loop turns
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),  # otherwise all channels to one target share a connection
    ("grpc.max_send_message_length", -1),
)


@dataclass
class Tally:
    """What the answers said. `latencies` (seconds) and `acked_in_window` cover answers inside the measured window."""

    sent: int = 0
    acked: int = 0
    rejected: int = 0
    acked_in_window: int = 0
    failed: int = 0  # spans whose request ended in an error
    open: bool = False
    errors: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def answered(self, reply: bytes, spans: int, took: float) -> None:
        """One request was answered OK after `took` seconds."""
        rejected = ExportTraceServiceResponse.FromString(reply).partial_success.rejected_spans if reply else 0
        self.rejected += rejected
        self.acked += spans - rejected
        if self.open:
            self.acked_in_window += spans - rejected
            self.latencies.append(took)

    def refused(self, status: str, spans: int) -> None:
        """One request ended in an error."""
        self.failed += spans
        self.errors[status] += 1

    def report(self, seconds: float) -> dict[str, Any]:
        """The tally as the last line has it."""
        ordered = sorted(self.latencies) or [0.0]
        return {
            "event": "done",
            "seconds": seconds,
            "spans": self.acked_in_window,
            "requests": len(self.latencies),
            "p50_ms": 1e3 * percentile(ordered, 0.50),
            "p99_ms": 1e3 * percentile(ordered, 0.99),
            "sent": self.sent,
            "acked": self.acked,
            "rejected": self.rejected,
            "failed": self.failed,
            "errors": dict(self.errors),
        }


def percentile(ordered: list[float], share: float) -> float:
    """The smallest value that `share` of the ordered values do not exceed."""
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


class Timetable:
    """When the next request should leave: at once, or one every `interval` seconds."""

    def __init__(self, interval: float) -> None:
        self._interval = interval
        self._next_at = time.perf_counter()

    async def turn(self) -> float:
        """Wait for one's turn; the instant the request should have left."""
        if not self._interval:
            return time.perf_counter()
        due_at = self._next_at
        self._next_at += self._interval
        await asyncio.sleep(max(0.0, due_at - time.perf_counter()))
        return due_at


async def _one_at_a_time(
    call: Any, source: Iterator[tuple[bytes, int]], turns: Timetable, tally: Tally, until: float
) -> None:
    for request, spans in source:
        if time.perf_counter() >= until:
            break
        left_at = await turns.turn()
        tally.sent += spans
        try:
            reply = await call(request, timeout=TIMEOUT)
        except grpc.aio.AioRpcError as error:
            tally.refused(error.code().name, spans)
            await asyncio.sleep(PAUSE_AFTER_ERROR)
        else:
            tally.answered(reply, spans, time.perf_counter() - left_at)


async def window(tally: Tally, asked: argparse.Namespace) -> float:
    """Open the measured window after the warm-up and close it; how long it was open."""
    await asyncio.sleep(asked.warm_up)
    return await _open_during(tally, asyncio.sleep(asked.seconds))


async def _open_during(tally: Tally, going: Awaitable[Any]) -> float:
    """The window is open as long as this takes."""
    print(json.dumps({"event": "start"}), flush=True)
    start_at = time.perf_counter()
    tally.open = True
    await going
    tally.open = False
    stop_at = time.perf_counter()
    print(json.dumps({"event": "stop"}), flush=True)
    return stop_at - start_at


async def run(asked: argparse.Namespace) -> dict[str, Any]:
    """Load the target as asked and report."""
    prebuilt = workload.templates(asked.spans, seed=asked.seed, distinct_spans=asked.distinct_spans)
    source = workload.stream(prebuilt, seed=asked.seed)
    compression = grpc.Compression.Gzip if asked.gzip else grpc.Compression.NoCompression
    channels = [grpc.aio.insecure_channel(asked.target, OPTIONS, compression) for _ in range(asked.connections)]
    calls = [channel.unary_unary(METHOD) for channel in channels]
    for channel in channels:
        await asyncio.wait_for(channel.channel_ready(), TIMEOUT)
    tally = Tally()
    turns = Timetable(asked.spans / asked.rate if asked.rate else 0.0)
    if asked.requests:
        source, until = islice(source, asked.requests), math.inf
    else:
        until = time.perf_counter() + asked.warm_up + asked.seconds
        measuring = asyncio.create_task(window(tally, asked))
    sending = asyncio.gather(
        *(_one_at_a_time(calls[i % len(calls)], source, turns, tally, until) for i in range(asked.in_flight))
    )
    if asked.requests:
        seconds = await _open_during(tally, sending)
    else:
        await sending
        seconds = await measuring
    for channel in channels:
        await channel.close()
    return tally.report(seconds)


def arguments() -> argparse.Namespace:
    """What the command line asks for."""
    parser = argparse.ArgumentParser(description="load an OTLP/gRPC server with a fixed number of requests in flight")
    parser.add_argument("--target", required=True, help="HOST:PORT")
    parser.add_argument("--spans", type=int, default=512, help="in a request")
    parser.add_argument("--in-flight", type=int, default=8, help="requests")
    parser.add_argument("--connections", type=int, default=4)
    parser.add_argument("--gzip", action="store_true")
    parser.add_argument("--rate", type=float, default=0.0, help="spans/s on a timetable; 0: as fast as answers come")
    parser.add_argument("--requests", type=int, default=0, help="how many, instead of a time")
    parser.add_argument("--warm-up", type=float, default=2.0, help="seconds before the window opens")
    parser.add_argument("--seconds", type=float, default=5.0, help="of the measured window")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--distinct-spans", type=int, default=workload.DISTINCT_SPANS, help="prebuilt")
    return parser.parse_args()


def main() -> None:
    """Load, then print the report."""
    print(json.dumps(uvloop.run(run(arguments()))), flush=True)


if __name__ == "__main__":
    main()
