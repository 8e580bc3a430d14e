"""The load balancer's shell: builds the core, the servers, the client and the membership, and joins them."""

from __future__ import annotations

import asyncio

from gateway import collector_metrics, kernel, limits, metrics
from gateway.config.settings import LoadBalancerConfig, RedisResolver, StaticResolver
from gateway.core import Action, Cancel, Draining, Finished, Note, ReadView, Reply, Send, ViewChanged
from gateway.errors import StartupError
from gateway.membership import Member, RingParameters, View, make_view
from gateway.metrics import Tally
from gateway.net import log, process
from gateway.net.admin import Admin, show_view
from gateway.net.driver import Driver
from gateway.net.explain import Explainer, Own
from gateway.net.hop import Hop
from gateway.net.intake import Intake
from gateway.net.membership import Membership
from gateway.net.servers import Servers
from gateway.net.tier import Worker
from gateway.otlp import reply
from loadbalancer.balancer import Balancer


class Service:
    """One load balancer process."""

    def __init__(self, config: LoadBalancerConfig, worker: Worker) -> None:
        self._config = config
        self._worker = worker
        self._tally = Tally()
        self._log = log.get()
        self._notes = log.Notes()
        budget = process.budget(config.memory, limits.BALANCER_BYTES_MAX, worker.workers)
        self._core = Balancer(self._tally, bytes_max=budget, timeout=config.client.timeout)
        self._driver = Driver(self._core, self._perform)
        self._client = Hop(
            config.client, self._driver.feed, refusals=(reply.INVALID_ARGUMENT, reply.RESOURCE_EXHAUSTED)
        )
        self._intake = Intake(self._driver.feed)
        self._servers = Servers(config.receivers, self._intake, self._tally, reuse_port=worker.workers > 1)
        self._admin = Admin(
            self._tally,
            self._ready,
            self._publish,
            aliases=collector_metrics.loadbalancer(
                "static" if isinstance(config.resolver, StaticResolver) else "redis"
            ),
            explain=Explainer(Own("load balancer", "", None, lambda: self._view)),
        )
        self._membership: Membership | None = None
        self._view: View | None = None
        self._draining = False
        self._finished = asyncio.Event()

    async def run(self, stop: asyncio.Event) -> int:
        """Serve until `stop` is set, then drain. Raises StartupError."""
        try:
            await self._start()
        except StartupError:
            await self._close()
            raise
        receivers = [receiver.name for receiver in self._config.receivers]
        self._log.info("load_balancer_started", receivers=receivers, **kernel.described())
        await stop.wait()
        return await self._drain()

    async def _start(self) -> None:
        await self._servers.start()
        await self._serve_admin()
        await self._watch_members()
        self._servers.follow(lambda: self._ready()[0])
        process.freeze()

    async def _serve_admin(self) -> None:
        if self._worker.admin_socket:
            await self._admin.serve_unix(self._worker.admin_socket)
        else:
            await self._admin.serve(self._config.health, self._config.telemetry.metrics)

    async def _watch_members(self) -> None:
        match self._config.resolver:
            case StaticResolver(endpoints):
                members = [Member(id=at, endpoint=at, http=at) for at in map(str, endpoints)]
                self._change_view(make_view(0, members, RingParameters(method="consistent")))
            case RedisResolver(redis):
                self._membership = Membership(redis, None, self._change_view, lambda reason: None, self._tally)
                await self._membership.start()

    async def _drain(self) -> int:
        self._draining = True
        loop = asyncio.get_running_loop()
        delay = self._config.resolver.drain_delay
        finish_at = loop.time() + max(limits.DRAIN_TIMEOUT, delay + limits.DRAIN_RESERVE)
        self._log.info("load_balancer_draining", delay=delay)
        await asyncio.sleep(delay)
        await self._servers.stop(finish_at - loop.time())
        self._driver.feed(Draining(finish_at))
        await self._finished.wait()
        await self._close()
        self._log.info("load_balancer_stopped")
        return 0

    async def _close(self) -> None:
        await self._servers.stop(0)
        self._driver.stop()
        if self._membership is not None:
            await self._membership.stop()
        await self._client.close()
        await self._admin.stop()

    # ------------------------------------------------------------ what the core wants done

    def _perform(self, action: Action) -> None:
        match action:
            case Reply():
                self._intake.reply(action)
            case Send():
                self._client.send(action)
            case Cancel():
                self._client.cancel(action)
            case Note():
                self._notes.write(action)
            case ReadView():
                if self._membership is not None:
                    self._membership.read_now()
            case Finished():
                self._finished.set()

    # ------------------------------------------------------------ what the outside sees

    def _change_view(self, view: View) -> None:
        self._view = view
        self._log.info("view_changed", epoch=view.epoch, digest=view.digest, active=[m.endpoint for m in view.active])
        self._driver.feed(ViewChanged(view))
        without = self._client.follow(view.members)
        if without:
            self._log.warning("members_without_http", endpoints=without, consequence="OTLP/gRPC is spoken to them")

    def _ready(self) -> tuple[bool, str]:
        if self._draining:
            return False, "draining"
        if self._membership is not None and not self._membership.converged:
            return False, "no converged view of the samplers yet"
        return True, ""

    def _publish(self) -> None:
        self._core.publish()
        show_view(self._tally, self._view)
        if self._membership is not None:
            self._tally.set(metrics.LEASE_AGE, self._membership.lease_age)
        self._tally.set(metrics.BUILD_INFO, 1, process.VERSION, kernel.FORM, "loadbalancer")


async def serve(config: LoadBalancerConfig, worker: Worker, stop: asyncio.Event) -> int:
    """Run one load balancer process to its end; the exit status."""
    return await Service(config, worker).run(stop)
