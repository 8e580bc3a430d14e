"""Performs Send for a sampler: each exporter by its name, over the network or on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from gateway import limits
from gateway.config.settings import Exporter, OtlpExporter
from gateway.core import Cancel, Delivered, Failed, Failure, Send
from gateway.net.client import Client, open_client
from gateway.net.driver import die_of_bug
from gateway.net.http_client import HttpClient
from gateway.net.sinks import Sink, open_sink


class Exporters:
    """All exporters of a pipeline. Raises StartupError if a file cannot be written."""

    def __init__(self, exporters: tuple[Exporter, ...], report: Callable[[Delivered | Failed], None]) -> None:
        self._report = report
        self.stuck = False
        self._clients: dict[str, tuple[Client | HttpClient, str]] = {}  # exporter: (client, target)
        self._sinks: dict[str, Sink] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        for exporter in exporters:
            if isinstance(exporter, OtlpExporter):
                self._clients[exporter.name] = (open_client(exporter.client, report), str(exporter.client.endpoint))
            else:
                self._sinks[exporter.name] = open_sink(exporter)

    def send(self, action: Send) -> None:
        """Begin to deliver."""
        if action.destination in self._clients:
            client, target = self._clients[action.destination]
            client.send(action, target)
            return
        self._tasks[action.attempt] = asyncio.get_running_loop().create_task(self._write(action))

    def cancel(self, action: Cancel) -> None:
        """Give the attempt up; what a sink is writing already is written."""
        for client, _ in self._clients.values():
            client.cancel(action)
        self._tasks.pop(action.attempt, None)

    async def close(self) -> None:
        """Give everything up and close everything. Afterwards `stuck` says whether a write still hangs in its thread."""
        for client, _ in self._clients.values():
            await client.close()
        if self._tasks:
            _, hanging = await asyncio.wait(self._tasks.values(), timeout=limits.SINK_CLOSE)
            self.stuck = bool(hanging)
        if not self.stuck:
            for sink in self._sinks.values():
                sink.close()

    async def _write(self, action: Send) -> None:
        sink = self._sinks[action.destination]
        event: Delivered | Failed
        try:
            await asyncio.to_thread(sink.write, action.request, action.spans)  # a terminal or a disk may block
            event = Delivered(action.attempt)
        except OSError as error:
            event = Failed(action.attempt, Failure.RETRYABLE, error.strerror or str(error))
        except Exception:  # noqa: BLE001 -- a bug; in a task it would be silence
            die_of_bug()
        if self._tasks.pop(action.attempt, None) is not None:
            self._report(event)
