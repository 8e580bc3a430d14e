"""gateway.net.replay: files and pipes of `tailgate replay`, and what is said of lines that are no requests."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gateway import limits
from gateway.errors import ConfigError, StartupError
from gateway.net.replay import Plan, run
from gateway.otlp.otlp_json import to_json_line
from tests.support.spans import request, span, spans_of

EMPTY = b'{"resourceSpans":[]}'


class Came(NamedTuple):
    lines: list[bytes]
    kept: list[bytes]
    problem: str = ""


class Echo:
    """A replay that remembers what it is given, tells of it at once, and keeps everything."""

    def __init__(self, problem: str = "") -> None:
        self.given: list[tuple[float, bytes]] = []
        self.problem = problem

    def take(self, request: bytes, at: float) -> Iterator[Came]:
        self.given.append((at, request))
        yield Came([b"%d\n" % len(self.given)], [request], self.problem)

    def finish(self) -> Iterator[Came]:
        yield Came([b"end\n"], [])

    def summary(self) -> str:
        return f"{len(self.given)} requests\n"


class Ran(NamedTuple):
    status: int
    out: bytes
    said: list[str]
    given: list[tuple[float, bytes]]


def ran(*inputs: object, echo: Echo | None = None, timed: bool = False, kept: str = "") -> Ran:
    """Run over these files."""
    echo, out, said = echo or Echo(), io.BytesIO(), []
    status = run(echo, Plan([str(each) for each in inputs], timed=timed, kept=kept), out, said.append)
    return Ran(status, out.getvalue(), said, echo.given)


def line_of(trace: str) -> bytes:
    return to_json_line(request(span(trace, 1)))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "input.jsonl"


def test_inputs_are_read_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files, compressed ones and standard input make one recording; blank lines and a missing last newline are nothing."""
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_bytes(line_of("A") + b"\n  \n" + line_of("B").rstrip())
    packed.write_bytes(gzip.compress(line_of("C")))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(line_of("D"))))
    done = ran(plain, packed, "-")
    assert [spans_of(body)[0].trace_id[:1] for _, body in done.given] == [b"A", b"B", b"C", b"D"]
    assert (done.status, done.out) == (0, b"1\n2\n3\n4\nend\n")
    assert done.said == ["\n4 requests"]


def test_bad_lines_are_named_and_skipped(file: Path) -> None:
    """A line that is no request is said with its number and skipped; the status is 1 in the end."""
    file.write_bytes(b"nonsense\n" + line_of("A") + b'{"resourceLogs":[]}\n{"resourceSpans":7}\n{}\n' + EMPTY)
    done = ran(file)
    assert [words.partition(": ")[0] for words in done.said[:3]] == [f"{file}:1", f"{file}:3", f"{file}:4"]
    assert done.said[3:] == ["\nproblems with the input: 3", "\n3 requests"]
    assert (done.status, len(done.given)) == (1, 3)


def test_what_a_request_was_refused_for_is_a_problem_too(file: Path) -> None:
    """What the replay says of a request is said with its line."""
    file.write_bytes(EMPTY + b"\n")
    done = ran(file, echo=Echo("refused: too large"))
    assert done.said[0] == f"{file}:1: refused: too large" and done.status == 1


def test_lines_that_are_too_long_are_skipped(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of the bound is read, a longer one is not, however long it is, and the next one is."""
    monkeypatch.setattr(limits, "REQUEST_BYTES_MAX", 100)
    lines = [EMPTY.ljust(size) for size in (100, 101, 102, 500, 3_000_000, 100, 101)]
    file.write_bytes(b"\n".join(lines))
    done = ran(file)
    assert len(done.given) == 2
    assert done.said[:-2] == [f"{file}:{number}: the line has more than 100 bytes" for number in (2, 3, 4, 5, 7)]


def timed(at: object, body: bytes = EMPTY) -> bytes:
    return b'{"at": %s, "request": %s}\n' % (json.dumps(at).encode(), body.strip())


def test_timed_lines_name_their_arrival(file: Path) -> None:
    """With --timed a line is an arrival and a request; arrivals may be equal."""
    file.write_bytes(timed(0.25) + timed(3) + timed(3.0, line_of("A")))
    done = ran(file, timed=True)
    assert [at for at, _ in done.given] == [0.25, 3.0, 3.0]
    assert len(spans_of(done.given[2][1])) == 1 and done.status == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (timed(1.5), "`at` goes back in time: 1.5 after 2.0"),
        (timed(-1), "`at` must be from 0 to 100000000000 seconds, got -1.0"),
        (timed(1.7e12), "`at` must be from 0 to 100000000000 seconds, got 1700000000000.0"),
        (timed("3"), 'not {"at": SECONDS, "request": {…}}: Expected `float`, got `str` - at `$.at`'),
        (timed(True), 'not {"at": SECONDS, "request": {…}}: Expected `float`, got `bool` - at `$.at`'),
        (EMPTY, 'not {"at": SECONDS, "request": {…}}: Object missing required field `at`'),
        (b'{"at": 2}', 'not {"at": SECONDS, "request": {…}}: Object missing required field `request`'),
        (timed(2, b"[]"), "Expected `object`, got `array`"),
        (timed(2, b'{"a": 1}'), "not an OTLP export request of traces: it has no resourceSpans"),
    ],
)
def test_timed_lines_that_are_wrong_are_skipped(file: Path, line: bytes, words: str) -> None:
    """An arrival that is missing, no number, out of range or before the last one is a problem of its line."""
    file.write_bytes(timed(2) + line.strip() + b"\n" + timed(2))
    done = ran(file, timed=True)
    assert done.said[0] == f"{file}:2: {words}"
    assert len(done.given) == 2 and done.status == 1


def test_a_timed_file_read_without_timed_says_so(file: Path) -> None:
    """Who forgets --timed is told of it."""
    file.write_bytes(timed(2))
    assert ran(file).said[0].endswith(": give --timed for lines with an arrival")


def test_what_is_kept_is_written_as_lines(file: Path, tmp_path: Path) -> None:
    """--kept has what would have been exported, as OTLP/JSON that can be replayed again."""
    file.write_bytes(line_of("A") + line_of("B"))
    kept = tmp_path / "kept.jsonl"
    assert ran(file, kept=str(kept)).status == 0
    assert kept.read_bytes() == file.read_bytes()


def test_a_file_that_cannot_be_written_is_one_line(file: Path, tmp_path: Path) -> None:
    """Where --kept cannot be written nothing is replayed; a disk that is full ends the replay."""
    file.write_bytes(EMPTY)
    with pytest.raises(StartupError, match="cannot write"):
        ran(file, kept=str(tmp_path / "no" / "such.jsonl"))
    with pytest.raises(StartupError, match="cannot write what is kept: No space left"):
        ran(file, kept="/dev/full")


def test_files_that_cannot_be_read_are_named_before_anything_is_done(file: Path, tmp_path: Path) -> None:
    """Every unreadable input is a mistake, and so is one that --kept would overwrite."""
    file.write_bytes(EMPTY)
    echo = Echo()
    with pytest.raises(ConfigError) as caught:
        ran(file, tmp_path / "absent", tmp_path, echo=echo, kept=str(file))
    assert [(each.file, each.message) for each in caught.value.mistakes] == [
        (str(tmp_path), "cannot be read: Is a directory"),
        (str(tmp_path / "absent"), "cannot be read: No such file or directory"),
        (str(file), "is to be read and, by --kept, to be written"),
    ]
    assert echo.given == [] and file.read_bytes() == EMPTY


@pytest.mark.parametrize("damage", ["cut", "garbage", "plain"])
def test_broken_gzip_is_a_problem(tmp_path: Path, damage: str) -> None:
    """What could be read of a damaged file counts, the damage is named, and the next input is read."""
    packed, after = tmp_path / "a.gz", tmp_path / "b.jsonl"
    whole = gzip.compress(line_of("A"))
    packed.write_bytes({"cut": whole[:-12], "garbage": whole + b"garbage", "plain": line_of("A")}[damage])
    after.write_bytes(EMPTY)
    done = ran(packed, after)
    assert done.status == 1 and done.said[0].startswith(f"{packed}:") and "the gzip data is broken" in done.said[0]
    assert done.given[-1] == (0.0, b"")


def test_a_pipe_is_an_input(tmp_path: Path) -> None:
    """A named pipe is opened once: whoever writes into it is heard to the end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_bytes(line_of("A") * 3))
    writer.start()
    done = ran(pipe)
    writer.join()
    assert len(done.given) == 3 and done.status == 0


def test_a_reader_that_stops_ends_it_quietly(file: Path) -> None:
    """When nobody reads the output any more the replay ends, without a word."""

    class Closed(io.BytesIO):
        def writelines(self, lines: object) -> None:
            raise BrokenPipeError

    file.write_bytes(EMPTY)
    said: list[str] = []
    assert run(Echo(), Plan([str(file)]), Closed(), said.append) == 0
    assert said == []
