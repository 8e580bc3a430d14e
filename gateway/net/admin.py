"""Seen from outside: health, readiness and metrics over HTTP.

Owns the pages and their listeners (Pages), and what one process says on them (Admin); what the parent of several says is
gateway.net.workers'.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from aiohttp import web
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from gateway import metrics
from gateway.config.settings import Endpoint, HealthCheck
from gateway.errors import StartupError
from gateway.membership import State, View
from gateway.metrics import Kind, Tally


class _TallyCollector(Collector):
    """Publishes a tally; instruments never counted show as 0 where they have no labels, so that alerts can rest on them."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally

    def collect(self) -> Iterable[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        for instrument in metrics.TABLE:
            family = CounterMetricFamily if instrument.kind is Kind.COUNTER else GaugeMetricFamily
            families[instrument.name] = family(instrument.name, instrument.help, labels=instrument.labels)
            if not instrument.labels:
                families[instrument.name].add_metric([], self._tally.get(instrument))
        for instrument, labels, value in self._tally:
            if labels:
                families[instrument.name].add_metric(list(labels), value)
        return families.values()


class Pages:
    """Health and metrics over HTTP, for a process that serves or for the parent of some.

    `ready` answers whether traffic should come and what there is to say about it, "" for nothing; `exposition` gives all
    metrics in Prometheus's text format.
    """

    def __init__(
        self, ready: Callable[[], Awaitable[tuple[bool, str]]], exposition: Callable[[], Awaitable[bytes]]
    ) -> None:
        self._ready = ready
        self._exposition = exposition
        self._runners: list[web.AppRunner] = []

    @property
    def ports(self) -> list[int]:
        """The TCP ports listened on, in the order of serving."""
        return [runner.addresses[0][1] for runner in self._runners]

    async def serve(self, health: HealthCheck | None, metrics_at: Endpoint | None) -> None:
        """Serve health and metrics where the configuration says. Raises StartupError."""
        if health is not None:
            await self._listen(self._app(health.path), health.endpoint, "health_check")
        if metrics_at is not None and (health is None or metrics_at != health.endpoint):  # one address serves both
            await self._listen(self._app(None), metrics_at, "metrics")

    async def serve_unix(self, path: str) -> None:
        """Serve everything on this unix socket."""
        runner = await self._runner(self._app("/"))
        await web.UnixSite(runner, path).start()

    async def stop(self) -> None:
        """Stop serving."""
        for runner in self._runners:
            await runner.cleanup()

    def _app(self, health_path: str | None) -> web.Application:
        app = web.Application()
        app.router.add_get("/metrics", self._answer_metrics)
        if health_path is not None:
            app.router.add_get("/ready", self._answer_ready)
            app.router.add_get("/live", _answer_live)
            if health_path not in ("/ready", "/live", "/metrics"):
                app.router.add_get(health_path, self._answer_ready)
        return app

    async def _runner(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _listen(self, app: web.Application, endpoint: Endpoint, what: str) -> None:
        site = web.TCPSite(await self._runner(app), endpoint.host or None, endpoint.port)
        try:
            await site.start()
        except OSError as error:
            raise StartupError(f"cannot listen on {endpoint} ({what}): {error.strerror or error}") from error

    async def _answer_metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=await self._exposition(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _answer_ready(self, _: web.Request) -> web.Response:
        ready, reason = await self._ready()
        body = {"status": "Server available" if ready else "Server not available"}
        return web.json_response(body | {"reason": reason} if reason else body, status=200 if ready else 503)


async def _answer_live(_: web.Request) -> web.Response:
    return web.json_response({"status": "alive"})


class Admin:
    """The admin side of one process.

    `ready` answers (whether, why not). `publish` is called before each scrape to bring gauges up to date.
    """

    def __init__(self, tally: Tally, ready: Callable[[], tuple[bool, str]], publish: Callable[[], None]) -> None:
        self._tally = tally
        self._ready = ready
        self._publish = publish
        self._registry = CollectorRegistry()
        self._registry.register(_TallyCollector(tally))
        ProcessCollector(registry=self._registry)
        self.pages = Pages(self._answer, self._scrape)

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        self._publish()
        self._tally.set(metrics.READY, float(self._ready()[0]))
        return generate_latest(self._registry)

    async def serve(self, health: HealthCheck | None, metrics_at: Endpoint | None) -> None:
        """Serve health and metrics where the configuration says. Raises StartupError."""
        await self.pages.serve(health, metrics_at)

    async def serve_unix(self, path: str) -> None:
        """Serve everything on this unix socket, for the parent of the workers."""
        await self.pages.serve_unix(path)

    async def stop(self) -> None:
        """Stop serving."""
        await self.pages.stop()

    async def _answer(self) -> tuple[bool, str]:
        return self._ready()

    async def _scrape(self) -> bytes:
        return self.exposition()


def show_view(tally: Tally, view: View | None) -> None:
    """Set the gauges of the view in force, before a scrape."""
    if view is None:
        return
    tally.set(metrics.VIEW_EPOCH, view.epoch)
    tally.clear(metrics.VIEW_INFO)
    tally.set(metrics.VIEW_INFO, 1, view.digest)
    for state in State:
        tally.set(metrics.VIEW_MEMBERS, sum(member.state is state for member in view.members), state.value)
