"""gateway.net.tier: how the command finds the tiers."""

from __future__ import annotations

from importlib.metadata import EntryPoint

import pytest

from gateway.errors import StartupError
from gateway.net import tier

STAND_IN = object()


def test_a_process_alone_is_worker_0_of_1() -> None:
    """Unless told otherwise a process is the only worker and answers on the configured addresses itself."""
    assert tier.Worker() == tier.Worker(index=0, workers=1, admin_socket="")


def test_tiers_are_found_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tier is what the entry point of its name in the group tailgate.tiers offers."""

    def installed(*, group: str, name: str) -> list[EntryPoint]:
        assert (group, name) == ("tailgate.tiers", "sampler")
        return [EntryPoint(name, "tests_stand_in:TIER", group)]

    monkeypatch.setattr(tier, "entry_points", installed)
    monkeypatch.setattr(EntryPoint, "load", lambda self: STAND_IN)
    assert tier.find("sampler") is STAND_IN


def test_a_tier_that_is_not_installed_is_a_clear_error() -> None:
    """A tier that the installation lacks is an error that names it, not a stack trace."""
    with pytest.raises(StartupError, match="no tier named 'conductor'"):
        tier.find("conductor")
