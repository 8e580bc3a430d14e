"""gateway.net.workers: the parent of N processes: their command lines, one health answer, one metrics page."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families

from gateway import limits
from gateway.cli import parser
from gateway.config.settings import (
    Endpoint,
    GrpcListener,
    HealthCheck,
    LoadBalancerConfig,
    OtlpClient,
    Receiver,
    RedisCluster,
    RedisMembership,
    SamplerConfig,
    StaticResolver,
    TailSampling,
    Telemetry,
)
from gateway.errors import StartupError
from gateway.net import embedded_redis, ports, workers
from gateway.net.admin import Pages
from gateway.net.supervise import Child, Supervisor
from gateway.net.workers import Families, Workers, merge, own
from tests.support.ports import free_ports

PATIENCE = 20.0
free = embedded_redis.free_endpoint


def settings(*, health: Endpoint | None = None, metrics: Endpoint | None = None) -> SamplerConfig:
    receiver = Receiver("otlp", GrpcListener(Endpoint("127.0.0.1", free_ports(1)[0])), None)
    checked = HealthCheck(health) if health else None
    return SamplerConfig((receiver,), TailSampling(()), (), Telemetry(metrics=metrics), health=checked)


def samples(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


PAGE = """\
# HELP tailgate_spans_received_total Spans in requests that could be read.
# TYPE tailgate_spans_received_total counter
tailgate_spans_received_total {spans}
# HELP tailgate_traces_decided_total Traces decided; policy is the deciding one.
# TYPE tailgate_traces_decided_total counter
tailgate_traces_decided_total{{decision="keep",policy="a\\"b"}} 3.0
# HELP tailgate_buffer_bytes Bytes held by undecided traces, bookkeeping included.
# TYPE tailgate_buffer_bytes gauge
tailgate_buffer_bytes {spans}
"""


def test_workers_get_the_parents_command_line() -> None:
    """A worker is the same command with the same files, told which of how many it is and where to answer its parent."""
    words = workers.command("sampler", ["a.yaml", "b.yaml"], 1, 3, Path("/tmp/1.sock"))
    assert words[:4] == (sys.executable, "-P", "-m", "gateway.cli")
    chosen = parser().parse_args(words[4:])
    assert (chosen.tier, chosen.config) == ("sampler", ["a.yaml", "b.yaml"])
    assert (chosen.workers, chosen.worker, chosen.admin_socket) == (3, 1, "/tmp/1.sock")


@pytest.mark.parametrize(
    ("resolver", "expected"),
    [(StaticResolver(()), limits.DRAIN_TIMEOUT), (StaticResolver((), drain_delay=60.0), 60.0 + limits.DRAIN_RESERVE)],
)
def test_a_balancer_gets_the_time_of_its_drain(resolver: StaticResolver, expected: float) -> None:
    """A balancer has the time of its drain, however long its delay, and a moment to close."""
    config = LoadBalancerConfig((), OtlpClient(), resolver, Telemetry())
    assert workers.grace(config) == expected + limits.DRAIN_RESERVE


def test_a_sampler_gets_the_time_of_its_drain() -> None:
    """A sampler has its drain_timeout and a moment to close; a parent of several has a moment more to end them."""
    alone = settings()
    membership = RedisMembership(RedisCluster("redis://r"), Endpoint("127.0.0.1", 1), drain_timeout=100.0)
    assert workers.grace(alone) == limits.DRAIN_TIMEOUT + limits.DRAIN_RESERVE
    assert workers.grace(replace(alone, membership=membership)) == 100.0 + limits.DRAIN_RESERVE
    assert workers.grace(alone, 2) == workers.grace(alone) + limits.FORCED_STOP


def test_each_series_gets_the_label_worker() -> None:
    """The merged page has every worker's series, told apart by the label `worker`, other labels untouched."""
    families = merge({"0": PAGE.format(spans="7.0"), "1": PAGE.format(spans="8.0")})
    page = workers.generate_latest(Families(families)).decode()
    assert samples(page) == {
        ("tailgate_spans_received_total", (("worker", "0"),)): 7,
        ("tailgate_spans_received_total", (("worker", "1"),)): 8,
        ("tailgate_traces_decided_total", (("decision", "keep"), ("policy", 'a"b'), ("worker", "0"))): 3,
        ("tailgate_traces_decided_total", (("decision", "keep"), ("policy", 'a"b'), ("worker", "1"))): 3,
        ("tailgate_buffer_bytes", (("worker", "0"),)): 7,
        ("tailgate_buffer_bytes", (("worker", "1"),)): 8,
    }
    assert page.count("# TYPE tailgate_spans_received_total counter") == 1


def test_names_with_and_without_total_stay_apart() -> None:
    """A counter that is shown with `_total` and without is merged as both, and histograms keep their buckets."""
    page = """\
# TYPE otelcol_x untyped
otelcol_x 1.0
# TYPE otelcol_x_total counter
otelcol_x_total 1.0
# TYPE tailgate_y histogram
tailgate_y_bucket{le="1.0"} 2.0
tailgate_y_bucket{le="+Inf"} 3.0
tailgate_y_count 3.0
tailgate_y_sum 4.0
"""
    found = samples(workers.generate_latest(Families(merge({"0": page, "1": page}))).decode())
    worker = (("worker", "1"),)
    assert found["otelcol_x", worker] == found["otelcol_x_total", worker] == 1
    assert found["tailgate_y_bucket", (("le", "1.0"), *worker)] == 2
    assert (found["tailgate_y_count", worker], found["tailgate_y_sum", worker]) == (3, 4)
    assert len(found) == 12


def test_who_did_not_answer_is_counted() -> None:
    """A worker that did not answer has worker_up 0; restarts are counted for each worker."""
    page = workers.generate_latest(Families(own({"0": ""}, restarts=[0, 4]))).decode()
    assert samples(page) == {
        ("tailgate_worker_up", (("worker", "0"),)): 1,
        ("tailgate_worker_up", (("worker", "1"),)): 0,
        ("tailgate_worker_restarts_total", (("worker", "0"),)): 0,
        ("tailgate_worker_restarts_total", (("worker", "1"),)): 4,
    }


Serve = Callable[[int, bool], Awaitable[None]]


@pytest.fixture
async def serve(tmp_path: Path) -> AsyncIterator[Serve]:
    """Serve worker `index` on tmp_path / INDEX.sock, ready or not."""
    async with AsyncExitStack() as stack:

        async def serve(index: int, ready: bool) -> None:
            async def readiness(_: web.Request) -> web.Response:
                return web.Response(status=200 if ready else 503)

            async def metrics(_: web.Request) -> web.Response:
                return web.Response(text=PAGE.format(spans=float(index)))

            application = web.Application()
            application.router.add_get("/ready", readiness)
            application.router.add_get("/metrics", metrics)
            runner = web.AppRunner(application)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.UnixSite(runner, str(tmp_path / f"{index}.sock")).start()

        yield serve


def sockets(tmp_path: Path, count: int) -> list[Path]:
    return [tmp_path / f"{index}.sock" for index in range(count)]


def parent(tmp_path: Path, count: int) -> Workers:
    """A parent whose workers have all been ready before."""
    return Workers(Supervisor(), sockets(tmp_path, count))


def sleeper(ready: Callable[[], Awaitable[bool]]) -> Child:
    return Child("sleeper", (sys.executable, "-I", "-S", "-c", "import signal; signal.pause()"), ready=ready)


async def fetch(url: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as client, client.get(url) as response:
        return response.status, await response.text()


@pytest.mark.integration
async def test_not_ready_before_every_worker_was(tmp_path: Path, serve: Serve) -> None:
    """While workers start for the first time the parent is ready only when all are, and names those that are not."""
    health = free()
    await serve(0, True)
    await serve(1, False)
    async with Supervisor() as supervisor, Workers(supervisor, sockets(tmp_path, 3)) as aggregate:
        supervisor.start(sleeper(aggregate.asking(1)))
        await aggregate.pages.serve(HealthCheck(health), None)
        status, body = await fetch(f"http://{health}/ready")
        assert (status, body) == (503, '{"status": "Server not available", "reason": "workers not ready: 1, 2"}')
        assert (await fetch(f"http://{health}/"))[0] == 503
        assert await aggregate.asking(0)()
        assert not await aggregate.asking(2)()
        supervisor.stop()
        await supervisor.stopped()


async def test_ready_while_any_worker_is(tmp_path: Path, serve: Serve) -> None:
    """Once all have been ready, one ready worker is enough; the answer names the others. With none the parent is not."""
    health = free()
    await serve(0, True)
    await serve(1, False)
    async with parent(tmp_path, 3) as aggregate:
        await aggregate.pages.serve(HealthCheck(health), None)
        status, body = await fetch(f"http://{health}/ready")
        assert (status, body) == (200, '{"status": "Server available", "reason": "workers not ready: 1, 2"}')
    async with Workers(Supervisor(), sockets(tmp_path, 3)[1:]) as aggregate:
        await aggregate.pages.serve(HealthCheck(health), None)
        status, body = await fetch(f"http://{health}/ready")
        assert (status, body) == (503, '{"status": "Server not available", "reason": "workers not ready: 0, 1"}')


async def test_the_path_of_the_health_check_is_the_configured_one(tmp_path: Path, serve: Serve) -> None:
    """With everyone ready there is nothing to say; the path is the one configured, and /ready beside it."""
    health = free()
    await serve(0, True)
    async with parent(tmp_path, 1) as aggregate:
        await aggregate.pages.serve(HealthCheck(health, "/healthz"), None)
        assert await fetch(f"http://{health}/healthz") == (200, '{"status": "Server available"}')
        assert (await fetch(f"http://{health}/ready"))[0] == 200
        assert (await fetch(f"http://{health}/"))[0] == 404


async def test_a_frozen_worker_does_not_hold_up_readiness(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that takes the question and never answers counts as not ready; the others' answer is not kept waiting."""
    monkeypatch.setattr(limits, "WORKER_READY_MAX", 0.2)
    await serve(0, True)
    with ports.socket.socket(ports.socket.AF_UNIX) as frozen:
        frozen.bind(str(tmp_path / "1.sock"))
        frozen.listen()
        async with parent(tmp_path, 2) as aggregate:
            assert await aggregate.ready() == (True, "workers not ready: 1")


async def test_alive_while_workers_are_not(tmp_path: Path) -> None:
    """Liveness is the parent's own: it answers 200 while workers are being started again."""
    health = free()
    async with parent(tmp_path, 1) as aggregate:
        await aggregate.pages.serve(HealthCheck(health), None)
        assert (await fetch(f"http://{health}/live"))[0] == 200


async def test_one_metrics_page_for_all(tmp_path: Path, serve: Serve) -> None:
    """The metrics address answers for all workers that answer, and leaves out the others."""
    metrics = free()
    await serve(0, True)
    async with parent(tmp_path, 2) as aggregate:
        await aggregate.pages.serve(None, metrics)
        status, page = await fetch(f"http://{metrics}/metrics")
    assert status == 200
    assert samples(page)["tailgate_spans_received_total", (("worker", "0"),)] == 0
    assert ("tailgate_spans_received_total", (("worker", "1"),)) not in samples(page)


TRACE = "0af7651916cd43dd8448eb211c80319c"


@asynccontextmanager
async def explaining(directory: Path, knows: Sequence[dict[str, object] | None]) -> AsyncIterator[list[str]]:
    """Workers that know this of any trace, None for one that is away; and what they are asked."""
    asked: list[str] = []
    async with AsyncExitStack() as stack:
        for index, known in enumerate(knows):

            async def explain(
                text: str, local: bool, index: int = index, known: dict[str, object] | None = known
            ) -> tuple[int, dict[str, object]]:
                asked.append(f"{index}{' local' if local else ''}")
                return 200, {"trace_id": text, **(known or {})}

            if known is not None:
                pages = Pages(nobody_asks, nothing_to_see, explain)
                await pages.serve_unix(str(directory / f"{index}.sock"))
                stack.push_async_callback(pages.stop)
        yield asked


async def nobody_asks() -> tuple[bool, str]:
    return True, ""


async def nothing_to_see() -> bytes:
    return b""


async def test_any_worker_explains_a_trace(tmp_path: Path) -> None:
    """The parent hands the question to the first worker that answers: it finds the owner."""
    admin = free()
    known: dict[str, object] = {"state": "decided", "decision": "keep"}
    async with explaining(tmp_path, [None, known, {"state": "unknown"}]) as asked, parent(tmp_path, 3) as aggregate:
        await aggregate.pages.serve(HealthCheck(admin), None)
        status, body = await fetch(f"http://{admin}/debug/trace/{TRACE.upper()}")
        assert (status, json.loads(body)) == (200, {"trace_id": TRACE} | known)
    assert asked == ["1"]


async def test_each_worker_is_asked_for_itself(tmp_path: Path) -> None:
    """Asked locally the parent asks each worker locally and gives the answer that says most."""
    remembered: dict[str, object] = {"state": "decided", "remembered_as": "drop"}
    decided: dict[str, object] = {"state": "decided", "decision": "drop"}
    knows = [{"state": "unknown"}, remembered, decided, None]
    async with explaining(tmp_path, knows) as asked, parent(tmp_path, 4) as aggregate:
        assert await aggregate.trace(TRACE, True) == (200, {"trace_id": TRACE} | decided)
    assert sorted(asked) == ["0 local", "1 local", "2 local"]


async def test_workers_that_stand_alone_are_all_asked(tmp_path: Path) -> None:
    """Where the first worker knows nobody else, the others are asked for themselves before the trace is called unknown."""
    undecided: dict[str, object] = {"state": "undecided", "due_in": 1.0}
    knows = [{"state": "unknown", "owner": "w0"}, undecided]
    async with explaining(tmp_path, knows) as asked, parent(tmp_path, 2) as aggregate:
        assert (await aggregate.trace(TRACE, False))[1]["state"] == "undecided"
    assert asked == ["0", "0 local", "1 local"] or asked == ["0", "1 local", "0 local"]
    async with explaining(tmp_path, [{"state": "unknown", "owner": "w0"}]), parent(tmp_path, 1) as aggregate:
        assert (await aggregate.trace(TRACE, False))[1] == {"trace_id": TRACE, "state": "unknown", "owner": "w0"}


async def test_no_worker_can_explain(tmp_path: Path) -> None:
    """With no worker there the answer is 502 and says so; what is no trace id is refused without asking anybody."""
    async with parent(tmp_path, 2) as aggregate:
        status, answer = await aggregate.trace(TRACE, False)
        assert (status, answer["state"], answer["error"]) == (502, "unknown", "no worker answers")
        assert (await aggregate.trace("x", False))[0] == 400


async def test_health_and_metrics_on_one_address(tmp_path: Path, serve: Serve) -> None:
    """Health and metrics may be configured on one address."""
    both = free()
    await serve(0, True)
    async with parent(tmp_path, 1) as aggregate:
        await aggregate.pages.serve(HealthCheck(both), both)
        assert (await fetch(f"http://{both}/ready"))[0] == 200
        assert (await fetch(f"http://{both}/metrics"))[0] == 200


async def test_an_admin_port_in_use_is_named(tmp_path: Path) -> None:
    """A health address that somebody has taken since it was probed is an error naming it."""
    health = free()
    async with parent(tmp_path, 1) as one, parent(tmp_path, 1) as other:
        await one.pages.serve(HealthCheck(health), None)
        with pytest.raises(StartupError, match=f"cannot listen on {health}"):
            await other.pages.serve(HealthCheck(health), None)


STAND_IN = """
    import asyncio, os, signal, sys
    from aiohttp import web

    async def main(socket, status):
        application = web.Application()
        async def answer(request):
            return web.Response(text=f"# TYPE pid gauge\\npid {os.getpid()}\\n")
        application.router.add_get("/ready", answer)
        application.router.add_get("/metrics", answer)
        runner = web.AppRunner(application)
        await runner.setup()
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await web.UnixSite(runner, socket).start()
        await stop.wait()
        await runner.cleanup()
        sys.exit(int(status))

    asyncio.run(main(*sys.argv[1:]))
"""


def stand_in(tier: str, files: Sequence[str], index: int, count: int, admin_socket: Path) -> tuple[str, ...]:
    """A worker that serves nothing but its admin socket; worker 1 ends with the status in files[0]."""
    status = files[0] if index == 1 else "0"
    return (sys.executable, "-c", textwrap.dedent(STAND_IN), str(admin_socket), status)


async def pids(metrics: Endpoint) -> dict[str, int]:
    """The pids of the workers that answer."""
    found = samples((await fetch(f"http://{metrics}/metrics"))[1])
    return {dict(labels)["worker"]: int(value) for (name, labels), value in found.items() if name == "pid"}


async def all_ready(health: Endpoint) -> None:
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                if (await fetch(f"http://{health}/ready"))[0] == 200:
                    return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.01)


@pytest.mark.integration
async def test_a_family_of_workers_lives_and_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers that die are replaced under the same label; SIGTERM ends them all, and the worst status is the parent's."""
    monkeypatch.setattr(limits, "RESTART_BACKOFF_INITIAL", 0.01)
    monkeypatch.setattr(workers, "command", stand_in)
    health, metrics = free(), free()
    family = asyncio.create_task(workers.serve("sampler", settings(health=health, metrics=metrics), ["1"], 2))
    await all_ready(health)
    before = await pids(metrics)
    os.kill(before["0"], signal.SIGKILL)
    async with asyncio.timeout(PATIENCE):
        while (after := await pids(metrics)).get("0", before["0"]) == before["0"]:  # noqa: ASYNC110  (what is waited for happens in another process)
            await asyncio.sleep(0.01)
    assert after["1"] == before["1"]
    os.kill(os.getpid(), signal.SIGTERM)
    assert await family == 1


@pytest.mark.integration
def test_a_port_in_use_stops_the_parent_before_any_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent finds a port in use before it starts a worker."""
    taken = free()
    monkeypatch.setattr(workers, "command", lambda *_: pytest.fail("no worker may be started"))
    monkeypatch.setattr(workers.log, "configure", lambda *_: None)
    with ports.socket.socket() as listener:
        listener.bind((taken.host, taken.port))
        listener.listen()
        with pytest.raises(StartupError, match=f"cannot listen on {taken}: address already in use"):
            workers.run("sampler", settings(health=taken), ["1"], 2)
