"""gateway.config.exporters"""

from __future__ import annotations

from gateway.config import load, settings
from gateway.config.block import examine
from gateway.config.exporters import DebugExporter, FileExporter


def test_debug_is_brief_unless_told_otherwise() -> None:
    """Verbosity is basic by default and takes any case, as in the Collector."""
    block, _ = examine(DebugExporter, load([("f", "")], {}).root, ())
    assert block is not None and block.settings("debug") == settings.DebugExporter("debug", "basic")
    block, _ = examine(DebugExporter, load([("f", "verbosity: Detailed")], {}).root, ())
    assert block is not None and block.verbosity == "detailed"


def test_a_file_is_begun_anew_unless_appended_to() -> None:
    """append is off by default, as in the Collector."""
    block, _ = examine(FileExporter, load([("f", "path: /tmp/out.jsonl")], {}).root, ())
    assert block is not None and block.settings("file") == settings.FileExporter("file", "/tmp/out.jsonl", False)
    block, _ = examine(FileExporter, load([("f", "{path: a, append: true, format: json}")], {}).root, ())
    assert block is not None and block.settings("file").append is True


def test_other_formats_are_refused_by_name() -> None:
    """Only OTLP/JSON is written."""
    _, mistakes = examine(FileExporter, load([("f", "{path: a, format: proto}")], {}).root, ())
    assert [mistake.message for mistake in mistakes] == ['"proto" is not built yet']
