"""Exporters `debug` and `file`: kept traces for people and for programs on the same machine.

Owns their keys.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from gateway.config import settings
from gateway.config.block import Block
from gateway.config.scalars import Choice, Switch, Text, Unbuilt


class DebugExporter(Block):
    """Prints kept traces on standard output."""

    unbuilt: ClassVar[Unbuilt] = {
        "output_paths": "",
        "sampling_initial": "",
        "sampling_thereafter": "",
        "sending_queue": "",
        "use_internal_logger": "",
    }

    verbosity: Annotated[str, Choice(("basic", "normal", "detailed"), fold=True)] = Field(
        "basic",
        description="`basic`: one line a batch; `normal`: one a trace, with its id in hex; `detailed`: one a span as well.",
    )

    def settings(self, name: str) -> settings.DebugExporter:
        """The settings of this exporter under its id."""
        return settings.DebugExporter(name, self.verbosity)


class FileExporter(Block):
    """Writes kept traces to a file as OTLP/JSON, one export request a line."""

    unbuilt: ClassVar[Unbuilt] = {
        "compression": "",
        "compression_params": "",
        "create_directory": "",
        "directory_permissions": "",
        "encoding": "",
        "flush_interval": "",
        "group_by": "",
        "rotation": "",
    }

    path: Annotated[str, Text("the path of a file", r"[^\0]+")] = Field(description="The file to write.")
    format: Annotated[str, Choice(("json",), (("proto", ""),))] = Field(
        "json", description="OTLP/JSON, the only one built."
    )
    append: Annotated[bool, Switch()] = Field(
        False, description="`true` adds to a file that is there; `false` begins it anew at start, as in the Collector."
    )

    def settings(self, name: str) -> settings.FileExporter:
        """The settings of this exporter under its id."""
        return settings.FileExporter(name, self.path, self.append)
