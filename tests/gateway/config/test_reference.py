"""gateway.config.reference"""

from __future__ import annotations

import re
from pathlib import Path

from gateway.config import load
from gateway.config.block import examine
from gateway.config.exporters import FileExporter
from gateway.config.otlp import OtlpExporter
from gateway.config.policies import POLICY_TYPES, Composite, Not
from gateway.config.reference import Row, document, rows
from gateway.config.tail_sampling import TailSampling

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "CONFIGURATION.md"


def test_the_committed_document_is_current() -> None:
    """docs/CONFIGURATION.md says what the models say (python -m gateway.config.reference > docs/CONFIGURATION.md)."""
    assert DOCUMENT.read_text(encoding="utf-8") == document()


def test_tables_show_key_value_default_and_meaning() -> None:
    """Every key has a line of its own."""
    assert next(rows(FileExporter)) == Row("path", "text", "**required**", "The file to write.")


def test_nested_keys_are_written_with_their_path() -> None:
    """Keys of inner blocks and of lists are found under their dotted path."""
    assert "retry_on_failure.max_elapsed_time" in [row.key for row in rows(OtlpExporter)]
    assert "decision_cache.sampled_cache_size" in [row.key for row in rows(TailSampling)]
    assert "rate_allocation[].percent" in [row.key for row in rows(Composite)]


def test_policies_have_a_chapter_of_their_own() -> None:
    """A policy inside another is not written out again: each type is described once, with an example that loads."""
    assert [row.kind for row in rows(TailSampling) if row.key == "policies"] == ["list of policies"]
    assert [row.kind for row in rows(Not)] == ["policy"]
    text = document()
    for kind in POLICY_TYPES:
        (example,) = re.findall(rf"\n#### `{kind}`\n.*?```yaml\n(.*?)```", text, re.DOTALL)
        tail_sampling, mistakes = examine(TailSampling, load([("f", f"policies:\n{example}")], {}).root, ())
        assert tail_sampling is not None and not mistakes
        assert [policy.type for policy in tail_sampling.policies] == [kind]
