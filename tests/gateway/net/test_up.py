"""gateway.net.up: both tiers on one machine."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import aiohttp
import psutil
import pytest

from gateway import limits
from gateway.cli import parser
from gateway.config.settings import (
    Endpoint,
    GrpcListener,
    HealthCheck,
    HttpListener,
    LoadBalancerConfig,
    OtlpClient,
    Receiver,
    RedisCluster,
    RedisResolver,
    SamplerConfig,
    TailSampling,
    Telemetry,
)
from gateway.errors import StartupError
from gateway.net import embedded_redis, ports, up
from gateway.net.supervise import Child

PATIENCE = 30.0
REDIS = Endpoint("127.0.0.1", 7000)
URL = "redis://127.0.0.1:7000/0"
BALANCER = LoadBalancerConfig(
    receivers=(Receiver("otlp", GrpcListener(Endpoint("0.0.0.0", 4317)), HttpListener(Endpoint("127.0.0.1", 4318))),),
    client=OtlpClient(),
    resolver=RedisResolver(RedisCluster(URL)),
    telemetry=Telemetry(metrics=Endpoint("127.0.0.1", 8888)),
    health=HealthCheck(Endpoint("127.0.0.1", 13133)),
)
SAMPLER = SamplerConfig(
    receivers=(Receiver("otlp", GrpcListener(Endpoint("127.0.0.1", 14317)), None),),
    tail_sampling=TailSampling(()),
    exporters=(),
    telemetry=Telemetry(metrics=None),
    health=HealthCheck(Endpoint("127.0.0.1", 13134)),
)
PLAN = up.Plan("lb.yaml", BALANCER, "sampler.yaml", SAMPLER, samplers=2, redis_url=URL, embedded=REDIS)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110  (what is waited for happens in another process)
            await asyncio.sleep(0.01)


def test_every_address_is_probed_first() -> None:
    """Before anything starts, every address of both tiers is known: receivers, health and metrics."""
    endpoints = [endpoint.port for claim in PLAN.claims() for endpoint in claim.endpoints]
    assert endpoints == [4317, 4318, 13133, 8888, 14317, 14318, 13134]


def test_tiers_on_each_others_ports_are_named() -> None:
    """Both tiers are on one machine: two listeners on one port are named with their tiers."""
    here = HealthCheck(Endpoint("127.0.0.1", 14318))
    with pytest.raises(StartupError) as caught:
        ports.probe(dataclasses.replace(PLAN, loadbalancer=dataclasses.replace(BALANCER, health=here)).claims())
    assert str(caught.value) == (
        "worker 1 of the sampler's receivers.otlp.protocols.grpc (port 14317 + 1) and the load balancer's "
        "extensions.health_check would both listen on port 14318: give the load balancer's extensions.health_check port 14319 "
        "or a higher one or start fewer workers"
    )


async def test_tiers_are_the_commands_anyone_can_type() -> None:
    """Each tier runs as the public command with its file, told the Redis in its environment; balancers are stopped first."""
    async with aiohttp.ClientSession() as client:
        sampler, balancer = up.children(PLAN, client)
    assert sampler.stage < balancer.stage
    for child, file, workers in ((sampler, "sampler.yaml", 2), (balancer, "lb.yaml", 1)):
        assert child.command[:4] == (sys.executable, "-P", "-m", "gateway.cli")
        chosen = parser().parse_args(child.command[4:])
        assert (chosen.tier, chosen.config, chosen.workers) == (child.name, [file], workers)
        assert child.environment == {"TAILGATE_REDIS_URL": URL}
        assert child.grace > limits.DRAIN_TIMEOUT
    assert sampler.grace > balancer.grace, "it has workers to wait for"


def test_it_says_what_listens_where(monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines for a newcomer name every address and how to send a first trace."""
    monkeypatch.setattr(up, "quickstart", lambda name: None)
    assert up.announcement(PLAN).splitlines() == [
        "tailgate is ready (Ctrl-C stops it)",
        "  OTLP/gRPC               0.0.0.0:4317",
        "  OTLP/HTTP               http://127.0.0.1:4318/v1/traces",
        "  samplers                127.0.0.1:14317 127.0.0.1:14318",
        "  health, load balancer   http://127.0.0.1:13133/ready",
        "  metrics, load balancer  http://127.0.0.1:8888/metrics",
        "  health, samplers        http://127.0.0.1:13134/ready",
        "  Redis                   redis://127.0.0.1:7000/0 (embedded)",
        "to send a first trace, point any OpenTelemetry SDK here:",
        "  export OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317",
    ]


def test_it_names_the_script_that_sends_traces(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """If the script that sends first traces is there, the command line to run it is given, short where it can be."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    monkeypatch.setattr(up, "quickstart", lambda name: tmp_path / name)
    (tmp_path / "send_traces.py").touch()
    assert up.announcement(PLAN).splitlines()[-2:] == ["or run:", "  venv/python send_traces.py 127.0.0.1:4317"]


def test_a_given_redis_is_named_as_such() -> None:
    """A Redis that was given by URL is not called embedded."""
    text = up.announcement(dataclasses.replace(PLAN, embedded=None))
    assert f"  Redis                   {URL}\n" in text


def test_a_password_is_not_shown() -> None:
    """The user and password of a Redis URL are left out of what is shown."""
    plan = dataclasses.replace(PLAN, embedded=None, redis_url="rediss://me:p@ss@redis.example:6380/2")
    text = up.announcement(plan)
    assert "  Redis                   rediss://redis.example:6380/2\n" in text
    assert "p@ss" not in text


@pytest.mark.parametrize("name", ["loadbalancer.yaml", "sampler.yaml", "send_traces.py"])
def test_the_quickstart_files_are_found(name: str) -> None:
    """The files of deploy/quickstart are found from the installed package, wherever the command is called."""
    assert Path(up.default_config(name)).is_file()


def test_an_installation_without_them_says_so() -> None:
    """A quickstart file that is not there is an error in words."""
    with pytest.raises(StartupError, match=r"no quickstart configuration other\.yaml"):
        up.default_config("other.yaml")


async def test_readiness_is_the_tiers_own_answer() -> None:
    """A tier is ready when its health address says so; nobody listening is a no."""
    config = dataclasses.replace(BALANCER, health=HealthCheck(embedded_redis.free_endpoint()))
    async with aiohttp.ClientSession() as client:
        assert not await up.ready(config, client)


async def test_readiness_without_health_check_is_a_connection() -> None:
    """A tier configured without health_check counts as ready once its first listener can be connected to."""

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    endpoint = embedded_redis.free_endpoint()
    config = dataclasses.replace(BALANCER, health=None, receivers=(Receiver("otlp", GrpcListener(endpoint), None),))
    async with aiohttp.ClientSession() as client:
        assert not await up.ready(config, client)
        async with await asyncio.start_server(hang_up, endpoint.host, endpoint.port):
            assert await up.ready(config, client)


STAND_IN = """
    import signal, sys, time
    with open(sys.argv[1], "a") as log:
        log.write(sys.argv[2] + "\\n")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        signal.pause()
"""


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Stand-ins for the tiers that are ready at once; they write their names to the path."""
    log = tmp_path / "log"

    async def ready() -> bool:
        return True

    def children(plan: up.Plan, client: aiohttp.ClientSession) -> list[Child]:
        words = (sys.executable, "-I", "-S", "-c", textwrap.dedent(STAND_IN), str(log))
        return [
            Child("sampler", (*words, plan.redis_url), stage=up.SAMPLER_STAGE, ready=ready),
            Child("loadbalancer", (*words, "loadbalancer"), stage=up.LOADBALANCER_STAGE, ready=ready),
        ]

    monkeypatch.setattr(up, "children", children)
    monkeypatch.setattr(up.log, "configure", lambda *_: None)
    monkeypatch.setattr(limits, "RESTART_BACKOFF_INITIAL", 0.01)
    monkeypatch.setattr(limits, "READY_POLL", 0.01)
    return log


def started(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def free_plan() -> up.Plan:
    redis = embedded_redis.free_endpoint()
    return dataclasses.replace(PLAN, embedded=redis, redis_url=embedded_redis.url(redis))


@pytest.mark.integration
async def test_redis_comes_first_and_comes_back(stand_ins: Path) -> None:
    """The embedded Redis answers before the tiers start, comes back on its port when it is killed, and is gone at the end."""
    plan = free_plan()
    assert plan.embedded is not None
    said: list[str] = []
    before = set(psutil.Process().children())
    running = asyncio.create_task(up.serve(plan, embedded_redis.find_server(), said.append))
    await until(lambda: said)
    assert await embedded_redis.answers(plan.embedded)
    redis = next(one for one in set(psutil.Process().children()) - before if "redis" in one.name())
    redis.kill()
    async with asyncio.timeout(PATIENCE):  # what is waited for happens in another process
        while redis.is_running() or not await embedded_redis.answers(plan.embedded):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    assert not await embedded_redis.answers(plan.embedded)
    assert set(psutil.Process().children()) == before


@pytest.mark.integration
async def test_a_redis_that_cannot_start_is_one_clear_line(stand_ins: Path) -> None:
    """If the embedded Redis does not start, nothing else does, and the error quotes its last words."""
    plan = free_plan()
    assert plan.embedded is not None

    async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(hang_up, plan.embedded.host, plan.embedded.port):
        with pytest.raises(StartupError, match=r"the embedded Redis \(.*\) did not start: .+"):
            await up.serve(plan, embedded_redis.find_server(), lambda _: None)
    assert started(stand_ins) == []


@pytest.mark.integration
async def test_a_given_redis_starts_none(stand_ins: Path) -> None:
    """With a Redis given by URL none is started, and the tiers get the URL."""
    plan = dataclasses.replace(PLAN, embedded=None, redis_url="redis://elsewhere:6379/3")
    said: list[str] = []
    running = asyncio.create_task(up.serve(plan, "", said.append))
    await until(lambda: said and len(started(stand_ins)) == 2)
    os.kill(os.getpid(), signal.SIGINT)
    assert await running == 0
    assert sorted(started(stand_ins)) == ["loadbalancer", "redis://elsewhere:6379/3"]
