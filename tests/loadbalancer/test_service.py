"""The load balancer's shell: a whole load balancer in this process, in front of real listeners."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import aiohttp
import grpc
import pytest

from gateway import kernel
from gateway.config.settings import (
    Endpoint,
    GrpcListener,
    HealthCheck,
    LoadBalancerConfig,
    OtlpClient,
    Receiver,
    RedisCluster,
    RedisResolver,
    StaticResolver,
    Telemetry,
)
from gateway.core import Accepted
from gateway.errors import StartupError
from gateway.net.grpc_server import TRACE_SERVICE, GrpcServer
from gateway.net.intake import Intake
from gateway.net.tier import Worker
from gateway.otlp.split import split
from loadbalancer.service import Service
from tests.support.edge import Script
from tests.support.ports import free_endpoints
from tests.support.spans import request, span

pytestmark = pytest.mark.integration


def config(listen: Endpoint, *samplers: Endpoint, delay: float = 0.0) -> LoadBalancerConfig:
    return LoadBalancerConfig(
        receivers=(Receiver("otlp", GrpcListener(listen), None),),
        client=OtlpClient(insecure=True, gzip=False),
        resolver=StaticResolver(samplers, drain_delay=delay),
        telemetry=Telemetry(),
    )


async def sampler(endpoint: Endpoint) -> tuple[Script, GrpcServer]:
    """A listener that takes everything."""
    script = Script([Accepted()])
    server = GrpcServer(GrpcListener(endpoint), Intake(script.feed))
    await server.start()
    return script, server


async def export(listen: Endpoint, body: bytes) -> bytes:
    async with grpc.aio.insecure_channel(str(listen)) as channel:
        answer: bytes = await channel.unary_unary(f"/{TRACE_SERVICE}/Export")(body, timeout=10, wait_for_ready=True)
        return answer


async def test_spans_go_to_their_owners() -> None:
    """With static samplers every trace goes whole to one of them, and both get some."""
    listen, one, two = free_endpoints(3)
    (first, first_server), (second, second_server) = await sampler(one), await sampler(two)
    stop = asyncio.Event()
    running = asyncio.create_task(Service(config(listen, one, two), Worker()).run(stop))
    names = [chr(ord("A") + n) for n in range(20)]
    for part in (0, 1):
        assert await export(listen, request(*[span(name, 2 * n + part + 1) for n, name in enumerate(names)])) == b""
    stop.set()
    assert await running == 0
    taken = [
        {trace_id for event in script.received for scope in split(event.request).scopes for trace_id, *_ in scope.spans}
        for script in (first, second)
    ]
    assert len(taken[0]) + len(taken[1]) == 20 and not taken[0] & taken[1]
    assert taken[0] and taken[1]
    for server in (first_server, second_server):
        await server.stop(0)


async def test_it_serves_while_endpoints_disappear() -> None:
    """Asked to end, it says not ready at once and goes on serving for drain_delay."""
    listen, one, health = free_endpoints(3)
    _, server = await sampler(one)
    stop = asyncio.Event()
    delayed = replace(config(listen, one, delay=1.5), health=HealthCheck(health))
    running = asyncio.create_task(Service(delayed, Worker()).run(stop))
    await export(listen, request(span("A", 1)))
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{health}/ready") as answer:
            assert answer.status == 200
        stop.set()
        await asyncio.sleep(0)
        async with session.get(f"http://{health}/ready") as answer:
            assert (answer.status, (await answer.json())["reason"]) == (503, "draining")
    assert await export(listen, request(span("A", 2))) == b""
    assert await running == 0
    await server.stop(0)


async def test_metrics_tell_the_form_of_the_kernel() -> None:
    """tailgate_build_info names the version, the form of the kernel in use, and the tier."""
    listen, one, scraped = free_endpoints(3)
    stop = asyncio.Event()
    measured = replace(config(listen, one), telemetry=Telemetry(metrics=scraped))
    running = asyncio.create_task(Service(measured, Worker()).run(stop))
    await export(listen, b"")
    async with aiohttp.ClientSession() as session, session.get(f"http://{scraped}/metrics") as answer:
        lines = [line for line in (await answer.text()).splitlines() if line.startswith("tailgate_build_info{")]
    assert len(lines) == 1
    assert f'kernel="{kernel.FORM}"' in lines[0] and 'tier="loadbalancer"' in lines[0]
    stop.set()
    assert await running == 0


async def test_it_says_whose_a_trace_is() -> None:
    """A load balancer with static samplers names the owner, and that it cannot ask it, with status 502."""
    listen, one, two, admin = free_endpoints(4)
    _, server = await sampler(one)
    stop = asyncio.Event()
    explaining = replace(config(listen, one, two), health=HealthCheck(admin))
    running = asyncio.create_task(Service(explaining, Worker()).run(stop))
    await export(listen, b"")
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://{admin}/debug/trace/{'ab' * 16}") as answer:
            told = await answer.json()
            assert answer.status == 502
        async with session.get(f"http://{admin}/metrics") as answer:
            page = (await answer.text()).splitlines()
    assert told["owner"] in (str(one), str(two)) and "does not say where" in told["error"]
    assert 'otelcol_loadbalancer_num_backends{resolver="static"} 2.0' in page
    assert 'otelcol_loadbalancer_num_resolutions_total{resolver="static",success="true"} 1.0' in page
    assert 'otelcol_receiver_accepted_spans{receiver="otlp",transport="grpc"} 0.0' in page
    stop.set()
    assert await running == 0
    await server.stop(0)


async def test_a_port_in_use_is_one_clear_line() -> None:
    """A second load balancer on the same port does not start and says which port."""
    listen, one = free_endpoints(2)
    _, server = await sampler(listen)
    with pytest.raises(StartupError, match=f"cannot listen on {listen}"):
        await Service(config(listen, one), Worker()).run(asyncio.Event())
    await server.stop(0)


async def test_redis_out_of_reach_is_one_clear_line() -> None:
    """A load balancer whose Redis cannot be reached does not start and says which Redis."""
    listen, nobody = free_endpoints(2)
    without = replace(config(listen), resolver=RedisResolver(RedisCluster(f"redis://{nobody}/0")))
    with pytest.raises(StartupError, match=str(nobody.port)):
        await Service(without, Worker()).run(asyncio.Event())
