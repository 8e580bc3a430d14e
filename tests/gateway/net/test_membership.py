"""Replicas that keep their leases in a real Redis, which is stopped, emptied, paused and asked for too much."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import structlog.testing

from gateway import metrics
from gateway.config.settings import Endpoint, RedisCluster, RedisMembership
from gateway.errors import StartupError
from gateway.membership import State, View
from gateway.metrics import Tally
from gateway.net import lease_store
from gateway.net.membership import Membership, claim
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.integration

LEASE = 1.0
PATIENCE = 20.0


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> RedisServer:
    running.ensure()
    with running.client() as client:
        client.flushall()
    return running


class Replica:
    """A Membership, and all it was told."""

    def __init__(self, membership: Membership, views: list[View], stepped_down: list[str], tally: Tally) -> None:
        self.membership, self.views, self.stepped_down, self.tally = membership, views, stepped_down, tally

    def states(self) -> dict[str, State]:
        view = self.membership.view
        return {member.endpoint: member.state for member in view.members} if view else {}


class Cluster:
    """Starts replicas and stops them all in the end."""

    def __init__(self, server: RedisServer, stack: AsyncExitStack) -> None:
        self.server, self._stack = server, stack

    def make(self, port: int = 0, poll: float = 0.2, ring: str = "maglev", lease: float = LEASE) -> Replica:
        views: list[View] = []
        stepped_down: list[str] = []
        tally = Tally()
        redis = RedisCluster(self.server.url, "test", poll)
        settings = RedisMembership(redis, Endpoint("127.0.0.1", port), lease=lease, ring=ring)
        membership = Membership(redis, claim(settings) if port else None, views.append, stepped_down.append, tally)
        self._stack.push_async_callback(membership.stop)
        return Replica(membership, views, stepped_down, tally)

    async def sampler(self, port: int, **other: object) -> Replica:
        replica = self.make(port, **other)  # type: ignore[arg-type]
        await replica.membership.start()
        assert await replica.membership.set_state(State.ACTIVE)
        return replica

    async def balancer(self, **other: object) -> Replica:
        replica = self.make(**other)  # type: ignore[arg-type]
        await replica.membership.start()
        return replica


@pytest.fixture
async def cluster(server: RedisServer) -> AsyncIterator[Cluster]:
    async with AsyncExitStack() as stack:
        yield Cluster(server, stack)


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not true():  # noqa: ASYNC110 -- what is waited for happens in Redis and in other tasks
            await asyncio.sleep(0.01)


def active(*ports: int) -> dict[str, State]:
    return {f"127.0.0.1:{port}": State.ACTIVE for port in ports}


async def test_replicas_find_each_other(cluster: Cluster) -> None:
    """Samplers and balancers come to one view, in which each sampler is active, and are ready by it."""
    replicas = [await cluster.sampler(1), await cluster.sampler(2), await cluster.balancer()]
    await until(lambda: all(replica.membership.converged for replica in replicas))
    await until(lambda: all(replica.states() == active(1, 2) for replica in replicas))
    assert len({replica.views[-1].stamp for replica in replicas}) == 1
    assert replicas[2].membership.lease_age < PATIENCE
    epochs = [view.epoch for view in replicas[2].views]
    assert epochs == sorted(set(epochs))


async def test_hint_spares_the_wait_for_a_poll(cluster: Cluster) -> None:
    """A change reaches a balancer that polls once in five minutes, because it is told."""
    await cluster.sampler(1, lease=600.0)
    balancer = await cluster.balancer(poll=300.0)
    await until(lambda: balancer.membership.converged)
    await cluster.sampler(2, lease=600.0)
    await until(lambda: balancer.states() == active(1, 2))
    assert balancer.views[-1].epoch == 4


async def test_peer_with_a_newer_view_makes_it_read(cluster: Cluster) -> None:
    """Asked to read now, a replica reads now, without a hint or a poll."""
    await cluster.sampler(1, lease=600.0)
    balancer = await cluster.balancer(poll=300.0)
    await until(lambda: balancer.membership.converged)
    with cluster.server.client() as client:
        client.client_kill_filter(_type="pubsub")
        await cluster.sampler(2, lease=600.0)
        balancer.membership.read_now()
        await until(lambda: balancer.states() == active(1, 2))
    assert balancer.views[-1].epoch == 4


async def test_drain_and_leave(cluster: Cluster) -> None:
    """A draining sampler is seen as draining, and when it leaves it is gone at once, without its lease lapsing."""
    staying, leaving = await cluster.sampler(1), await cluster.sampler(2)
    assert await leaving.membership.set_state(State.DRAINING)
    await until(lambda: staying.states() == active(1) | {"127.0.0.1:2": State.DRAINING})
    assert await leaving.membership.leave()
    await until(lambda: staying.states() == active(1))
    assert not await leaving.membership.set_state(State.ACTIVE)


async def test_silent_redis_keeps_the_view(cluster: Cluster, server: RedisServer) -> None:
    """While Redis answers nothing, everybody keeps the last view and counts; afterwards nobody has vanished."""
    with structlog.testing.capture_logs() as logs:
        replicas = [
            await cluster.sampler(1),
            await cluster.sampler(2),
            await cluster.sampler(3),
            await cluster.balancer(),
        ]
        await until(lambda: all(replica.states() == active(1, 2, 3) for replica in replicas))
        views = [len(replica.views) for replica in replicas]
        server.pause()
        try:
            await until(lambda: all(replica.tally.get(metrics.LEASE_FAILURES) >= 4 for replica in replicas))
            await until(lambda: replicas[0].membership.lease_age > 2 * LEASE)
            assert not await replicas[0].membership.set_state(State.ACTIVE)
        finally:
            server.resume()
        await until(lambda: all(replica.membership.lease_age < LEASE for replica in replicas))
        await asyncio.sleep(LEASE)  # so that a wrong lapse would have been seen
        assert [len(replica.views) for replica in replicas] == views
    events = [line["event"] for line in logs]
    assert events.count("lease_store_silent") == events.count("lease_store_back") == len(replicas)


async def test_redis_back_empty(cluster: Cluster, server: RedisServer) -> None:
    """Redis killed and started again empty: nobody sees a smaller view, and then all agree on a greater epoch."""
    replicas = [await cluster.sampler(1), await cluster.sampler(2), await cluster.balancer()]
    await until(lambda: all(replica.states() == active(1, 2) and replica.membership.converged for replica in replicas))
    epoch = replicas[2].views[-1].epoch
    server.stop()
    await until(lambda: all(replica.tally.get(metrics.LEASE_FAILURES) >= 2 for replica in replicas))
    assert all(replica.membership.converged for replica in replicas)
    server.start()
    await until(lambda: all(replica.views[-1].epoch > epoch for replica in replicas))
    await until(lambda: len({replica.views[-1].stamp for replica in replicas}) == 1)
    later = [view for replica in replicas for view in replica.views if view.epoch > epoch]
    assert all(len(view.active) == 2 for view in later)


async def test_dead_sampler_lapses(cluster: Cluster) -> None:
    """A sampler that is gone without a word is removed when its lease is over."""
    staying, other, dying = await cluster.sampler(1), await cluster.sampler(2), await cluster.sampler(3)
    await until(lambda: staying.states() == other.states() == active(1, 2, 3))
    await dying.membership.stop()
    await until(lambda: staying.states() == other.states() == active(1, 2))
    assert staying.membership.converged


async def test_older_replica_steps_down(cluster: Cluster) -> None:
    """Of two replicas on one endpoint the newer goes on, and the older is told once, in words."""
    old = await cluster.sampler(1)
    new = await cluster.sampler(1)
    await until(lambda: bool(old.stepped_down))
    assert "127.0.0.1:1" in old.stepped_down[0]
    assert not await old.membership.set_state(State.DRAINING)
    assert len(old.stepped_down) == 1
    assert new.membership.converged
    assert new.views[-1].active[0].start > old.views[0].members[0].start


async def test_another_ring_is_refused_at_start(cluster: Cluster) -> None:
    """A sampler that wants another ring than its cluster's does not start, and says why."""
    await cluster.sampler(1)
    with pytest.raises(StartupError, match=r"maglev/1/65537.*consistent/1/65537"):
        await cluster.sampler(2, ring="consistent")


@pytest.mark.parametrize("port", [0, 1])
async def test_unreachable_redis_at_start(port: int) -> None:
    """Neither tier starts without its Redis: one line that names it, without its password."""
    redis = RedisCluster("redis://:secret@127.0.0.1:1/0")
    wanted = claim(RedisMembership(redis, Endpoint("127.0.0.1", port))) if port else None
    membership = Membership(redis, wanted, lambda view: None, lambda reason: None, Tally())
    with pytest.raises(StartupError) as caught:
        await membership.start()
    text = str(caught.value)
    assert text.startswith("cannot reach Redis at redis://:***@127.0.0.1:1/0: ")
    assert "\n" not in text


async def test_subscription_is_made_anew(cluster: Cluster, server: RedisServer) -> None:
    """A subscription that Redis has cut is made again."""
    balancer = await cluster.balancer(poll=300.0)
    channel = lease_store.channel("test")
    with server.client() as client:

        def listening() -> bool:
            return dict(client.pubsub_numsub(channel)).get(channel) == 1

        await until(listening)
        before = {connection["id"] for connection in client.client_list(_type="pubsub")}
        client.client_kill_filter(_type="pubsub")
        await until(lambda: listening() and before != {c["id"] for c in client.client_list(_type="pubsub")})
    assert balancer.membership.view is None


async def test_silently_dead_subscription_is_made_anew(
    cluster: Cluster, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A subscription on which not even a ping is answered is made again; one that answers is kept."""
    monkeypatch.setattr("gateway.limits.HINT_PING", 0.05)
    monkeypatch.setattr("gateway.limits.HINT_RETRY", 0.05)
    await cluster.balancer(poll=300.0)
    with server.client() as client:
        await until(lambda: len(client.client_list(_type="pubsub")) == 1)
        await asyncio.sleep(0.5)  # ten pings' time
        (kept,) = client.client_list(_type="pubsub")
        server.pause()
        await asyncio.sleep(0.5)
        server.resume()
        await until(lambda: kept["id"] not in {c["id"] for c in client.client_list(_type="pubsub")})
        await until(lambda: len(client.client_list(_type="pubsub")) == 1)
        assert client.client_list(_type="pubsub")[0]["id"] != kept["id"]


def test_every_start_has_a_new_id() -> None:
    """Two starts of one sampler differ in their ids and in nothing else."""
    settings = RedisMembership(RedisCluster("redis://redis"), Endpoint("sampler-0", 4317), ring_name="r", weight=2)
    one, other = claim(settings), claim(settings)
    assert one.id != other.id
    assert replace(one, id=other.id) == other
    assert (one.endpoint, one.ring_name, one.weight, one.lease) == ("sampler-0:4317", "r", 2, 10.0)
