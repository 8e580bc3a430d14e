"""The balancer's bench runs."""

from __future__ import annotations

import pytest

from bench import balancer


@pytest.mark.integration
def test_a_balancer_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    """Our native front takes the load, compressed too."""
    assert balancer.main(["--tiny", "--subjects", "native", "--cases", "32x8z"]) == 0
    told = capsys.readouterr().out
    assert "lost 0" in told and "| balancer, native | 32 gzip (8) |" in told
