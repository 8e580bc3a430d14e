"""The sampler's shell: a whole sampler in this process, alone, with real sockets and a file to export to."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import orjson
import pytest

from gateway.config.settings import (
    Endpoint,
    FileExporter,
    GrpcListener,
    HealthCheck,
    HttpListener,
    OtlpClient,
    OtlpExporter,
    PolicySettings,
    Receiver,
    RedisCluster,
    RedisMembership,
    Retry,
    SamplerConfig,
    TailSampling,
    Telemetry,
)
from gateway.errors import StartupError
from gateway.net.grpc_server import TRACE_SERVICE
from gateway.net.tier import Worker
from gateway.otlp.otlp_json import spans_of
from sampler.service import Service, for_worker, http_address
from tests.support.ports import free_endpoints
from tests.support.spans import request, span

pytestmark = pytest.mark.integration


def config(tmp_path: Path, listen: Endpoint, **changes: object) -> SamplerConfig:
    plain = SamplerConfig(
        receivers=(Receiver("otlp", GrpcListener(listen), None),),
        tail_sampling=TailSampling((PolicySettings("all", "always_sample"),), decision_wait=30.0),
        exporters=(FileExporter("file", str(tmp_path / "kept.jsonl")),),
        telemetry=Telemetry(),
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


async def export(listen: Endpoint, body: bytes) -> bytes:
    async with grpc.aio.insecure_channel(str(listen)) as channel:
        answer: bytes = await channel.unary_unary(f"/{TRACE_SERVICE}/Export")(body, timeout=10, wait_for_ready=True)
        return answer


async def test_what_was_acknowledged_is_exported_before_it_ends(tmp_path: Path) -> None:
    """Asked to end, a sampler decides what it holds, writes it out and ends with 0, long before decision_wait is over."""
    (listen,) = free_endpoints(1)
    stop = asyncio.Event()
    running = asyncio.create_task(Service(config(tmp_path, listen), Worker()).run(stop))
    assert await export(listen, request(span("A", 1), span("A", 2), span("B", 3))) == b""
    stop.set()
    assert await running == 0
    lines = (tmp_path / "kept.jsonl").read_bytes().splitlines()
    names = [found["spanId"] for line in lines for found in spans_of(orjson.loads(line))]
    assert sorted(names) == ["0000000000000001", "0000000000000002", "0000000000000003"]


async def test_what_cannot_be_delivered_is_lost_aloud(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """With the backend away and the grace over, the spans are counted lost, the exporter is named, and the status is 1."""
    listen, nobody = free_endpoints(2)
    client = OtlpClient(endpoint=nobody, insecure=True, gzip=False, retry=Retry(initial=0.1, max=0.1))
    away = config(tmp_path, listen, exporters=(OtlpExporter("otlp/tempo", client),))
    stop = asyncio.Event()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gateway.limits.DRAIN_TIMEOUT", 2.5)
        running = asyncio.create_task(Service(away, Worker()).run(stop))
        await export(listen, request(span("A", 1), span("A", 2)))
        stop.set()
        assert await running == 1
    assert "otlp/tempo" in "".join(capfd.readouterr())


async def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    """A second sampler on the same port does not start and says which port."""
    (listen,) = free_endpoints(1)
    stop = asyncio.Event()
    running = asyncio.create_task(Service(config(tmp_path, listen), Worker()).run(stop))
    await export(listen, b"")
    with pytest.raises(StartupError, match=f"cannot listen on {listen}"):
        await Service(config(tmp_path, listen), Worker()).run(stop)
    stop.set()
    assert await running == 0


async def test_redis_out_of_reach_is_one_clear_line(tmp_path: Path) -> None:
    """A sampler whose Redis cannot be reached does not start and says which Redis."""
    listen, nobody = free_endpoints(2)
    membership = RedisMembership(RedisCluster(f"redis://{nobody}/0"), advertise=listen)
    with pytest.raises(StartupError, match=str(nobody.port)):
        await Service(config(tmp_path, listen, membership=membership), Worker()).run(asyncio.Event())


def test_workers_differ_in_ports_names_and_files(tmp_path: Path) -> None:
    """Worker i listens and advertises on port + i, under a ring name of its own, and writes a file of its own."""
    listen = Endpoint("127.0.0.1", 4327)
    membership = RedisMembership(RedisCluster("redis://h"), advertise=Endpoint("10.0.0.1", 4327), ring_name="pod-1")
    one = config(tmp_path, listen, membership=membership, health=HealthCheck(Endpoint("127.0.0.1", 1)))
    two = for_worker(one, 2)
    assert for_worker(one, 0) is one
    assert two.receivers[0].grpc is not None and two.receivers[0].grpc.endpoint.port == 4329
    assert two.membership is not None
    assert (str(two.membership.advertise), two.membership.ring_name) == ("10.0.0.1:4329", "pod-1/2")
    assert two.exporters == (FileExporter("file", str(tmp_path / "kept.jsonl.2")),)


def test_a_member_says_where_it_takes_http(tmp_path: Path) -> None:
    """It is the advertised host at the port of a receiver that takes what balancers send; workers have ports of their own."""
    everywhere = Endpoint("0.0.0.0", 4317)
    membership = RedisMembership(RedisCluster("redis://h"), advertise=Endpoint("10.0.0.1", 4317))

    def address(http: HttpListener | None, worker: int = 0, **changes: object) -> str:
        receivers = (Receiver("otlp", GrpcListener(everywhere), http),)
        one = config(tmp_path, everywhere, receivers=receivers, **{"membership": membership} | changes)
        return http_address(for_worker(one, worker))

    fits = HttpListener(Endpoint("0.0.0.0", 4318))
    assert address(fits) == "10.0.0.1:4318"
    assert address(fits, worker=2) == "10.0.0.1:4320"
    assert address(HttpListener(Endpoint("10.0.0.1", 9))) == "10.0.0.1:9"
    assert address(None) == ""
    assert address(fits, membership=None) == ""
    assert address(HttpListener(Endpoint("127.0.0.1", 4318))) == ""
    assert address(replace(fits, request_bytes_max=1000)) == ""
    assert address(replace(fits, traces_path="/otlp")) == ""
