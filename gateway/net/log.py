"""structlog: JSON lines on stderr, a readable form on a terminal. Nothing is logged per request at info."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any

import orjson
import structlog

from gateway import limits
from gateway.config.settings import Telemetry
from gateway.core import Level, Note

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def configure(telemetry: Telemetry, component: str) -> None:
    """Set up logging for the process, libraries included. `component` names the tier on every line."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its core writes to stderr past every handler
    level = _LEVELS.get(telemetry.log_level, logging.INFO)
    console = telemetry.log_encoding == "console" or (telemetry.log_encoding == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if console:
        rendering: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    else:
        rendering = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_dumps)]
    structlog.configure(
        processors=[*shared, *rendering],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(component=component, pid=os.getpid())
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering]
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(level, logging.WARNING))  # libraries speak at info for every connection


def get(**fields: object) -> Any:
    """A logger with these fields on every line."""
    return structlog.get_logger().bind(**fields)


def _dumps(event: dict[str, Any], **_: Any) -> str:
    try:
        return orjson.dumps(event, default=str).decode()
    except TypeError:  # integers beyond 64 bits, text that is not UTF-8, keys that are not text
        return json.dumps(event, default=str, skipkeys=True)


class Notes:
    """Performs Note: logs it, at most NOTES_PER_EVENT lines of one event per NOTE_WINDOW; what was left out is counted."""

    def __init__(self) -> None:
        self._log = get()
        self._windows: dict[str, tuple[float, int]] = {}  # event: (when its window began, lines in it)

    def write(self, note: Note) -> None:
        """Log one note."""
        now = time.monotonic()
        began, lines = self._windows.get(note.event, (now, 0))
        fields = dict(note.fields)
        if now - began >= limits.NOTE_WINDOW:
            if lines > limits.NOTES_PER_EVENT:
                fields["left_out"] = lines - limits.NOTES_PER_EVENT
            began, lines = now, 0
        self._windows[note.event] = (began, lines + 1)
        if lines < limits.NOTES_PER_EVENT:
            self._method(note.level)(note.event, **fields)

    def _method(self, level: Level) -> Any:
        match level:
            case Level.INFO:
                return self._log.info
            case Level.WARNING:
                return self._log.warning
            case Level.ERROR:
                return self._log.error
