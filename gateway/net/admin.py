"""Seen from outside: health, readiness and metrics over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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
        self._runners: list[web.AppRunner] = []

    def exposition(self) -> bytes:
        """All metrics in Prometheus's text format."""
        self._publish()
        self._tally.set(metrics.READY, float(self._ready()[0]))
        return generate_latest(self._registry)

    async def serve(self, health: HealthCheck | None, metrics_at: Endpoint | None) -> None:
        """Serve health and metrics where the configuration says. Raises StartupError."""
        if health is not None:
            app = self._app(health.path)
            await self._listen(app, health.endpoint, "health_check")
        if metrics_at is not None and (health is None or metrics_at != health.endpoint):  # one address serves both
            await self._listen(self._app(None), metrics_at, "metrics")

    async def serve_unix(self, path: str) -> None:
        """Serve everything on this unix socket, for the parent of the workers."""
        runner = await self._runner(self._app("/"))
        await web.UnixSite(runner, path).start()

    async def stop(self) -> None:
        """Stop serving."""
        for runner in self._runners:
            await runner.cleanup()

    def _app(self, health_path: str | None) -> web.Application:
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        if health_path is not None:
            app.router.add_get("/ready", self._readiness)
            app.router.add_get("/live", self._liveness)
            if health_path not in ("/ready", "/live", "/metrics"):
                app.router.add_get(health_path, self._readiness)
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

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self.exposition(), headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    async def _readiness(self, request: web.Request) -> web.Response:
        ready, reason = self._ready()
        body = {"status": "Server available" if ready else "Server not available"}
        return web.json_response(body if ready else body | {"reason": reason}, status=200 if ready else 503)

    async def _liveness(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})


def show_view(tally: Tally, view: View | None) -> None:
    """Set the gauges of the view in force, before a scrape."""
    if view is None:
        return
    tally.set(metrics.VIEW_EPOCH, view.epoch)
    tally.clear(metrics.VIEW_INFO)
    tally.set(metrics.VIEW_INFO, 1, view.digest)
    for state in State:
        tally.set(metrics.VIEW_MEMBERS, sum(member.state is state for member in view.members), state.value)
