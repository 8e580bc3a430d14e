"""`--workers N`: the parent of N processes of one tier.

Owns: their command lines, and one health answer, one metrics page and one answer about a trace for all of them, made of what
each says on its unix socket.
Keeping them alive is gateway.net.supervise's; what a worker does is the tier's.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from aiohttp import web
from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from gateway import limits, metrics
from gateway.config.settings import LoadBalancerConfig, SamplerConfig
from gateway.explanation import parse_trace_id
from gateway.net import explain, log, ports
from gateway.net.admin import Pages
from gateway.net.supervise import Child, Supervisor

Config = LoadBalancerConfig | SamplerConfig


def run(tier: str, config: Config, files: Sequence[str], count: int) -> int:
    """Run `count` workers of the tier until SIGTERM or SIGINT; return the worst of their statuses. Raises StartupError."""
    log.configure(config.telemetry, f"{tier} parent")
    ports.probe(ports.claims(config, count))
    return asyncio.run(serve(tier, config, files, count))


def command(tier: str, files: Sequence[str], index: int, count: int, admin_socket: Path) -> tuple[str, ...]:
    """The command line of worker `index`: the parent's own, with the flags that only workers are given."""
    configs = [word for file in files for word in ("--config", file)]
    worker = ("--workers", str(count), "--worker", str(index), "--admin-socket", str(admin_socket))
    return (sys.executable, "-P", "-m", "gateway.cli", tier, *configs, *worker)


def grace(config: Config, workers: int = 1) -> float:
    """The seconds that so many workers may take to drain and close, with their parent if they have one."""
    if isinstance(config, LoadBalancerConfig):
        drain = max(limits.DRAIN_TIMEOUT, config.resolver.drain_delay + limits.DRAIN_RESERVE)
    else:
        drain = config.membership.drain_timeout if config.membership else limits.DRAIN_TIMEOUT
    return drain + limits.DRAIN_RESERVE + (limits.FORCED_STOP if workers > 1 else 0.0)


async def serve(tier: str, config: Config, files: Sequence[str], count: int) -> int:
    """What `run` does, as a coroutine."""
    with tempfile.TemporaryDirectory(prefix="tailgate-") as directory:
        sockets = [Path(directory) / f"{index}.sock" for index in range(count)]
        async with Supervisor() as supervisor, Workers(supervisor, sockets) as workers:
            for index, socket in enumerate(sockets):
                words = command(tier, files, index, count, socket)
                supervisor.start(Child(f"{tier} {index}", words, ready=workers.asking(index), grace=grace(config)))
            await workers.pages.serve(config.health, config.telemetry.metrics)
            await asyncio.get_running_loop().shutdown_default_executor()  # see supervise.watch_without_threads
            return await supervisor.stopped()


class Workers:
    """What the parent answers for its workers, on its `pages`. `async with` it: it holds clients and listeners."""

    def __init__(self, supervisor: Supervisor, sockets: Sequence[Path]) -> None:
        self._supervisor = supervisor
        self._sockets = sockets
        self._clients: list[aiohttp.ClientSession] = []
        self._stack = AsyncExitStack()
        self.pages = Pages(self.ready, self.metrics, self.trace)

    async def __aenter__(self) -> Workers:
        for socket in self._sockets:
            client = aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)))
            self._clients.append(await self._stack.enter_async_context(client))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.pages.stop()
        await self._stack.aclose()

    def asking(self, index: int) -> Ready:
        """The question whether worker `index` is ready."""
        return Ready(self, index)

    async def get(self, index: int, path: str, patience: float) -> tuple[int, str] | None:
        """Status and body of a worker's answer; None if it gave none within `patience` seconds."""
        timeout = aiohttp.ClientTimeout(total=patience)
        try:
            async with self._clients[index].get(f"http://worker{path}", timeout=timeout) as response:
                return response.status, await response.text()
        except (aiohttp.ClientError, OSError, TimeoutError):
            return None

    async def ready(self) -> tuple[bool, str]:
        """Whether traffic should come, and which workers it would not find: all must have been ready once, then any will do.

        So a rollout does not go on past a machine that is half up, and one dead worker does not take the others' traffic away.
        """
        answers = await asyncio.gather(*(self.asking(index)() for index in range(len(self._sockets))))
        waiting = [str(index) for index, yes in enumerate(answers) if not yes]
        reason = f"workers not ready: {', '.join(waiting)}" if waiting else ""
        started = all(keeper.ready.is_set() for keeper in self._supervisor.keepers)
        return not waiting or (any(answers) and started), reason

    async def metrics(self) -> bytes:
        """One page: every worker's series with the label `worker`, and how many workers answered."""
        patience = limits.WORKER_ANSWER_MAX
        answers = await asyncio.gather(*(self.get(index, "/metrics", patience) for index in range(len(self._sockets))))
        pages = {str(index): answer[1] for index, answer in enumerate(answers) if answer is not None}
        restarts = [keeper.restarts for keeper in self._supervisor.keepers]
        families = {(family.name, family.type): family for family in (*merge(pages), *own(pages, restarts))}
        return generate_latest(Families([families[key] for key in sorted(families)]))

    async def trace(self, text: str, local: bool) -> tuple[int, explain.Body]:
        """What the workers know of a trace: any of them finds the owner; with `local`, or if none is known, each for itself."""
        trace_id = parse_trace_id(text)
        if trace_id is None:
            return explain.refused(text)
        status, found = (explain.OK, explain.unknown(trace_id)) if local else await self._any_explains(trace_id)
        if status != explain.OK or explain.is_known(found):
            return status, found
        asked = [self._explains(index, trace_id, local=True) for index in range(len(self._sockets))]
        answers = [answer[1] for answer in await asyncio.gather(*asked) if answer is not None]
        known = explain.best(answers)
        return explain.OK, known if explain.is_known(known) else found

    async def _any_explains(self, trace_id: bytes) -> tuple[int, explain.Body]:
        for index in range(len(self._sockets)):
            answer = await self._explains(index, trace_id, local=False)
            if answer is not None:
                return answer
        return explain.BAD_GATEWAY, {**explain.unknown(trace_id), "error": "no worker answers"}

    async def _explains(self, index: int, trace_id: bytes, *, local: bool) -> tuple[int, explain.Body] | None:
        patience = limits.WORKER_READY_MAX if local else limits.EXPLAIN_TIMEOUT + limits.EXPLAIN_TIME_MAX
        try:
            async with asyncio.timeout(patience):
                return await explain.fetch_over(self._clients[index], "http://worker", trace_id.hex(), local=local)
        except (explain.UnansweredError, TimeoutError):
            return None


class Ready:
    """`await ready()`: whether one worker says it is ready."""

    def __init__(self, workers: Workers, index: int) -> None:
        self._workers = workers
        self._index = index

    async def __call__(self) -> bool:
        """Ask now; no answer is a no."""
        answer = await self._workers.get(self._index, "/ready", limits.WORKER_READY_MAX)
        return answer is not None and answer[0] == web.HTTPOk.status_code


class Families:
    """Metric families in the shape that prometheus_client prints."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """The families, in the order given."""
        yield from self._families


def merge(pages: Mapping[str, str]) -> list[Metric]:
    """The families of all pages (worker label value → text exposition), each sample with the label `worker` added."""
    merged: dict[
        tuple[str, str], Metric
    ] = {}  # the parser takes `_total` off a counter: its type tells it from one without
    for worker, page in pages.items():
        for family in text_string_to_metric_families(page):
            empty = Metric(family.name, family.documentation, family.type)
            into = merged.setdefault((family.name, family.type), empty)
            for sample in family.samples:
                into.add_sample(sample.name, {**sample.labels, "worker": worker}, sample.value, sample.timestamp)
    return list(merged.values())


def own(pages: Mapping[str, str], restarts: Sequence[int]) -> list[Metric]:
    """What the parent knows better than its workers: who answered this scrape, and how often each was started again."""
    up = Metric(metrics.WORKER_UP.name, metrics.WORKER_UP.help, "gauge")
    started = Metric(metrics.WORKER_RESTARTS.name.removesuffix("_total"), metrics.WORKER_RESTARTS.help, "counter")
    for index, times in enumerate(restarts):
        worker = str(index)
        up.add_sample(up.name, {"worker": worker}, float(worker in pages))
        started.add_sample(metrics.WORKER_RESTARTS.name, {"worker": worker}, float(times))
    return [up, started]
