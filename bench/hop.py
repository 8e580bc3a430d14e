"""What does the hop between the tiers cost, by OTLP/gRPC and by OTLP/HTTP, at the sender and at the receiver?

    python -m bench.hop [--bytes 32768 ...] [--seconds 2] [--rounds 3]

The product's own client and server at both ends, in a process each; two requests in flight as a balancer has them, no
compression, and an answer at once. Rounds alternate. Prints a line of JSON a cell with the medians of CPU microseconds a
request, and as the last line what the receivers counted.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from typing import Any

import uvloop

from bench.processes import module, running
from gateway import limits
from gateway.config.settings import Endpoint, GrpcListener, HttpListener, OtlpClient
from gateway.core import Accepted, Delivered, Failed, Received, Reply, Send
from gateway.net import process
from gateway.net.client import open_client
from gateway.net.grpc_server import GrpcServer
from gateway.net.http_server import HttpServer
from gateway.net.intake import Intake
from gateway.otlp import reply

PROTOCOLS = ("grpc", "http")
SIZES = (32 * 1024, 180 * 1024, 1024 * 1024, 4 * 1024 * 1024 - 1024)
TIMEOUT = 30.0


def _say(line: dict[str, Any]) -> None:
    print(json.dumps(line), flush=True)


async def receive(protocol: str) -> None:
    """Take requests and accept them; every line on stdin is answered with what was taken and the CPU it took so far."""
    requests = taken = 0

    def feed(event: Received) -> None:
        nonlocal requests, taken
        requests += 1
        taken += len(event.request)
        Intake.reply(Reply(event.token, Accepted()))

    at = Endpoint("127.0.0.1", 0)
    made = (
        GrpcServer(GrpcListener(at), Intake(feed)) if protocol == "grpc" else HttpServer(HttpListener(at), Intake(feed))
    )
    _say({"port": await made.start()})
    while await asyncio.to_thread(sys.stdin.readline):
        _say({"requests": requests, "bytes": taken, "cpu": time.process_time()})
    await made.stop(0)


async def send(asked: argparse.Namespace) -> None:
    """Keep requests in flight for the time given."""
    body = b"\x0a\xff\xff\xff\x01" + bytes(asked.bytes[0] - 5)
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    sent = done = 0
    until = loop.time() + asked.seconds

    def next_one() -> None:
        nonlocal sent
        sent += 1
        client.send(Send(sent, asked.target, body, 1, TIMEOUT))

    def report(event: Delivered | Failed) -> None:
        nonlocal done
        assert isinstance(event, Delivered), event
        done += 1
        if loop.time() < until:
            next_one()
        elif done == sent:
            over.set()

    path = None if asked.protocol == "grpc" else "/v1/traces"
    settings = OtlpClient(insecure=True, gzip=False, http_path=path)
    client = open_client(settings, report, (reply.INVALID_ARGUMENT, reply.RESOURCE_EXHAUSTED))
    before = time.process_time()
    for _ in range(limits.FORWARD_IN_FLIGHT_MAX):
        next_one()
    await over.wait()
    _say({"requests": done, "cpu": time.process_time() - before})
    await client.close()


def measure(protocol: str, size: int, seconds: float) -> tuple[float, float, int]:
    """CPU seconds a request at the sender and at the receiver, and how many there were."""
    with running(module("hop", "--role", "receive", "--protocol", protocol), talks=True) as receiver:
        target = f"127.0.0.1:{receiver.read()['port']}"
        words = ("--role", "send", "--protocol", protocol, "--target", target, "--bytes", str(size))
        before = receiver.ask()
        with running(module("hop", *words, "--seconds", str(seconds)), talks=True) as sender:
            sent = sender.read()
        after = receiver.ask()
    count = sent["requests"]
    assert after["requests"] == count and after["bytes"] == count * size, "every byte arrived once"
    return sent["cpu"] / count, (after["cpu"] - before["cpu"]) / count, count


def compare(sizes: list[int], rounds: int, seconds: float) -> None:
    """All cells, alternating."""
    found: dict[tuple[int, str], list[tuple[float, float, int]]] = {}
    for _ in range(rounds):
        for size in sizes:
            for protocol in PROTOCOLS:
                found.setdefault((size, protocol), []).append(measure(protocol, size, seconds))
    for size in sizes:
        cells = {
            name: [statistics.median(column) for column in zip(*found[size, name], strict=True)] for name in PROTOCOLS
        }
        line: dict[str, Any] = {"bytes": size}
        for index, end in enumerate(("sender", "receiver")):
            line |= {f"{end}_{name}_us": round(1e6 * cells[name][index]) for name in PROTOCOLS}
            line[f"{end}_ratio"] = round(cells["grpc"][index] / cells["http"][index], 2)
        _say(line)
    _say({"requests": sum(count for cell in found.values() for _, _, count in cell)})


def main() -> None:
    """Compare, or be one end."""
    parser = argparse.ArgumentParser(description="the hop between the tiers: OTLP/gRPC against OTLP/HTTP")
    parser.add_argument("--role", choices=("compare", "send", "receive"), default="compare")
    parser.add_argument("--protocol", choices=PROTOCOLS, default="http")
    parser.add_argument("--target")
    parser.add_argument("--bytes", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    process.keep_freed_memory(limits.FREED_BYTES_KEPT)
    if asked.role == "compare":
        compare(asked.bytes, asked.rounds, asked.seconds)
    elif asked.role == "send":
        uvloop.run(send(asked))
    else:
        uvloop.run(receive(asked.protocol))


if __name__ == "__main__":
    main()
