"""gateway.net.http_server: its start, its port and its end. What it answers is in tests/conformance/test_otlp_http.py."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.config.settings import Endpoint, HttpListener
from gateway.core import Accepted
from gateway.errors import StartupError
from gateway.net.http_server import HttpServer
from gateway.net.intake import Intake
from tests.support.edge import LOOPBACK, Script, edge, http_raw, post, read_answer


def server(port: int = 0, *, reuse_port: bool = False, path: str = "/v1/traces") -> HttpServer:
    listener = HttpListener(Endpoint("127.0.0.1", port), traces_path=path)
    return HttpServer(listener, Intake(Script([Accepted()]).feed), reuse_port=reuse_port)


async def test_a_port_in_use_is_one_line() -> None:
    """A port in use is one line that names the address, the protocol and the reason."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartupError) as caught:
            await server(port).start()
    text = str(caught.value)
    assert text.startswith(f"cannot listen on 127.0.0.1:{port} (OTLP/HTTP): ")
    assert "address already in use" in text.lower()
    assert "\n" not in text


async def test_ports_are_not_shared_unless_asked_for() -> None:
    """A second process on the port is refused; workers that ask for it share."""
    first = server()
    with pytest.raises(StartupError):
        await server(await first.start()).start()
    await first.stop(0)
    first = server(reuse_port=True)
    port = await first.start()
    second = server(port, reuse_port=True)
    assert await second.start() == port
    await first.stop(0)
    assert (await http_raw(port, post())).status == 200
    await second.stop(0)


async def test_the_path_is_configurable() -> None:
    """Traces go to the configured path, and the usual one is then not found."""
    made = server(path="/otlp/traces")
    port = await made.start()
    assert (await http_raw(port, post(path="/otlp/traces"))).status == 200
    assert (await http_raw(port, post())).status == 404
    await made.stop(0)


async def test_a_drain_finishes_what_is_in_flight() -> None:
    """While a server stops, requests in flight are answered, idle connections close and new ones are refused."""
    async with edge(None) as made:
        idle, idle_writer = await asyncio.open_connection("127.0.0.1", made.http_port)
        asked = asyncio.ensure_future(http_raw(made.http_port, post(b"")))
        await made.script.wait_for(1)
        stopping = asyncio.ensure_future(made.http.stop(20.0))
        assert await idle.read() == b""
        with pytest.raises(ConnectionError):
            await http_raw(made.http_port, post())
        made.script.answer_all(Accepted())
        assert (await asked).status == 200
        await stopping
        idle_writer.close()


@pytest.mark.parametrize("piece", [post(b"abc"), post(b"abc")[:-1], post(b"abc")[:20]], ids=["whole", "body", "head"])
async def test_a_drain_ends_with_its_grace(piece: bytes) -> None:
    """A request that is never answered, or never comes to its end, does not hold up the end beyond the grace."""
    async with edge(None) as made:
        reader, writer = await asyncio.open_connection("127.0.0.1", made.http_port)
        writer.write(piece)
        await writer.drain()
        if piece == post(b"abc"):
            await made.script.wait_for(1)
        await asyncio.wait_for(made.http.stop(0.2), 10)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            answer = await read_answer(reader)
            assert answer.status != 400  # cut off by us: never an answer that makes an agent drop
            await read_answer(reader)
        assert made.http.waiting == 0
        writer.close()


async def test_stopping_twice_does_no_harm() -> None:
    """A server may be stopped again, and without ever having been started."""
    made = server()
    await made.stop(0)
    made = server()
    port = await made.start()
    await made.stop(0)
    await made.stop(0)
    with pytest.raises(ConnectionError):
        await http_raw(port, post())


async def test_every_address_is_listened_on() -> None:
    """An empty host, like 0.0.0.0, means every address."""
    for host in ("", "0.0.0.0"):
        made = HttpServer(HttpListener(Endpoint(host, 0)), Intake(Script([Accepted()]).feed))
        assert (await http_raw(await made.start(), post())).status == 200
        await made.stop(0)
    assert LOOPBACK.port == 0
