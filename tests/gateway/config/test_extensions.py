"""gateway.config.extensions"""

from __future__ import annotations

from gateway.config import load, settings
from gateway.config.block import examine
from gateway.config.extensions import HealthCheck, RedisMembership
from gateway.config.settings import Endpoint, RedisCluster

LEAST = "url: redis://r\nadvertise: s:4317\n"


def membership(text: str) -> tuple[RedisMembership | None, list[str]]:
    block, mistakes = examine(RedisMembership, load([("f", text)], {}).root, ())
    return block, [f"{mistake.path}: {mistake.message}" for mistake in sorted(mistakes)]


def test_health_is_asked_where_the_collectors_is() -> None:
    """Nothing under health_check means localhost:13133, path /."""
    block, _ = examine(HealthCheck, load([("f", "")], {}).root, ())
    assert block is not None and block.settings() == settings.HealthCheck(Endpoint("localhost", 13133), "/")


def test_a_member_needs_a_redis_and_an_address() -> None:
    """All else has defaults."""
    block, _ = membership(LEAST)
    assert block is not None
    assert block.settings() == settings.RedisMembership(RedisCluster("redis://r"), Endpoint("s", 4317))
    assert membership("{}")[1] == [': the key "advertise" is missing', ': the key "url" is missing']


def test_every_key_of_a_member_arrives() -> None:
    """What the file says is what the member is built from."""
    block, _ = membership(
        LEAST
        + "cluster: c\nring_name: n\nweight: 2\nlease: 3s\npoll: 500ms\ndrain_timeout: 9s\nduplicate_window: 0\nring: maglev"
    )
    assert block is not None
    assert block.settings() == settings.RedisMembership(
        RedisCluster("redis://r", "c", 0.5), Endpoint("s", 4317), "n", 2, 3.0, 9.0, 0.0, "maglev"
    )


def test_a_lease_outlives_three_polls() -> None:
    """A poll longer than a third of the lease is pointed at where the file set it, else at the lease."""
    assert membership(LEAST + "lease: 3s")[1] == []
    assert membership(LEAST + "lease: 2s")[1] == ["lease: poll (1s) must be at most a third of lease (2s)"]
    assert membership(LEAST + "poll: 5s")[1] == ["poll: poll (5s) must be at most a third of lease (10s)"]
