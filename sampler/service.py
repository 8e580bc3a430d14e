"""The sampler's shell: builds the core, the servers, the exporters and the membership, and joins them."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from functools import partial

from gateway import collector_metrics, kernel, limits, metrics
from gateway.config.settings import TRACES_PATH, Endpoint, FileExporter, Receiver, RedisMembership, SamplerConfig
from gateway.core import (
    Action,
    Cancel,
    Delivered,
    Draining,
    Failed,
    Finished,
    Level,
    Note,
    ReadView,
    Reply,
    Send,
    ViewChanged,
)
from gateway.errors import StartupError
from gateway.membership import State, View, ViewStamp
from gateway.metrics import Tally
from gateway.net import log, process
from gateway.net.admin import Admin, show_view
from gateway.net.driver import Driver
from gateway.net.explain import Explainer, Own
from gateway.net.exporters import Exporters
from gateway.net.intake import Intake
from gateway.net.membership import Membership, claim
from gateway.net.servers import Servers
from gateway.net.tier import Worker
from sampler.sampler import Sampler

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Service:
    """One sampler process."""

    def __init__(self, config: SamplerConfig, worker: Worker) -> None:
        self._config = config = for_worker(config, worker.index)
        self._worker = worker
        self._tally = Tally()
        self._log = log.get()
        self._notes = log.Notes()
        share = int(process.memory_bytes() * limits.BUFFER_SHARE) // worker.workers
        budget = process.budget(config.memory, share, worker.workers)
        membership = config.membership
        self._core = Sampler(
            config.tail_sampling,
            config.exporters,
            config.batch,
            self._tally,
            budget=budget,
            alone=membership is None,
            duplicate_window=limits.DUPLICATE_WINDOW if membership is None else membership.duplicate_window,
            seed=secrets.randbits(64),
        )
        self._driver = Driver(self._core, self._perform, partial(self._tally.observe, metrics.TICK_SECONDS))
        self._exporters = Exporters(config.exporters, self._report)
        self._intake = Intake(self._driver.feed)
        self._servers = Servers(config.receivers, self._intake, self._tally, stamp=self._stamp)
        self._admin = Admin(
            self._tally, self._ready, self._publish, aliases=collector_metrics.sampler(), explain=Explainer(self._own())
        )
        self._membership: Membership | None = None
        self._view: View | None = None
        self._draining = False
        self._finished: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def run(self, stop: asyncio.Event) -> int:
        """Serve until `stop` is set or a newer replica takes this endpoint, then drain. Raises StartupError."""
        try:
            await self._start(stop)
        except StartupError:
            await self._close()
            raise
        self._log.info(
            "sampler_started", kernel=kernel.FORM, receivers=[receiver.name for receiver in self._config.receivers]
        )
        await stop.wait()
        return await self._drain()

    async def _start(self, stop: asyncio.Event) -> None:
        await self._servers.start()
        if self._worker.admin_socket:
            await self._admin.serve_unix(self._worker.admin_socket)
        else:
            await self._admin.serve(self._config.health, self._config.telemetry.metrics)
        if self._config.membership is not None:
            await self._join(self._config.membership, stop)
        self._servers.follow(lambda: self._ready()[0])
        process.freeze()

    async def _join(self, settings: RedisMembership, stop: asyncio.Event) -> None:
        """Take a lease and the place on the ring; the servers listen already."""

        def step_down(reason: str) -> None:
            self._log.error("stepping_down", reason=reason)
            stop.set()

        wanted = claim(settings, http_address(self._config), admin_address(self._config))
        self._membership = Membership(settings.redis, wanted, self._change_view, step_down, self._tally)
        await self._membership.start()
        await self._membership.set_state(State.ACTIVE)

    async def _drain(self) -> int:
        self._draining = True
        membership = self._config.membership
        grace = limits.DRAIN_TIMEOUT if membership is None else membership.drain_timeout
        loop = asyncio.get_running_loop()
        self._log.info("sampler_draining", grace=grace)
        self._driver.feed(Draining(loop.time() + grace))
        if self._membership is not None:
            await self._membership.set_state(State.DRAINING)
        lost = await self._finished
        if self._membership is not None:
            await self._membership.leave()
        await self._close()
        self._log.info("sampler_stopped", lost_spans=lost)
        status = 1 if lost else 0
        if self._exporters.stuck:
            process.leave(status)
        return status

    async def _close(self) -> None:
        if self._membership is not None:
            await self._membership.stop()
        await self._servers.stop(limits.DRAIN_RESERVE / 2)
        self._driver.stop()
        await self._exporters.close()
        await self._admin.stop()

    # ------------------------------------------------------------ what the core wants done

    def _perform(self, action: Action) -> None:
        match action:
            case Reply():
                self._intake.reply(action)
            case Send():
                self._exporters.send(action)
            case Cancel():
                self._exporters.cancel(action)
            case Note():
                self._notes.write(action)
            case ReadView():
                if self._membership is not None:
                    self._membership.read_now()
            case Finished(lost_spans):
                self._finished.set_result(lost_spans)

    def _report(self, event: Delivered | Failed) -> None:
        if isinstance(event, Failed):  # the core tries again; whoever is on call should read why
            fields: dict[str, object] = {"failure": event.failure.value, "reason": event.reason}
            self._notes.write(Note(Level.WARNING, "export_failed", fields))
        self._driver.feed(event)

    # ------------------------------------------------------------ what the outside sees

    def _own(self) -> Own:
        membership = self._config.membership
        listeners = [at.endpoint for each in self._config.receivers for at in (each.grpc, each.http) if at]
        endpoint = str(membership.advertise) if membership else ""
        return Own(endpoint or str(listeners[0]), endpoint, self._look, lambda: self._view)

    def _look(self, trace_id: bytes) -> dict[str, object]:
        return self._core.explain(trace_id, self._driver.now())

    def _change_view(self, view: View) -> None:
        self._view = view
        self._driver.feed(ViewChanged(view))

    def _stamp(self) -> ViewStamp | None:
        return None if self._view is None else self._view.stamp

    def _ready(self) -> tuple[bool, str]:
        if self._draining:
            return False, "draining"
        if self._config.membership is not None and (self._membership is None or not self._membership.converged):
            return False, "not an active member of a view yet"
        return True, ""

    def _publish(self) -> None:
        self._core.publish()
        show_view(self._tally, self._view)
        if self._membership is not None:
            self._tally.set(metrics.LEASE_AGE, self._membership.lease_age)
        self._tally.set(metrics.BUILD_INFO, 1, process.VERSION, kernel.FORM, "sampler")


async def serve(config: SamplerConfig, worker: Worker, stop: asyncio.Event) -> int:
    """Run one sampler process to its end; the exit status."""
    return await Service(config, worker).run(stop)


def http_address(config: SamplerConfig) -> str:
    """Where load balancers can forward by OTLP/HTTP: the advertised host, at the port of a receiver that fits; "" if none does.

    One fits that takes what a balancer sends, where it sends it, on an interface that a gRPC receiver listens on as well.
    """
    if config.membership is None:
        return ""
    host = config.membership.advertise.host
    hosts = {"0.0.0.0", "::", "", host, *(r.grpc.endpoint.host for r in config.receivers if r.grpc)}
    for http in (receiver.http for receiver in config.receivers if receiver.http):
        takes = http.request_bytes_max >= limits.FORWARD_REQUEST_BYTES_MAX and http.traces_path == TRACES_PATH
        if takes and http.endpoint.host in hosts and http.endpoint.port:
            return str(Endpoint(host, http.endpoint.port))
    return ""


def admin_address(config: SamplerConfig) -> str:
    """Where other nodes can ask about traces: the advertised host, at the port of health_check or metrics; "" if nowhere.

    The page must listen on every interface, on the advertised host, or, where that is the machine itself, on loopback.
    """
    if config.membership is None:
        return ""
    host = config.membership.advertise.host
    hosts = {"0.0.0.0", "::", "", host, *(LOOPBACK if host in LOOPBACK else ())}
    for endpoint in (config.health and config.health.endpoint, config.telemetry.metrics):
        if endpoint and endpoint.host in hosts and endpoint.port:
            return str(Endpoint(host, endpoint.port))
    return ""


def for_worker(config: SamplerConfig, index: int) -> SamplerConfig:
    """The configuration of worker `index`: it listens and advertises so many ports further on, is a ring member
    of its own, and writes files of its own."""
    if index == 0:
        return config
    membership = config.membership
    if membership is not None:
        name = f"{membership.ring_name}/{index}" if membership.ring_name else ""
        membership = replace(membership, advertise=membership.advertise.offset(index), ring_name=name)
    receivers = tuple(
        Receiver(
            receiver.name,
            receiver.grpc and replace(receiver.grpc, endpoint=receiver.grpc.endpoint.offset(index)),
            receiver.http and replace(receiver.http, endpoint=receiver.http.endpoint.offset(index)),
        )
        for receiver in config.receivers
    )
    exporters = tuple(
        replace(exporter, path=f"{exporter.path}.{index}") if isinstance(exporter, FileExporter) else exporter
        for exporter in config.exporters
    )
    return replace(config, receivers=receivers, exporters=exporters, membership=membership)
