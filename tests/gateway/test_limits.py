"""gateway.limits: every bound has its reason, and the relations between bounds are checked where they are declared."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from gateway import limits

SOURCE = Path(limits.__file__)
NUMBERS = {name: value for name, value in vars(limits).items() if name.isupper()}


@pytest.mark.parametrize("name", NUMBERS)
def test_bounds_are_positive_numbers(name: str) -> None:
    """Every bound is a number above zero."""
    assert isinstance(NUMBERS[name], (int, float))
    assert NUMBERS[name] > 0


def test_sizes_are_whole_bytes() -> None:
    """Bounds in bytes are whole numbers."""
    assert all(isinstance(value, int) for name, value in NUMBERS.items() if "_BYTES" in name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REQUEST_BYTES_MAX", 16 * limits.MIB * 16),  # one request would not fit an idle balancer
        ("SILENCE_MAX", 6.0),  # noticed later than the attempt is given up
        ("POLL", 4.0),  # a lease would lapse between two looks
        ("DRAIN_TIMEOUT", 31.0),  # Kubernetes kills first
        ("FORWARD_REQUEST_BYTES_MAX", 65 * limits.MIB),  # our own sampler would refuse it
        ("RETRY_AFTER", 6.0),
    ],
)
def test_a_bound_that_breaks_a_relation_stops_the_import(name: str, value: float) -> None:
    """Changing one bound against the others is noticed at import, not in production."""
    line = re.compile(rf"^{name} = [^#\n]+", re.M)
    source, count = line.subn(f"{name} = {value!r}  ", SOURCE.read_text())
    assert count == 1
    with pytest.raises(AssertionError):
        exec(compile(source, name, "exec"), {})


def test_relations_are_asserted() -> None:
    """The relations are asserted in the module itself."""
    asserts = [node for node in ast.parse(SOURCE.read_text()).body if isinstance(node, ast.Assert)]
    assert len(asserts) >= 8
