"""sampler.ottl: what others use of it."""

from __future__ import annotations

from sampler import ottl


def test_all_that_others_need_is_here() -> None:
    """Conditions, what compiles them, and what is raised where they are wrong."""
    assert ottl.__all__ == ["Condition", "OttlError", "compile_any", "compile_condition"]
    assert isinstance(ottl.compile_condition("true", "span"), ottl.Condition)
