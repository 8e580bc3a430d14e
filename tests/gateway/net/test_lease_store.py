"""What the lease store promises, said once and run over the real Redis and over the simulated store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Protocol

import pytest
from redis import Redis

from gateway.errors import StartupError
from gateway.lease import Answer, Call, Claim, Standing
from gateway.membership import NO_VIEW, RingParameters, State, View, ViewStamp
from gateway.net import lease_store
from gateway.net.lease_store import LeaseStore, LeaseStoreError, connect, keys, masked, parse_reply
from tests.support.redis_server import RedisServer
from tests.support.simulated_leases import SimulatedLeases

LEASE = 10.0
CLUSTER = "test"
PATIENCE = 10.0


class Store(Protocol):
    """A store under test, and what a test can do to it."""

    async def call(self, call: Call) -> Answer: ...
    def advance(self, seconds: float) -> None: ...
    def forget(self) -> None: ...


class Simulated:
    def __init__(self) -> None:
        self.leases = SimulatedLeases()

    async def call(self, call: Call) -> Answer:
        return self.leases.call(call)

    def advance(self, seconds: float) -> None:
        self.leases.now += seconds

    def forget(self) -> None:
        self.leases.forget()


class Real:
    """Time cannot be told to Redis, so what the script has written down is moved into the past instead."""

    def __init__(self, redis: Redis, store: LeaseStore) -> None:
        self.redis = redis
        self.store = store

    async def call(self, call: Call) -> Answer:
        return await self.store.call(call, PATIENCE)

    def advance(self, seconds: float) -> None:
        leases, _, meta = keys(CLUSTER)
        for id, at in self.redis.zrange(leases, 0, -1, withscores=True):
            self.redis.zadd(leases, {id: at - seconds * 1000})
        for name in ("called_at", "born_at", "recovering_until"):
            self.redis.hset(meta, name, str(round(float(self.redis.hget(meta, name) or 0) - seconds * 1000)))

    def forget(self) -> None:
        self.redis.flushall()


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
async def real(server: RedisServer) -> AsyncIterator[Real]:
    redis = connect(server.url)
    client = server.client()
    client.flushall()
    try:
        yield Real(client, LeaseStore(redis, CLUSTER))
    finally:
        client.close()
        await redis.aclose()


@pytest.fixture(params=["simulated", pytest.param("redis", marks=pytest.mark.integration)])
def store(request: pytest.FixtureRequest) -> Store:
    return Simulated() if request.param == "simulated" else request.getfixturevalue("real")


class Caller:
    """A replica, or with `name` "" a reader, that remembers what a Keeper would."""

    def __init__(self, store: Store, name: str, endpoint: str = "", **claim: object) -> None:
        self.store = store
        self.claim = Claim(name, endpoint or f"host-{name}:4317", lease=LEASE, **claim) if name else None  # type: ignore[arg-type]
        self.state = State.ACTIVE
        self.start = 0
        self.seen = 0
        self.view: View | None = None

    @property
    def held(self) -> ViewStamp:
        return self.view.stamp if self.view else NO_VIEW

    async def beat(self, state: State | None = None, leaving: bool = False) -> Answer:
        self.state = state or self.state
        answer = await self.store.call(Call(self.held, self.seen, LEASE, self.claim, self.state, self.start, leaving))
        self.seen, self.start = max(self.seen, answer.stamp.epoch), answer.start
        self.view = answer.view or self.view
        return answer

    def listed(self) -> dict[str, State]:
        assert self.view is not None
        return {member.id: member.state for member in self.view.members}


async def cluster(store: Store, *names: str) -> list[Caller]:
    callers = [Caller(store, name) for name in names]
    for caller in callers:
        await caller.beat()
    for caller in callers:
        await caller.beat()
    return callers


async def live(store: Store, seconds: float, *alive: Caller) -> None:
    """Time passes, with everybody alive calling every second."""
    for _ in range(round(seconds)):
        store.advance(1.0)
        for caller in alive:
            await caller.beat()


class TestStore:
    async def test_join_is_seen_by_all(self, store: Store) -> None:
        """Who joins is in the view he reads, and in everybody's at the next poll."""
        a, reader = Caller(store, "a"), Caller(store, "")
        first = await a.beat(State.JOINING)
        assert (first.stamp.epoch, a.listed()) == (1, {"a": State.JOINING})
        await reader.beat()
        await a.beat(State.ACTIVE)
        answer = await reader.beat()
        assert reader.listed() == {"a": State.ACTIVE}
        assert answer.stamp == a.held == ViewStamp(2, reader.held.digest)

    async def test_unchanged_is_not_sent_again(self, store: Store) -> None:
        """Who has the view is told so, and renewing raises no epoch."""
        a, b = await cluster(store, "a", "b")
        before = b.held
        for _ in range(3):
            store.advance(1)
            assert (await a.beat()).view is None
            assert (await b.beat()).view is None
        assert b.held == before

    async def test_empty_cluster_has_no_view(self, store: Store) -> None:
        """Before the first sampler joins there is nothing to go by, not an empty view."""
        answer = await Caller(store, "").beat()
        assert answer.view is None
        assert not answer.recovering

    async def test_view_names_its_predecessors_members(self, store: Store) -> None:
        """A view says who was a member in the view before it."""
        a, _ = await cluster(store, "a", "b")
        await Caller(store, "c").beat()
        await a.beat()
        assert a.view is not None
        assert [member.id for member in a.view.predecessor] == ["a", "b"]

    async def test_lapsed_lease_is_removed(self, store: Store) -> None:
        """One of three that goes silent is removed when its lease is over, not before, by whoever calls."""
        a, b, c = await cluster(store, "a", "b", "c")
        await live(store, LEASE - 2, a, b)
        assert "c" in a.listed()
        await live(store, 3, a, b)
        assert a.listed().keys() == b.listed().keys() == {"a", "b"}
        await c.beat()
        assert c.listed().keys() == {"a", "b", "c"}

    async def test_readers_alone_remove_the_lapsed(self, store: Store) -> None:
        """When only balancers are left, their polls still remove the dead."""
        await cluster(store, "a", "b", "c")
        reader = Caller(store, "")
        await live(store, LEASE * 2 - 2, reader)
        assert len(reader.listed()) == 3
        await live(store, 4, reader)
        assert reader.listed() == {}

    async def test_mass_lapse_waits_one_lease(self, store: Store) -> None:
        """When half or more fall silent together, they stay for one more lease; back in time, nothing has happened."""
        a, b, c, d = await cluster(store, "a", "b", "c", "d")
        store.advance(1)
        await c.beat()  # not all fell silent at the same beat
        epoch = (await a.beat()).stamp.epoch
        await live(store, LEASE + 6, a, b)
        assert a.listed().keys() == {"a", "b", "c", "d"}
        await d.beat()
        await live(store, 6, a, b, d)
        assert a.listed().keys() == {"a", "b", "d"}
        assert a.held.epoch == epoch + 1

    async def test_orderly_leaves_at_once(self, store: Store) -> None:
        """Leaving takes effect at once, however many leave."""
        a, b, c = await cluster(store, "a", "b", "c")
        for leaver in (b, c):
            await leaver.beat(State.DRAINING)
            assert (await leaver.beat(leaving=True)).view is None
        await a.beat()
        assert a.listed() == {"a": State.ACTIVE}

    async def test_silence_lapses_nobody(self, store: Store) -> None:
        """A store that nobody could reach, for however long, has removed nobody when it answers again."""
        a, b, c = await cluster(store, "a", "b", "c")
        before = a.held
        store.advance(1000 * LEASE)
        for caller in (a, b, c):
            await caller.beat()
        assert a.held == before

    async def test_dead_through_silence_lapse_after_it(self, store: Store) -> None:
        """A lease goes on ageing where it stood when the silence began."""
        a, b, _ = await cluster(store, "a", "b", "c")
        await live(store, 5, a, b)
        store.advance(500)
        await live(store, 3, a, b)
        assert "c" in a.listed()
        await live(store, 4, a, b)
        assert a.listed().keys() == {"a", "b"}

    async def test_clock_steps_harm_nobody(self, store: Store) -> None:
        """A step of the store's clock, either way, neither removes the living nor keeps the dead."""
        a, b, _ = await cluster(store, "a", "b", "c")
        for step in (3600, -7200, 3600):
            store.advance(step)
            await a.beat()
            await b.beat()
        assert a.listed().keys() == {"a", "b", "c"}
        await live(store, LEASE + 1, a, b)
        assert a.listed().keys() == {"a", "b"}

    async def test_back_empty_readers_keep_their_view(self, store: Store) -> None:
        """While an emptied store fills again, everybody keeps the view he has, and then all agree on a greater epoch."""
        callers = [*await cluster(store, "a", "b", "c"), Caller(store, "")]
        await callers[3].beat()
        before = callers[3].held
        store.forget()
        answers = [await caller.beat() for caller in (callers[3], *callers[:2])]
        assert all(answer.recovering and answer.view is None for answer in answers)
        await live(store, LEASE - 2, *callers)
        assert {caller.held for caller in callers} == {before}
        await live(store, 5, *callers)
        assert {caller.held for caller in callers} == {callers[3].held}
        assert callers[3].held.epoch > before.epoch
        assert callers[3].listed().keys() == {"a", "b", "c"}

    async def test_back_empty_found_by_a_newcomer(self, store: Store) -> None:
        """That a new replica finds the emptied store first does not hide that it was emptied."""
        a, b = await cluster(store, "a", "b")
        store.forget()
        newcomer = Caller(store, "c")
        await newcomer.beat()
        answer = await a.beat()
        assert answer.recovering
        assert answer.view is None
        assert answer.stamp.epoch > b.seen
        await live(store, LEASE + 3, a, b, newcomer)
        assert a.listed().keys() == {"a", "b", "c"}

    async def test_first_start_is_no_recovery(self, store: Store) -> None:
        """A cluster that starts for the first time need not wait for anything."""
        a, b = await cluster(store, "a", "b")
        assert not (await a.beat()).recovering
        assert a.held == b.held

    async def test_epoch_goes_past_what_anybody_has_seen(self, store: Store) -> None:
        """After a fail-over that lost epochs, the next view is numbered above every number a caller knows."""
        (a,) = await cluster(store, "a")
        a.seen = 40
        assert (await a.beat()).stamp.epoch == 41
        b = Caller(store, "b")
        await b.beat()
        assert b.held.epoch == 42

    async def test_same_epoch_with_other_members_is_numbered_anew(self, store: Store) -> None:
        """A caller whose view has the store's epoch but other members gets the store's members under a new epoch."""
        a, b = await cluster(store, "a", "b")
        elsewhere = Caller(store, "")
        await elsewhere.beat()
        held = ViewStamp(a.held.epoch, "0" * 16)
        answer = await store.call(Call(held, held.epoch, LEASE))
        assert answer.view is not None
        assert answer.view.epoch == held.epoch + 1
        await b.beat()
        assert b.held == answer.view.stamp

    async def test_newer_replica_on_one_endpoint_wins(self, store: Store) -> None:
        """The newer of two replicas on one endpoint replaces the older once it is active, and the older is told."""
        (old,) = await cluster(store, "a")
        new = Caller(store, "b", old.claim.endpoint if old.claim else "")
        await new.beat(State.JOINING)
        assert new.listed() == {"a": State.ACTIVE, "b": State.JOINING}
        assert (await old.beat()).standing is Standing.HELD
        await new.beat(State.ACTIVE)
        assert new.listed() == {"b": State.ACTIVE}
        assert (await old.beat()).standing is Standing.SUPERSEDED
        assert (await new.beat()).standing is Standing.HELD
        assert new.listed() == {"b": State.ACTIVE}

    async def test_start_sequence_outlives_the_store(self, store: Store) -> None:
        """Who started later is known even after the store was emptied, in whatever order they come back."""
        (old,) = await cluster(store, "a")
        store.advance(5)
        new = Caller(store, "b", old.claim.endpoint if old.claim else "")
        await new.beat(State.JOINING)
        assert new.start > old.start
        store.forget()
        await old.beat()
        await new.beat(State.ACTIVE)
        assert (await old.beat()).standing is Standing.SUPERSEDED

    async def test_first_joiner_sets_the_ring(self, store: Store) -> None:
        """The cluster goes by the first joiner's ring; who wants another is refused and told which is in force."""
        (a,) = await cluster(store, "a")
        other = Caller(store, "b", ring=RingParameters("consistent"))
        answer = await other.beat()
        assert answer.standing is Standing.REFUSED
        assert answer.ring == RingParameters("maglev")
        await a.beat()
        assert a.listed().keys() == {"a"}
        await a.beat(leaving=True)
        assert (await other.beat()).standing is Standing.HELD
        assert other.view is not None
        assert other.view.ring == RingParameters("consistent")

    async def test_late_call_undoes_nothing(self, store: Store) -> None:
        """A call carried out after a later one of the same replica does not put its state or its start back."""
        (a,) = await cluster(store, "a")
        stale = Call(NO_VIEW, 0, LEASE, a.claim, State.JOINING, 0)
        assert (await store.call(stale)).start == a.start
        await a.beat()
        assert a.listed() == {"a": State.ACTIVE}

    async def test_late_call_brings_nobody_back(self, store: Store) -> None:
        """A call carried out after its replica has left, however late, does not list it again."""
        a, b = await cluster(store, "a", "b")
        stale = Call(NO_VIEW, 0, LEASE, b.claim, State.ACTIVE, b.start)
        await b.beat(leaving=True)
        await b.beat(leaving=True)
        for silence in (0, 1, 500):
            store.advance(silence)
            assert (await store.call(stale)).standing is Standing.LEFT
        await a.beat()
        assert a.listed().keys() == {"a"}

    async def test_late_join_brings_nobody_back(self, store: Store) -> None:
        """Who leaves before ever having been listed changes no view and is not listed by its own delayed join."""
        a, b = Caller(store, "a"), Caller(store, "b")
        assert (await b.beat(leaving=True)).stamp == NO_VIEW
        assert (await a.beat()).stamp.epoch == 1
        assert (await b.beat(State.JOINING)).standing is Standing.LEFT
        await a.beat()
        assert a.listed().keys() == {"a"}

    async def test_bounded_memory_of_who_left(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """As many ids that left are remembered as there may be members, the newest."""
        monkeypatch.setattr("gateway.limits.MEMBERS_MAX", 2)
        leavers = await cluster(store, "a", "b")
        for leaver in (*leavers, *leavers, Caller(store, "c")):
            await leaver.beat(leaving=True)
        standings = [(await Caller(store, name).beat()).standing for name in ("c", "b", "a")]
        assert standings == [Standing.LEFT, Standing.LEFT, Standing.HELD]

    async def test_silence_gives_back_no_time(self, store: Store) -> None:
        """Who was silent for most of its lease before the store was has only the rest of it after, and may then come back."""
        a, b, c = await cluster(store, "a", "b", "c")
        await live(store, LEASE - 1, a, b)
        store.advance(60)
        await a.beat()
        assert a.listed().keys() == {"a", "b", "c"}
        await live(store, 1, a, b)
        assert a.listed().keys() == {"a", "b"}
        await c.beat()
        assert c.listed().keys() == {"a", "b", "c"}

    async def test_weight_and_ring_name_are_part_of_the_view(self, store: Store) -> None:
        """A member's weight and ring name reach every reader."""
        await Caller(store, "a", ring_name="sampler-0", weight=3).beat()
        reader = Caller(store, "")
        await reader.beat()
        assert reader.view is not None
        assert [(m.name, m.weight) for m in reader.view.members] == [("sampler-0", 3)]

    async def test_bounded_members(self, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        """More members than a view may have are refused."""
        monkeypatch.setattr("gateway.limits.MEMBERS_MAX", 2)
        await cluster(store, "a", "b")
        assert (await Caller(store, "c").beat()).standing is Standing.FULL


@pytest.mark.integration
async def test_script_flush_is_survived(real: Real) -> None:
    """A Redis that has forgotten the script is given it again within the same call."""
    (a,) = await cluster(real, "a")
    real.redis.script_flush()
    assert (await a.beat()).standing is Standing.HELD


@pytest.mark.integration
@pytest.mark.parametrize("lost", [0, 1, 2])
async def test_one_key_lost(real: Real, lost: int) -> None:
    """Should Redis evict one of the three keys, the members are whole again after their next beats."""
    a, b = await cluster(real, "a", "b")
    real.redis.delete(keys(CLUSTER)[lost])
    await live(real, 1, a, b)
    await live(real, LEASE + 2, a, b)
    assert a.listed().keys() == b.listed().keys() == {"a", "b"}
    assert a.held == b.held
    await live(real, 2 * LEASE + 2, a)
    assert a.listed().keys() == {"a"}


@pytest.mark.integration
async def test_keys_share_one_hash_slot(real: Real) -> None:
    """All that is stored carries the cluster's hash tag, so that a Redis Cluster keeps it together."""
    await cluster(real, "a")
    assert sorted(real.redis.keys()) == sorted(keys(CLUSTER))
    assert all(key.startswith("{tailgate:test}:") for key in keys(CLUSTER))


@pytest.mark.integration
async def test_epochs_are_published(real: Real) -> None:
    """Every new epoch is published once; a renewal publishes nothing."""
    with real.redis.pubsub() as hints:
        hints.subscribe(lease_store.channel(CLUSTER))
        assert hints.get_message(timeout=PATIENCE) is not None
        (a,) = await cluster(real, "a")
        await a.beat(State.DRAINING)
        heard = [hints.get_message(timeout=PATIENCE) for _ in range(2)]
        assert [message["data"] for message in heard if message] == ["1", "2"]
        assert hints.get_message(timeout=0) is None


@pytest.mark.integration
async def test_members_shows_the_view(real: Real, server: RedisServer) -> None:
    """`tailgate members` shows the view as it stands, and only reads."""
    a, _ = await cluster(real, "a", "b")
    shown = await lease_store.members(server.url, CLUSTER)
    assert (shown["epoch"], shown["digest"]) == a.held
    assert (shown["ring"], shown["recovering"]) == ("maglev/1/65537", False)
    rows = shown["members"]
    assert isinstance(rows, list)
    assert [row["id"] for row in rows] == ["a", "b"]
    assert 0 < rows[0].pop("lease_seconds_left") <= LEASE
    assert rows[0] == {
        "id": "a",
        "endpoint": "host-a:4317",
        "http": "",
        "admin": "",
        "ring_name": "host-a:4317",
        "state": "active",
        "weight": 1,
    }


@pytest.mark.integration
async def test_members_of_an_empty_redis(server: RedisServer, real: Real) -> None:
    """A cluster nobody has joined is shown as empty."""
    shown = await lease_store.members(server.url, "nobody")
    assert (shown["epoch"], shown["members"]) == (0, [])


async def test_unreachable_is_one_line_without_secrets() -> None:
    """A Redis that cannot be reached is named in one line, its password is not."""
    with pytest.raises(StartupError) as caught:
        await lease_store.members("redis://user:secret@127.0.0.1:1/0", CLUSTER)
    assert "redis://user:***@127.0.0.1:1/0" in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("rediss://:secret@redis:6380", "rediss://:***@redis:6380"),
        ("redis://redis/0?password=secret&db=1", "redis://redis/0?password=***&db=1"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?db=1"),
    ],
)
def test_passwords_are_masked(url: str, shown: str) -> None:
    """A URL is shown with its place and without its secrets."""
    assert masked(url) == shown


def test_url_that_is_none() -> None:
    """A URL of another kind is a mistake in words."""
    with pytest.raises(StartupError, match="not a Redis URL: http://redis"):
        connect("http://redis")


@pytest.mark.parametrize(
    "reply",
    [
        [],
        ["held", "x", "d", 0, "10000", "1", "maglev/1/65537"],
        ["married", "1", "d", 0, "10000", "1", "maglev/1/65537"],
        ["held", "1", "d", 0, "10000", "1", "maglev/1/65537", "", ["a", "nonsense"]],
        ["held", "1", "wrong", 0, "10000", "1", "maglev/1/65537", "", ["a", "h:1\th:1\tactive\t1\t1"]],
    ],
)
def test_answers_that_make_no_sense(reply: list[object]) -> None:
    """An answer of another release, or of somebody else's hand, is a failed call and not a view."""
    with pytest.raises(LeaseStoreError):
        parse_reply(reply)


@pytest.mark.parametrize("parameters", [RingParameters("rendezvous"), RingParameters("maglev", 2)])
def test_view_of_another_ring_is_not_taken(parameters: RingParameters) -> None:
    """A view whose ring this release cannot build is a failed call, so the last view stays in force."""
    leases = SimulatedLeases()
    view = leases.call(Call(NO_VIEW, 0, LEASE, Claim("a", "h:1", ring=parameters))).view
    assert view is not None
    members = ["a", f"h:1\th:1\tjoining\t1\t{view.members[0].start}"]
    with pytest.raises(LeaseStoreError, match="ring"):
        parse_reply(["held", "1", view.digest, 0, "10000", "1", str(parameters), "", members])


async def test_an_http_address_is_carried(store: Store) -> None:
    """Members say where they take OTLP/HTTP, beside others that take none; a newer replica on an endpoint still wins."""
    one, other = Caller(store, "a1", http="host-a1:4318"), Caller(store, "b2")
    await one.beat()
    await other.beat()
    await one.beat()
    assert one.view is not None
    assert {member.id: member.http for member in one.view.members} == {"a1": "host-a1:4318", "b2": ""}
    newer = Caller(store, "c3", "host-a1:4317", http="host-a1:5318")
    await newer.beat()
    await other.beat()
    assert other.view is not None
    assert {member.id: member.http for member in other.view.members} == {"b2": "", "c3": "host-a1:5318"}
    assert (await one.beat()).standing is Standing.SUPERSEDED


@pytest.mark.parametrize("http", ["", "host-a1:4318"])
async def test_an_admin_address_is_carried(store: Store, http: str) -> None:
    """Members say where their admin pages are, with or without an HTTP address before it."""
    one, other = Caller(store, "a1", http=http, admin="host-a1:13133"), Caller(store, "b2")
    await one.beat()
    await other.beat()
    await one.beat()
    assert one.view is not None
    found = {member.id: (member.http, member.admin) for member in one.view.members}
    assert found == {"a1": (http, "host-a1:13133"), "b2": ("", "")}
