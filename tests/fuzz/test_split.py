"""A short run of the wire's fuzzer, the same each time; `python -m tests.fuzz.split SECONDS SEED` runs as long as you like."""

from __future__ import annotations

import pytest

from tests.fuzz.split import check, run, seeds


def test_seeds_are_requests() -> None:
    """The requests that the fuzzer begins with are taken, and everything holds of them."""
    assert all(check(request) for request in seeds())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mutated_requests_are_refused_or_read(seed: int) -> None:
    """Of thousands of damaged requests each is refused as malformed or read as the official classes read it."""
    count, taken = run(iter(range(1500)), seed)
    assert count == 1500
    assert 100 < taken < 1400, "neither all nor none: the fuzzer reaches both sides"
