"""gateway.config.reference"""

from __future__ import annotations

from pathlib import Path

from gateway.config.exporters import FileExporter
from gateway.config.otlp import OtlpExporter
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
    assert "policies[].latency.threshold_ms" in [row.key for row in rows(TailSampling)]
