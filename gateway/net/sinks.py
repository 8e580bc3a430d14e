"""The exporters that stay on this machine: `debug` prints what is kept, `file` appends OTLP/JSON lines."""

from __future__ import annotations

import errno
import os
import stat
import sys
import threading
from pathlib import Path
from typing import Protocol, TextIO

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway.config.settings import DebugExporter, FileExporter
from gateway.errors import StartupError
from gateway.otlp.otlp_json import to_json_line

_STATUS = ("unset", "ok", "error")


class Sink(Protocol):
    """Takes kept requests as they leave the core."""

    def write(self, request: bytes, spans: int) -> None:
        """Deliver one request. Raises OSError if it could not be; the core tries again."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


class DebugSink:
    """Prints one line a request (basic), a line a trace (normal) or a line a span as well (detailed)."""

    def __init__(self, settings: DebugExporter, out: TextIO | None = None) -> None:
        self._verbosity = settings.verbosity
        self._out = out or sys.stdout

    def write(self, request: bytes, spans: int) -> None:
        """Print the request."""
        lines = (
            [f"kept {spans} spans"] if self._verbosity == "basic" else describe(request, self._verbosity == "detailed")
        )
        text = "\n".join(lines) + "\n"
        encoding = self._out.encoding or "utf-8"
        self._out.write(
            text.encode(encoding, "backslashreplace").decode(encoding)
        )  # not every terminal knows every letter
        self._out.flush()

    def close(self) -> None:
        """Nothing is held."""


def describe(request: bytes, detailed: bool) -> list[str]:
    """The request for people: a line a trace with its id in hex, with `detailed` a line a span below it."""
    traces: dict[bytes, list[tuple[str, Span]]] = {}
    for resource_spans in ExportTraceServiceRequest.FromString(request).resource_spans:
        named = (_text(pair.value) for pair in resource_spans.resource.attributes if pair.key == "service.name")
        service = next(named, "unknown_service")
        for scope_spans in resource_spans.scope_spans:
            for span in scope_spans.spans:
                traces.setdefault(span.trace_id, []).append((service, span))
    lines = []
    for trace_id, spans in traces.items():
        start = min(span.start_time_unix_nano for _, span in spans)
        took = (max(span.end_time_unix_nano for _, span in spans) - start) / 1e6
        worst = _STATUS[2] if any(span.status.code == 2 for _, span in spans) else "no error"
        lines.append(f"kept trace {trace_id.hex()}: {len(spans)} spans, {took:.1f} ms, {worst}")
        if detailed:
            lines += [_describe_span(service, span, start) for service, span in spans]
    return lines


def _describe_span(service: str, span: Span, start: int) -> str:
    at, took = (span.start_time_unix_nano - start) / 1e6, (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
    status = _STATUS[span.status.code] if 0 <= span.status.code < len(_STATUS) else str(span.status.code)
    who = f"{_printable(service)}: {_printable(span.name)}"
    return f"    {span.span_id.hex()} {who} at +{at:.1f} ms for {took:.1f} ms, {status}"


def _text(value: AnyValue) -> str:
    kind = value.WhichOneof("value")
    return str(getattr(value, kind)) if kind else ""


def _printable(text: str) -> str:
    """The text without line breaks and terminal controls: agents choose names, and a name must not look like a line of ours."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


class FileSink:
    """Appends one OTLP/JSON line a request."""

    def __init__(self, settings: FileExporter) -> None:
        try:
            # unbuffered: what a failed write leaves behind must not come out later
            self._file = Path(settings.path).open("ab", buffering=0)  # noqa: SIM115 -- open as long as the process
            self._regular = stat.S_ISREG(os.fstat(self._file.fileno()).st_mode)  # a pipe or device cannot be cut
            if self._regular and not settings.append:
                self._file.truncate(0)
        except OSError as error:
            raise StartupError(f"exporter {settings.name}: cannot write {settings.path}: {error.strerror}") from error
        self._lock = threading.Lock()  # requests are written on threads; taking back one must not take back another

    def write(self, request: bytes, spans: int) -> None:
        """Append the request; a line that came out short (disk full) is taken back and OSError raised."""
        line = to_json_line(request)
        with self._lock:
            at = self._file.seek(0, os.SEEK_END) if self._regular else 0
            written = self._file.write(line)
            if written != len(line) and self._regular:
                self._file.truncate(at)
        if written != len(line):
            raise OSError(errno.ENOSPC, f"only {written} of {len(line)} bytes could be written")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_sink(settings: DebugExporter | FileExporter) -> Sink:
    """The sink for these settings. Raises StartupError."""
    return DebugSink(settings) if isinstance(settings, DebugExporter) else FileSink(settings)
