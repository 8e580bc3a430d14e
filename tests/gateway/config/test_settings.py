"""gateway.config.settings"""

from __future__ import annotations

import pytest

from gateway.config.settings import Endpoint


@pytest.mark.parametrize(("endpoint", "text"), [(Endpoint("a", 1), "a:1"), (Endpoint("::1", 4317), "[::1]:4317")])
def test_endpoints_are_written_as_they_are_dialled(endpoint: Endpoint, text: str) -> None:
    """An IPv6 host stands in brackets."""
    assert str(endpoint) == text


def test_workers_take_the_ports_that_follow() -> None:
    """Worker i listens on port + i of the same host."""
    assert Endpoint("a", 4317).offset(2) == Endpoint("a", 4319)
