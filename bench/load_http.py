"""A process that loads an OTLP/HTTP server: bench.load with HTTP/1.1 connections instead of channels.

    python -m bench.load_http --target HOST:PORT --spans 512 --in-flight 8 --warm-up 2 --seconds 5

Options and output are bench.load's, but for --rate and --connections. One request at a time on a connection, so there are as
many as requests in flight. Reads no more of an answer than its status and Content-Length.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

import uvloop

from bench import load, workload

_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


class Connection(asyncio.Protocol):
    """One connection that sends the next request when the last is answered, until the time is over."""

    def __init__(self, head: bytes, source: Iterator[tuple[bytes, int]], tally: load.Tally, until: float) -> None:
        self._head, self._source, self._tally, self._until = head, source, tally, until
        self._came = b""
        self._spans = 0
        self._sent_at = 0.0
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        self._transport = transport
        self._next()

    def _next(self) -> None:
        if time.perf_counter() >= self._until:
            self._transport.close()
            if not self.over.done():
                self.over.set_result(None)
            return
        body, self._spans = next(self._source)
        self._tally.sent += self._spans
        self._sent_at = time.perf_counter()
        self._transport.write(self._head + b"Content-Length: %d\r\n\r\n" % len(body))
        self._transport.write(body)

    def data_received(self, data: bytes) -> None:
        """An answer, or a piece of one."""
        self._came += data
        end = self._came.find(b"\r\n\r\n")
        if end < 0:
            return
        found = _LENGTH.search(self._came, 0, end)
        length = int(found[1]) if found else 0
        if len(self._came) < end + 4 + length:
            return
        status, body = self._came[9:12], self._came[end + 4 : end + 4 + length]
        self._came = b""
        if status == b"200":
            self._tally.answered(body, self._spans, time.perf_counter() - self._sent_at)
            self._next()
        else:
            self._tally.refused(f"HTTP {status.decode()}", self._spans)
            asyncio.get_running_loop().call_later(load.PAUSE_AFTER_ERROR, self._next)

    def connection_lost(self, exc: Exception | None) -> None:
        """The end, wanted or not."""
        if not self.over.done():
            self._tally.refused("connection lost", self._spans)
            self.over.set_result(None)


def _compressed(source: Iterator[tuple[bytes, int]], distinct: int) -> Iterator[tuple[bytes, int]]:
    """The first requests of the source as gzip, again and again: deflating would outweigh what is measured."""
    packed = [(gzip.compress(body, 6), spans) for body, spans in (next(source) for _ in range(distinct))]
    while True:
        yield from packed


async def run(asked: Any) -> dict[str, Any]:
    """Load the target as asked and report."""
    if asked.rate:
        sys.exit("bench.load_http keeps no timetable: --rate is bench.load's")
    prebuilt = workload.templates(asked.spans, seed=asked.seed, distinct_spans=asked.distinct_spans)
    source = workload.stream(prebuilt, seed=asked.seed)
    lines = [f"POST /v1/traces HTTP/1.1\r\nHost: {asked.target}\r\nContent-Type: application/x-protobuf\r\n"]
    if asked.gzip:
        source = _compressed(source, len(prebuilt))
        lines.append("Content-Encoding: gzip\r\n")
    host, _, port = asked.target.rpartition(":")
    tally = load.Tally()
    until = time.perf_counter() + asked.warm_up + asked.seconds
    window = asyncio.create_task(load.window(tally, asked))
    loop = asyncio.get_running_loop()
    head = "".join(lines).encode()
    connections = [
        (await loop.create_connection(lambda: Connection(head, source, tally, until), host, int(port)))[1]
        for _ in range(asked.in_flight)
    ]
    await asyncio.gather(*(connection.over for connection in connections))
    return tally.report(await window)


def main() -> None:
    """Load, then print the report."""
    print(json.dumps(uvloop.run(run(load.arguments()))), flush=True)


if __name__ == "__main__":
    main()
