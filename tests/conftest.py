"""What all tests share."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# No timing assertions: a busy machine is not a failing test.
settings.register_profile(
    "tailgate",
    deadline=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    print_blob=True,
)
settings.load_profile("tailgate")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--rewrite`: golden transcripts are written instead of compared."""
    parser.addoption("--rewrite", action="store_true", help="write golden transcripts instead of comparing them")
