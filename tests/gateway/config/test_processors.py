"""gateway.config.processors"""

from __future__ import annotations

import pytest

from gateway import limits
from gateway.config import load, settings
from gateway.config.block import examine
from gateway.config.processors import Batch, MemoryLimiter


def limiter(text: str) -> settings.MemoryLimiter:
    block, mistakes = examine(MemoryLimiter, load([("f", text)], {}).root, ())
    assert block is not None, mistakes
    return block.settings()


def mistakes(model: type[MemoryLimiter] | type[Batch], text: str) -> list[str]:
    return [mistake.message for mistake in sorted(examine(model, load([("f", text)], {}).root, ())[1])]


@pytest.mark.parametrize(
    ("text", "mib"),
    [
        ("{limit_mib: 1000}", 800),
        ("{limit_mib: 1000, spike_limit_mib: 0}", 800),
        ("{limit_mib: 1000, spike_limit_mib: 100}", 900),
    ],
)
def test_the_budget_is_the_collectors_soft_limit(text: str, mib: int) -> None:
    """The budget is the limit less the spike limit, which is a fifth of it unless set."""
    assert limiter(text) == settings.MemoryLimiter(limit_bytes=mib * limits.MIB)


def test_a_percentage_stays_a_share() -> None:
    """Who knows the machine makes bytes of it."""
    assert limiter("{limit_percentage: 80, spike_limit_percentage: 25}").limit_share == pytest.approx(0.55)
    assert limiter("{limit_percentage: 50, check_interval: 1s}").limit_share == pytest.approx(0.4)


def test_a_limit_must_be_clear() -> None:
    """No limit, two limits, and a spike limit that leaves nothing are mistakes."""
    assert mistakes(MemoryLimiter, "check_interval: 1s") == ["one of limit_mib and limit_percentage must be set"]
    assert mistakes(MemoryLimiter, "{limit_mib: 1, limit_percentage: 1}") == [
        "stands beside limit_mib; only one of the two can count"
    ]
    assert mistakes(MemoryLimiter, "{limit_percentage: 20, spike_limit_percentage: 20}") == [
        "must be smaller than limit_percentage"
    ]
    assert mistakes(MemoryLimiter, "{limit_mib: 1, check_interval: 0s}") == ['must be above 0s, got "0s"']


def test_batches_default_as_in_the_collector() -> None:
    """Nothing under batch means 200 ms and 8192 spans without a maximum."""
    block, _ = examine(Batch, load([("f", "")], {}).root, ())
    assert block is not None and block.settings() == settings.Batch(0.2, 8192, 0)


def test_a_batchs_maximum_holds_its_size() -> None:
    """A maximum below the size is a mistake; 0 is no maximum, and the same number is one."""
    assert mistakes(Batch, "{send_batch_size: 10, send_batch_max_size: 9}") == [
        "must be 0 or at least send_batch_size (10)"
    ]
    assert mistakes(Batch, "{send_batch_size: 10, send_batch_max_size: 10}") == []
    assert mistakes(Batch, "{send_batch_size: 0}") == ["expected 1 or more, got 0: to send at once, set timeout to 0s"]
