"""gateway.net.log: one JSON object a line, a readable form on request, and a bound on how much is said."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import structlog

from gateway import limits
from gateway.config.settings import Endpoint, OtlpClient, RedisCluster, Telemetry
from gateway.core import Level, Note
from gateway.net import log


@pytest.fixture(autouse=True)
def put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Logging is the process's: what a test sets up must not reach the next."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    monkeypatch.setenv("GRPC_VERBOSITY", "NONE")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return [json.loads(line) for line in captured.err.split("\n")[:-1]]


def test_lines_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Each line is a JSON object with event, level, instant in UTC, component, process and the fields."""
    log.configure(Telemetry(log_encoding="json"), "sampler")
    log.get(exporter="otlp").info("sampler_started", port=4317)
    (line,) = lines(capsys)
    assert datetime.fromisoformat(line.pop("timestamp")).utcoffset() is not None
    assert line == {
        "event": "sampler_started",
        "level": "info",
        "component": "sampler",
        "pid": os.getpid(),
        "exporter": "otlp",
        "port": 4317,
    }


STRANGE: dict[str, object] = {
    "lines": "one\ntwo\r\n\x1b[2J\u2028",
    "quotes": '"}{\\',
    "letters": "Bestätigung \N{SNOWMAN}",
    "bytes": b"\xff\x00",
    "half a letter": "\udcff",
    "a huge number": 2**70,
    "not a number": float("nan"),
    "an object": object(),
    "a set": {1},
    "an endpoint": Endpoint("::1", 4317),
    "keys that are no text": {1: {b"x": 2}},
    "an error": ValueError("no"),
    "many": list(range(10)),
}


@pytest.mark.parametrize("which", STRANGE)
def test_any_field_makes_a_valid_line(which: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stands in a field, the line is one line of JSON: a log line never ends the process."""
    log.configure(Telemetry(log_encoding="json"), "sampler")
    log.Notes().write(Note(Level.WARNING, "strange", {"what": STRANGE[which], "last": 1}))
    (line,) = lines(capsys)
    assert (line["event"], line["last"]) == ("strange", 1)


def test_libraries_speak_json_too(capsys: pytest.CaptureFixture[str]) -> None:
    """What libraries log, stack traces included, is in the same form; their small talk at info is left out."""
    log.configure(Telemetry(log_encoding="json"), "sampler")
    logging.getLogger("redis").info("connected")
    logging.getLogger("redis").warning("slow by %d ms", 12)
    try:
        raise ValueError("no\nway")
    except ValueError:
        logging.getLogger("asyncio").exception("oops")
    slow, oops = lines(capsys)
    assert (slow["event"], slow["level"], slow["component"]) == ("slow by 12 ms", "warning", "sampler")
    assert (oops["event"], oops["level"]) == ("oops", "error")
    assert "ValueError: no\nway" in oops["exception"]


def test_stack_traces_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception that is logged is a field of its line."""
    log.configure(Telemetry(log_encoding="json"), "sampler")
    try:
        raise ValueError("no")
    except ValueError:
        log.get().exception("oops")
    (line,) = lines(capsys)
    assert "Traceback" in line["exception"]


@pytest.mark.parametrize(
    ("level", "seen"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warn", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_is_obeyed(level: str, seen: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing below the configured level is written."""
    log.configure(Telemetry(log_level=level, log_encoding="json"), "sampler")
    logger = log.get()
    for name in ("debug", "info", "warning", "error"):
        getattr(logger, name)("said")
    assert [line["level"] for line in lines(capsys)] == seen


def test_console_is_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """The console form is plain text with the fields as key=value; auto is JSON where there is no terminal."""
    log.configure(Telemetry(log_encoding="console"), "sampler")
    log.get().info("started", port=4317)
    text = capsys.readouterr().err
    assert "started" in text
    assert "port=4317" in text
    assert "{" not in text
    log.configure(Telemetry(log_encoding="auto"), "sampler")
    log.get().info("started")
    assert lines(capsys)[0]["event"] == "started"


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


def test_notes_are_bounded_in_rate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one event only a few lines are written in a window; the first of the next says how many were left out."""
    clock = Clock()
    monkeypatch.setattr(log, "time", clock)
    log.configure(Telemetry(log_encoding="json"), "sampler")
    notes = log.Notes()
    for number in range(100):
        notes.write(Note(Level.ERROR, "spans_lost", {"number": number}))
    notes.write(Note(Level.INFO, "other"))
    said = lines(capsys)
    assert [line.get("number") for line in said] == [*range(limits.NOTES_PER_EVENT), None]
    assert not [line for line in said if "left_out" in line]
    clock.now += limits.NOTE_WINDOW
    for number in range(2):
        notes.write(Note(Level.ERROR, "spans_lost", {"number": number}))
    assert [line.get("left_out") for line in lines(capsys)] == [100 - limits.NOTES_PER_EVENT, None]
    clock.now += limits.NOTE_WINDOW
    notes.write(Note(Level.ERROR, "spans_lost"))
    assert "left_out" not in lines(capsys)[0]


def test_a_note_keeps_its_fields(capsys: pytest.CaptureFixture[str]) -> None:
    """Writing a note leaves the note as it was, and its level is the line's."""
    log.configure(Telemetry(log_encoding="json"), "sampler")
    notes = log.Notes()
    for level in Level:
        note = Note(level, f"said_{level.value}", {"a": 1})
        notes.write(note)
        assert note.fields == {"a": 1}
    assert [line["level"] for line in lines(capsys)] == ["info", "warning", "error"]


@pytest.mark.integration
def test_nothing_else_is_on_stderr() -> None:
    """With grpc's core refused a port and garbage sent to an HTTP port, stderr holds our JSON lines and nothing else."""
    program = """
import asyncio, socket
from gateway.config.settings import Endpoint, GrpcListener, HttpListener, Telemetry
from gateway.errors import StartupError
from gateway.net import log

log.configure(Telemetry(log_encoding="json"), "test")
from gateway.net.grpc_server import GrpcServer
from gateway.net.http_server import HttpServer
from gateway.net.intake import Intake

async def main():
    intake = Intake(lambda event: None)
    taken = socket.create_server(("127.0.0.1", 0))
    try:
        await GrpcServer(GrpcListener(Endpoint("127.0.0.1", taken.getsockname()[1])), intake).start()
    except StartupError as error:
        log.get().error("startup", reason=str(error))
    server = HttpServer(HttpListener(Endpoint("127.0.0.1", 0)), intake)
    reader, writer = await asyncio.open_connection("127.0.0.1", await server.start())
    writer.write(b"\\xff\\x00 garbage\\r\\n\\r\\n")
    await reader.read()
    writer.close()
    await server.stop(0)

asyncio.run(main())
"""
    environment = {key: value for key, value in os.environ.items() if key != "GRPC_VERBOSITY"}
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True, env=environment)
    said = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["event"] for line in said] == ["startup"]
    assert done.stdout == ""


def test_settings_show_no_secret() -> None:
    """Settings put into a log line by mistake show neither headers, which hold tokens, nor Redis's password."""
    assert "hunter2" not in repr(OtlpClient(headers=(("authorization", "Bearer hunter2"),)))
    assert "hunter2" not in repr(RedisCluster("redis://:hunter2@redis:6379/0"))
