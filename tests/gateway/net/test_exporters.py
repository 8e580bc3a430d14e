"""Exporters by name: what a sampler's core sends reaches the right one, and its end is reported once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.config.settings import DebugExporter, Endpoint, FileExporter, OtlpClient, OtlpExporter
from gateway.core import Cancel, Delivered, Failed, Failure, Send
from gateway.net.exporters import Exporters
from tests.support.edge import edge
from tests.support.ports import free_endpoints
from tests.support.spans import request, span


class Reports:
    """Collects what is reported and lets a test wait for it."""

    def __init__(self) -> None:
        self.events: asyncio.Queue[Delivered | Failed] = asyncio.Queue()

    def __call__(self, event: Delivered | Failed) -> None:
        self.events.put_nowait(event)

    async def next(self) -> Delivered | Failed:
        return await asyncio.wait_for(self.events.get(), 20)


async def test_each_exporter_gets_what_is_sent_to_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A request goes to the exporter that it names and to no other."""
    reports = Reports()
    file = tmp_path / "kept.jsonl"
    exporters = Exporters((FileExporter("file", str(file)), DebugExporter("debug", "normal")), reports)
    exporters.send(Send(1, "file", request(span("A", 1)), 1, 5.0))
    assert await reports.next() == Delivered(1)
    exporters.send(Send(2, "debug", request(span("B", 1)), 1, 5.0))
    assert await reports.next() == Delivered(2)
    await exporters.close()
    assert len(file.read_bytes().splitlines()) == 1
    assert b"B".hex() in capsys.readouterr().out


async def test_a_disk_that_is_full_is_tried_again() -> None:
    """A write that fails is reported as retryable, with the system's words."""
    reports = Reports()
    exporters = Exporters((FileExporter("file", "/dev/full"),), reports)
    exporters.send(Send(1, "file", request(span("A", 1)), 1, 5.0))
    event = await reports.next()
    assert isinstance(event, Failed) and event.failure is Failure.RETRYABLE and "space" in event.reason
    await exporters.close()


async def test_a_backend_out_of_reach_is_unreachable() -> None:
    """An otlp exporter goes to its own endpoint, and a closed port there is UNREACHABLE."""
    reports = Reports()
    (nobody,) = free_endpoints(1)
    exporters = Exporters((OtlpExporter("otlp", OtlpClient(endpoint=nobody, insecure=True)),), reports)
    exporters.send(Send(1, "otlp", request(span("A", 1)), 1, 5.0))
    event = await reports.next()
    assert isinstance(event, Failed) and event.failure is Failure.UNREACHABLE
    await exporters.close()


async def test_nothing_is_reported_after_cancel(tmp_path: Path) -> None:
    """An attempt that was cancelled ends in silence."""
    reports = Reports()
    exporters = Exporters((FileExporter("file", str(tmp_path / "kept.jsonl")),), reports)
    exporters.send(Send(1, "file", request(span("A", 1)), 1, 5.0))
    exporters.cancel(Cancel(1))
    exporters.send(Send(2, "file", request(span("A", 2)), 1, 5.0))
    assert await reports.next() == Delivered(2)
    await exporters.close()
    assert reports.events.empty()


async def test_an_http_exporter_posts_to_its_own_endpoint() -> None:
    """An otlp_http exporter speaks OTLP/HTTP to the endpoint and path that it names."""
    reports = Reports()
    async with edge() as server:
        client = OtlpClient(Endpoint("127.0.0.1", server.http_port), insecure=True, http_path="/v1/traces")
        exporters = Exporters((OtlpExporter("otlp_http", client),), reports)
        sent = request(span("A", 1))
        exporters.send(Send(1, "otlp_http", sent, 1, 5.0))
        assert await reports.next() == Delivered(1)
        assert (server.script.received[0].request, len(server.http._connections)) == (sent, 1)
        await exporters.close()
