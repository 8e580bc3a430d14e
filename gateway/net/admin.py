"""Seen from outside: health, readiness, metrics, and what became of a trace, over HTTP.

Owns the pages and their listeners (Pages), and what one process says on them (Admin); what the parent of several says is
gateway.net.workers', and who knows about a trace gateway.net.explain's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from itertools import accumulate

from aiohttp import web
from aiohttp.http import HttpProcessingError
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway import collector_metrics, metrics
from gateway.collector_metrics import Alias, Aliases
from gateway.config.settings import Endpoint, HealthCheck
from gateway.errors import StartupError
from gateway.membership import State, View
from gateway.metrics import Histogram, Kind, Tally

TRACE_PAGE = "/debug/trace/"
"""Where a trace is asked for: its id follows, and ?local=1 if only the process itself is to answer."""

_LOGGER = logging.getLogger("tailgate.pages")

Explain = Callable[[str, bool], Awaitable[tuple[int, dict[str, object]]]]
"""(what was asked for, whether only here) → HTTP status and answer: gateway.net.explain."""


class _TallyCollector(Collector):
    """Publishes a tally; instruments never counted show as 0 where they have no labels, so that alerts can rest on them."""

    def __init__(self, tally: Tally, aliases: Aliases) -> None:
        self._tally = tally
        self._aliases = aliases

    def collect(self) -> Iterator[Metric]:
        yield from self._own()
        for alias in self._aliases:
            if isinstance(alias, Alias):
                yield from _families(alias.name, alias.kind, alias.help, alias.labels, alias.read(self._tally))
            else:
                yield _histogram(alias.name, alias.help, alias.labels, alias.bounds, alias.read(self._tally))

    def _own(self) -> Iterable[Metric]:
        families: dict[str, CounterMetricFamily | GaugeMetricFamily] = {}
        histograms: list[Metric] = []
        for instrument in metrics.TABLE:
            name, help, labels = instrument.name, instrument.help, instrument.labels
            if instrument.kind is Kind.HISTOGRAM:
                found = self._tally.histograms(instrument)
                histograms.append(_histogram(name, help, labels, instrument.bounds, found))
                continue
            family = CounterMetricFamily if instrument.kind is Kind.COUNTER else GaugeMetricFamily
            families[name] = family(name, help, labels=labels)
            if not labels:
                families[name].add_metric([], self._tally.get(instrument))
        for instrument, values, value in self._tally:
            if values:
                families[instrument.name].add_metric(list(values), value)
        return [*families.values(), *histograms]


def _histogram(
    name: str,
    help: str,
    labels: tuple[str, ...],
    bounds: tuple[float, ...],
    series: Iterable[tuple[tuple[str, ...], Histogram]],
) -> Metric:
    family = HistogramMetricFamily(name, help, labels=labels)
    upto = [*map(floatToGoString, bounds), "+Inf"]
    for values, found in series:
        family.add_metric(list(values), list(zip(upto, accumulate(found.counts), strict=True)), found.sum)
    return family


def _families(
    name: str, kind: Kind, help: str, labels: tuple[str, ...], series: Iterable[tuple[tuple[str, ...], float]]
) -> Iterator[Metric]:
    """A counter or gauge under a Collector's name: a counter both with `_total` and without.

    A Collector shows counters without it by default, and with it when its own reader or the way to Prometheus adds it; there
    are dashboards for both.
    """
    plain: Metric = GaugeMetricFamily(name, help) if kind is Kind.GAUGE else Metric(name, help, "untyped")
    families = [(plain, name)]
    if kind is Kind.COUNTER:
        families.append((CounterMetricFamily(name, help), f"{name}_total"))
    found = [(dict(zip(labels, values, strict=True)), value) for values, value in series]
    for family, sample in families:
        for named, value in found:
            family.add_sample(sample, named, value)
        yield family


class _CollectorProcess(Collector):
    """What the process takes, under a Collector's names as well."""

    def __init__(self, process: ProcessCollector) -> None:
        self._process = process

    def collect(self) -> Iterator[Metric]:
        own = {family.name: family for family in self._process.collect()}
        for name, kind, ours in collector_metrics.PROCESS:
            if ours not in own:
                continue  # a system without /proc
            value = own[ours].samples[0].value
            if ours == "process_start_time_seconds":
                value = time.time() - value
            yield from _families(name, kind, own[ours].documentation, (), [((), value)])


class Pages:
    """Health and metrics over HTTP, for a process that serves or for the parent of some.

    `ready` answers whether traffic should come and what there is to say about it, "" for nothing; `exposition` gives all
    metrics in Prometheus's text format. With `explain`, /debug/trace/ID answers on every address.
    """

    def __init__(
        self,
        ready: Callable[[], Awaitable[tuple[bool, str]]],
        exposition: Callable[[], Awaitable[bytes]],
        explain: Explain | None = None,
    ) -> None:
        self._ready = ready
        self._exposition = exposition
        self._explain = explain
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
        if self._explain is not None:
            app.router.add_get(TRACE_PAGE + "{trace_id}", self._answer_trace)
        if health_path is not None:
            app.router.add_get("/ready", self._answer_ready)
            app.router.add_get("/live", _answer_live)
            if health_path not in ("/ready", "/live", "/metrics"):
                app.router.add_get(health_path, self._answer_ready)
        return app

    async def _runner(self, app: web.Application) -> web.AppRunner:
        runner = web.AppRunner(app, access_log=None, handle_signals=False, logger=_LOGGER)
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

    async def _answer_trace(self, request: web.Request) -> web.Response:
        assert self._explain is not None, "the route is there for it"
        status, body = await self._explain(request.match_info["trace_id"], request.query.get("local") == "1")
        return web.json_response(body, status=status)


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether it is about us: aiohttp logs what is no HTTP as an error, with a stack, and anybody could fill a disk with it."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_LOGGER.addFilter(_is_ours)


async def _answer_live(_: web.Request) -> web.Response:
    return web.json_response({"status": "alive"})


class Admin:
    """The admin side of one process.

    `ready` answers (whether, why not). `publish` is called before each scrape to bring gauges up to date. `aliases` are the
    Collector's metrics that are shown beside ours.
    """

    def __init__(
        self,
        tally: Tally,
        ready: Callable[[], tuple[bool, str]],
        publish: Callable[[], None],
        *,
        aliases: Aliases = (),
        explain: Explain | None = None,
    ) -> None:
        self._tally = tally
        self._ready = ready
        self._publish = publish
        self._registry = CollectorRegistry()
        self._registry.register(_TallyCollector(tally, aliases))
        process = ProcessCollector(registry=self._registry)
        if aliases:
            self._registry.register(_CollectorProcess(process))
        self.pages = Pages(self._answer, self._scrape, explain)

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
