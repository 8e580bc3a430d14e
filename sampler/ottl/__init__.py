"""Conditions in OTTL, the Collector's transformation language: the part of it that sampling rules are written in."""

from __future__ import annotations

from sampler.ottl.condition import Condition, compile_any, compile_condition
from sampler.ottl.errors import OttlError

__all__ = ["Condition", "OttlError", "compile_any", "compile_condition"]
