"""The sampler's shell: a whole sampler in this process, alone, with real sockets and a file to export to."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import aiohttp
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
from sampler.service import Service, admin_address, for_worker, http_address
from tests.support.ports import free_endpoints
from tests.support.spans import request, span, trace_id

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


def test_a_member_says_where_its_pages_are(tmp_path: Path) -> None:
    """It is the advertised host at the port of health_check, or else of the metrics, if others reach it there."""
    everywhere = Endpoint("0.0.0.0", 4317)

    def address(
        health: str | None,
        metrics: str | None = None,
        advertise: str = "10.0.0.1",
        member: bool = True,
        worker: int = 0,
    ) -> str:
        membership = RedisMembership(RedisCluster("redis://h"), advertise=Endpoint(advertise, 4317)) if member else None
        checked = HealthCheck(Endpoint(health, 13133)) if health is not None else None
        shown = Telemetry(metrics=Endpoint(metrics, 8888)) if metrics is not None else Telemetry()
        changes = {"membership": membership, "health": checked, "telemetry": shown}
        return admin_address(for_worker(config(tmp_path, everywhere, **changes), worker))

    assert address("0.0.0.0") == address("") == address("10.0.0.1") == "10.0.0.1:13133"
    assert address("0.0.0.0", worker=3) == "10.0.0.1:13133"  # workers answer through their parent
    assert address("localhost", "0.0.0.0") == address(None, "0.0.0.0") == "10.0.0.1:8888"
    assert address("localhost") == address(None) == address("0.0.0.0", member=False) == ""
    assert address("localhost", advertise="127.0.0.1") == "127.0.0.1:13133"


async def test_it_explains_and_counts_what_it_took_in(tmp_path: Path) -> None:
    """A sampler alone tells of a trace, and counts what it took in by receiver and under a Collector's names."""
    listen, admin = free_endpoints(2)
    made = config(tmp_path, listen, health=HealthCheck(admin))
    stop = asyncio.Event()
    running = asyncio.create_task(Service(made, Worker()).run(stop))
    await export(listen, request(span("A", 1), span("A", 2), span("B", 0)))
    async with aiohttp.ClientSession(f"http://{admin}") as session:
        async with session.get(f"/debug/trace/{trace_id('A').hex()}") as answer:
            told = await answer.json()
        async with session.get("/metrics") as answer:
            page = (await answer.text()).splitlines()
    assert (told["state"], told["spans"], told["owner"]) == ("undecided", 2, str(listen))
    assert 0 < told["due_in"] < 31
    assert 'otelcol_receiver_accepted_spans_total{receiver="otlp",transport="grpc"} 2.0' in page
    assert 'otelcol_receiver_refused_spans{receiver="otlp",transport="grpc"} 1.0' in page
    assert "otelcol_processor_tail_sampling_new_trace_id_received 1.0" in page
    stop.set()
    assert await running == 0
