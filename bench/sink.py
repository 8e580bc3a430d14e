"""A process that takes OTLP/gRPC requests and answers at once: the samplers and the backend of a bench, and its floor.

    python -m bench.sink [--form http2|sync|aio|native] [--bare]

Prints {"port": N} when it listens. Every line on stdin is answered with its totals so far, as JSON; the end of stdin ends it.
Refuses to look into a span; with --bare it does not even count them, and is then the least a server can cost. The form http2
costs a tenth of grpcio's and leaves the machine to what is measured; it takes no compressed message.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import uvloop
from pygrpc_native import EVENT_CALL, NativeGrpcFront

from bench import http1, workload

SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"
THREADS = 4
OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_concurrent_streams", 10_000),
    ("grpc.so_reuseport", 0),
)


class Totals:
    """What has arrived. Safe to add to from several threads."""

    def __init__(self, *, bare: bool) -> None:
        self._lock = threading.Lock()
        self._bare = bare
        self._calls = self._spans = self._bytes = 0

    def take(self, request: bytes) -> bytes:
        """Count one request; the answer is a full success, which is no bytes at all."""
        if not self._bare:
            spans = workload.count_spans(request)
            with self._lock:
                self._calls += 1
                self._spans += spans
                self._bytes += len(request)
        return b""

    def line(self) -> str:
        """The totals as one line of JSON."""
        with self._lock:
            return json.dumps({"calls": self._calls, "spans": self._spans, "bytes": self._bytes})


def _say(line: str) -> None:
    print(line, flush=True)


def _handlers(export: Any) -> Any:
    return grpc.method_handlers_generic_handler(SERVICE, {"Export": grpc.unary_unary_rpc_method_handler(export)})


def serve_sync(totals: Totals) -> None:
    """grpcio's synchronous server with a few threads: the cheapest a call there is in grpcio."""
    server = grpc.server(ThreadPoolExecutor(THREADS), options=OPTIONS)
    server.add_generic_rpc_handlers((_handlers(lambda request, context: totals.take(request)),))
    _say(json.dumps({"port": server.add_insecure_port("127.0.0.1:0")}))
    server.start()
    for _ in sys.stdin:
        _say(totals.line())
    server.stop(None)


async def serve_aio(totals: Totals) -> None:
    """grpc.aio on the running loop."""

    async def export(request: bytes, context: Any) -> bytes:
        return totals.take(request)

    server = grpc.aio.server(options=OPTIONS)
    server.add_generic_rpc_handlers((_handlers(export),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    _say(json.dumps({"port": port}))
    while await asyncio.to_thread(sys.stdin.readline):
        _say(totals.line())
    await server.stop(None)


def serve_native(totals: Totals) -> None:
    """pygrpc-native's event batches, each answered where it comes."""
    front = NativeGrpcFront("127.0.0.1:0", [(f"/{SERVICE}/Export", False)], io_threads=1)
    front.start()

    def answer() -> None:
        while (events := front.recv_batch(256)) is not None:
            for kind, call, _, request, _ in events:
                if kind == EVENT_CALL and request is not None:
                    front.respond(call, totals.take(request))

    thread = threading.Thread(target=answer)
    thread.start()
    _say(json.dumps({"port": front.bound_port}))
    for _ in sys.stdin:
        _say(totals.line())
    front.close()
    thread.join()


async def serve_http2(totals: Totals) -> None:
    """The bench's own HTTP/2, on the running loop."""
    server = await asyncio.get_running_loop().create_server(lambda: http1.Either(totals.take), "127.0.0.1", 0)
    _say(json.dumps({"port": server.sockets[0].getsockname()[1]}))
    while await asyncio.to_thread(sys.stdin.readline):
        _say(totals.line())
    server.close()


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(description="take OTLP/gRPC requests and answer at once")
    parser.add_argument("--form", choices=("http2", "sync", "aio", "native"), default="http2")
    parser.add_argument("--bare", action="store_true", help="do not count spans")
    asked = parser.parse_args()
    totals = Totals(bare=asked.bare)
    if asked.form == "sync":
        serve_sync(totals)
    elif asked.form == "native":
        serve_native(totals)
    else:
        uvloop.run(serve_aio(totals) if asked.form == "aio" else serve_http2(totals))


if __name__ == "__main__":
    main()
