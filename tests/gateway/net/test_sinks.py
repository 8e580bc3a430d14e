"""gateway.net.sinks: what is kept, printed for people and appended to files."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue

from gateway.config.settings import DebugExporter, FileExporter
from gateway.errors import StartupError
from gateway.net.sinks import DebugSink, FileSink, describe, open_sink
from tests.support.spans import ERROR, OK, export_request, request, resource_spans, span, span_id, trace_id

TWO = request(
    span("A", 1, start_ms=1000, end_ms=1250, name="buy", status=OK),
    span("A", 2, start_ms=1100, end_ms=1200, name="pay", status=ERROR),
    span("B", 3, start_ms=2000, end_ms=2001, name="look"),
)
A, B = trace_id("A").hex(), trace_id("B").hex()


def printed(verbosity: str, body: bytes, spans: int = 3, encoding: str = "utf-8") -> str:
    out = io.BytesIO()
    sink = DebugSink(DebugExporter("debug", verbosity), io.TextIOWrapper(out, encoding=encoding, write_through=True))
    sink.write(body, spans)
    sink.close()
    return out.getvalue().decode(encoding)


# ---------------------------------------------------------------- debug


def test_basic_is_a_line_a_request() -> None:
    """Verbosity basic says how many spans were kept, and does not even look at them."""
    assert printed("basic", b"\xff not a request", 3) == "kept 3 spans\n"


def test_normal_is_a_line_a_trace() -> None:
    """Verbosity normal names each trace in hex with its size, duration and worst status."""
    assert printed("normal", TWO).splitlines() == [
        f"kept trace {A}: 2 spans, 250.0 ms, error",
        f"kept trace {B}: 1 spans, 1.0 ms, no error",
    ]


def test_detailed_is_a_line_a_span() -> None:
    """Verbosity detailed has a line for each span below its trace, with times relative to the trace."""
    assert printed("detailed", TWO).splitlines() == [
        f"kept trace {A}: 2 spans, 250.0 ms, error",
        f"    {span_id(1).hex()} shop: buy at +0.0 ms for 250.0 ms, ok",
        f"    {span_id(2).hex()} shop: pay at +100.0 ms for 100.0 ms, error",
        f"kept trace {B}: 1 spans, 1.0 ms, no error",
        f"    {span_id(3).hex()} shop: look at +0.0 ms for 1.0 ms, unset",
    ]


def test_a_trace_is_one_line_however_it_is_spread() -> None:
    """Spans of one trace from several services are one trace; each line names its own service."""
    body = export_request(
        resource_spans([span("A", 1)], service="shop"), resource_spans([span("A", 2)], service="bank")
    )
    lines = describe(body, True)
    assert lines[0].startswith(f"kept trace {A}: 2 spans")
    assert [line.split()[1] for line in lines[1:]] == ["shop:", "bank:"]


def test_what_a_name_cannot_do() -> None:
    """Names chosen by agents cannot break lines, move the cursor, or look like a line of ours."""
    body = request(span("A", 1, name="x\nkept trace \x1b[2J\u202e"), service="shop\r\nevil")
    lines = printed("detailed", body).split("\n")
    assert len(lines) == 3
    assert lines[1].startswith(f"    {span_id(1).hex()} shop\\r\\nevil: x\\nkept trace \\x1b[2J\\u202e at")


def test_letters_the_terminal_does_not_know() -> None:
    """A name that the terminal's encoding does not know is printed escaped: it never ends the process."""
    body = request(span("A", 1, name="Bestätigung \N{SNOWMAN}"))
    assert "Bestätigung \N{SNOWMAN}" in printed("detailed", body)
    assert "Best\\xe4tigung \\u2603" in printed("detailed", body, encoding="ascii")
    assert "Bestätigung \\u2603" in printed("detailed", body, encoding="latin-1")


def test_spans_of_any_shape() -> None:
    """Unset times, an end before the start, unknown status numbers and a service that is no text are printed as they are."""
    odd = span("A", 1, start_ms=5, end_ms=2)
    odd.status.code = 77
    outer = resource_spans([odd])
    outer.resource.attributes[0].value.CopyFrom(AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=3)])))
    nameless = resource_spans([span("B", 2, name="")])
    del nameless.resource.attributes[:]
    lines = describe(export_request(outer, nameless), True)
    assert len(lines) == 4
    assert lines[1].endswith("for -3.0 ms, 77")
    assert "unknown_service: " in lines[3]


# ---------------------------------------------------------------- file


def file_sink(path: Path | str, *, append: bool = False) -> FileSink:
    sink = open_sink(FileExporter("file", str(path), append))
    assert isinstance(sink, FileSink)
    return sink


def test_a_line_a_request(tmp_path: Path) -> None:
    """Each request is one line of OTLP/JSON, with ids in hex."""
    path = tmp_path / "traces.jsonl"
    sink = file_sink(path)
    for name in ("buy\nnow", "büy"):
        sink.write(request(span("A", 1, name=name, start_ms=1)), 1)
    sink.close()
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    spans = [line["resourceSpans"][0]["scopeSpans"][0]["spans"][0] for line in lines]
    assert [each["name"] for each in spans] == ["buy\nnow", "büy"]
    assert spans[0]["traceId"] == A
    assert spans[0]["spanId"] == span_id(1).hex()
    assert spans[0]["startTimeUnixNano"] == "1000000"


@pytest.mark.parametrize("append", [True, False])
def test_a_file_that_is_there(append: bool, tmp_path: Path) -> None:
    """A file that is there is begun anew, or continued when the configuration says so."""
    path = tmp_path / "traces.jsonl"
    path.write_bytes(b"{}\n")
    sink = file_sink(path, append=append)
    sink.write(TWO, 3)
    sink.close()
    lines = path.read_bytes().splitlines()
    assert lines[:-1] == ([b"{}"] if append else [])
    assert A.encode() in lines[-1]


def test_a_pipe_is_a_file_too(tmp_path: Path) -> None:
    """Lines may go to a pipe or a device, such as /dev/stdout in a container: nothing is sought or cut there."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    sink = file_sink(path)
    sink.write(TWO, 3)
    sink.write(TWO, 3)
    assert os.read(reader, 100_000).count(b"\n") == 2
    sink.close()
    os.close(reader)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error() -> None:
    """A write that the disk refuses is an OSError, which the core takes as: try again."""
    sink = file_sink("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        sink.write(TWO, 3)
    sink.close()


class FullSoon(io.FileIO):
    """A file on a disk that fills up: it takes `room` more bytes."""

    room = 10**9

    def write(self, data: bytes) -> int:  # type: ignore[override]
        taken = super().write(data[: self.room]) if self.room else 0
        self.room -= taken
        return taken


def test_a_line_that_came_out_short_is_taken_back(tmp_path: Path) -> None:
    """What a disk that fills up has taken of a line is taken back: the file holds whole lines only, and goes on later."""
    sink, path = file_sink(tmp_path / "traces.jsonl"), tmp_path / "traces.jsonl"
    sink._file.close()
    sink._file = disk = FullSoon(path, "ab")
    sink.write(TWO, 3)
    before = path.read_bytes()
    for room in (100, 1, 0):
        disk.room = room
        with pytest.raises(OSError, match="bytes could be written") as caught:
            sink.write(TWO, 3)
        assert caught.value.errno == errno.ENOSPC
        assert path.read_bytes() == before
    disk.room = 10**9
    sink.write(TWO, 3)
    assert path.read_bytes() == before * 2
    sink.close()


class Slow(io.FileIO):
    """A disk that is full for the first writer, and lets another one in between its looking for the end and its writing."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, "ab")
        self.looked, self.other_wrote = threading.Event(), threading.Event()

    def seek(self, *where: int) -> int:
        at = super().seek(*where)
        if threading.current_thread().name == "first":
            self.looked.set()
            self.other_wrote.wait(0.3)  # in vain, if writers wait for each other as they should
        return at

    def write(self, data: Any) -> int:
        if threading.current_thread().name == "first":
            return super().write(data[:10])
        written = super().write(data)
        self.other_wrote.set()
        return written


def test_taking_back_spares_other_lines(tmp_path: Path) -> None:
    """Requests written at the same time do not take back each other's lines when the disk fills up."""
    path = tmp_path / "traces.jsonl"
    sink = file_sink(path)
    sink._file.close()
    sink._file = disk = Slow(path)
    failures: list[OSError] = []

    def write() -> None:
        try:
            sink.write(TWO, 3)
        except OSError as error:
            failures.append(error)

    first, second = (threading.Thread(target=write, name=name) for name in ("first", "second"))
    first.start()
    assert disk.looked.wait(10)
    second.start()
    first.join()
    second.join()
    sink.close()
    assert len(failures) == 1
    assert len(path.read_bytes().splitlines()) == 1
    sink.close()


@pytest.mark.parametrize("name", ["no/such/directory/traces.jsonl", "."])
def test_an_unwritable_path_is_one_line(name: str, tmp_path: Path) -> None:
    """A file that cannot be opened is one line naming the exporter and the path."""
    with pytest.raises(StartupError) as caught:
        file_sink(tmp_path / name)
    assert str(caught.value).startswith(f"exporter file: cannot write {tmp_path / name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_file_without_permission_is_one_line(tmp_path: Path) -> None:
    """A file that may not be written is one line too."""
    path = tmp_path / "traces.jsonl"
    path.touch(0o400)
    with pytest.raises(StartupError, match="Permission denied"):
        file_sink(path)


def test_the_settings_choose_the_sink(capsys: pytest.CaptureFixture[str]) -> None:
    """The exporter debug prints on standard output."""
    sink = open_sink(DebugExporter("debug", "basic"))
    sink.write(b"", 1)
    assert capsys.readouterr().out == "kept 1 spans\n"
