"""`tailgate up`: both tiers and, unless one is given, a Redis, as child processes on this machine.

Owns what is started, in which order it is stopped, and the few lines that tell a newcomer what listens where.
"""

from __future__ import annotations

import asyncio
import shlex
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import aiohttp

from gateway import limits
from gateway.config.settings import Endpoint, LoadBalancerConfig, SamplerConfig
from gateway.errors import StartupError
from gateway.net import embedded_redis, log, ports
from gateway.net import workers as tier_workers
from gateway.net.supervise import Child, Supervisor

REDIS_URL = "TAILGATE_REDIS_URL"  # the quickstart configurations name their Redis by it
QUICKSTART = "tailgate_quickstart"  # deploy/quickstart, as it is installed
REDIS_STAGE, SAMPLER_STAGE, LOADBALANCER_STAGE = 0, 1, 2  # stopped from the last to the first


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run: the two files and what they say, how many samplers, and which Redis.

    `embedded` is where our own Redis is to listen, None when `redis_url` names one that runs already.
    """

    loadbalancer_file: str
    loadbalancer: LoadBalancerConfig
    sampler_file: str
    sampler: SamplerConfig
    samplers: int
    redis_url: str
    embedded: Endpoint | None

    def claims(self) -> list[ports.Claim]:
        """Every address the tiers will listen on."""
        tiers = (("load balancer", self.loadbalancer, 1), ("sampler", self.sampler, self.samplers))
        return [
            replace(claim, key=f"the {tier}'s {claim.key}")
            for tier, config, workers in tiers
            for claim in ports.claims(config, workers)
        ]


def quickstart(name: str) -> Path | None:
    """The path of a file of deploy/quickstart, be it a checkout or an installation; None if it is not there.

    Found by where the package lies: importlib.resources cannot read an editable package that was installed as a namespace.
    """
    spec = find_spec(QUICKSTART)
    folders = (spec.submodule_search_locations or ()) if spec else ()
    paths = [Path(folder) / name for folder in folders]
    return next((path for path in paths if path.is_file()), None)


def default_config(name: str) -> str:
    """The file to run when none is given. Raises StartupError if this installation lacks it."""
    path = quickstart(name)
    if path is None:
        raise StartupError(f"this installation has no quickstart configuration {name}: name one of your own")
    return str(path)


def run(plan: Plan, say: Callable[[str], None]) -> int:
    """Run it all until SIGTERM or SIGINT; return the worst status. `say` gets the text for a person, once all is ready.

    Raises StartupError.
    """
    log.configure(plan.loadbalancer.telemetry, "up")
    server = embedded_redis.find_server() if plan.embedded else ""
    ports.probe(plan.claims())
    return asyncio.run(serve(plan, server, say))


async def serve(plan: Plan, server: str, say: Callable[[str], None]) -> int:
    """What `run` does, as a coroutine; `server` is the redis-server to embed."""
    with tempfile.TemporaryDirectory(prefix="tailgate-redis-") as directory:
        async with Supervisor(kill_after=limits.FORCED_STOP) as supervisor, aiohttp.ClientSession() as client:
            if plan.embedded:
                await _start_redis(supervisor, server, plan.embedded, Path(directory))
            for child in children(plan, client):
                supervisor.start(child)
            if await _ready(supervisor):
                say(announcement(plan))
            return await supervisor.stopped()


async def _start_redis(supervisor: Supervisor, server: str, endpoint: Endpoint, directory: Path) -> None:
    """Start Redis and wait until it answers. Raises StartupError if it ends instead."""
    words = embedded_redis.command(server, endpoint, directory)
    asking = partial(embedded_redis.answers, endpoint)
    nothing_to_save = limits.FORCED_STOP
    supervisor.start(Child("redis", words, stage=REDIS_STAGE, ready=asking, grace=nothing_to_save))
    if not await supervisor.ready() and await supervisor.stopped() != 0:
        raise StartupError(f"the embedded Redis ({server}) did not start: {embedded_redis.last_words(directory)}")


async def _ready(supervisor: Supervisor) -> bool:
    """Wait until everything is ready, saying now and then what is not; False if the end has begun before."""
    while True:
        try:
            async with asyncio.timeout(limits.STARTING_REPORT):
                return await supervisor.ready()
        except TimeoutError:
            waiting = [keeper.child.name for keeper in supervisor.keepers if not keeper.ready.is_set()]
            log.get().warning("still_starting", waiting_for=waiting)


def children(plan: Plan, client: aiohttp.ClientSession) -> list[Child]:
    """The two tiers as child processes; several samplers are the workers of one parent."""
    return [
        _child("sampler", plan.sampler_file, plan.sampler, plan, SAMPLER_STAGE, client),
        _child("loadbalancer", plan.loadbalancer_file, plan.loadbalancer, plan, LOADBALANCER_STAGE, client),
    ]


def _child(
    tier: str,
    file: str,
    config: LoadBalancerConfig | SamplerConfig,
    plan: Plan,
    stage: int,
    client: aiohttp.ClientSession,
) -> Child:
    workers = plan.samplers if tier == "sampler" else 1
    words = (sys.executable, "-P", "-m", "gateway.cli", tier, "--config", file, "--workers", str(workers))
    asking = partial(ready, config, client)
    environment, grace = {REDIS_URL: plan.redis_url}, tier_workers.grace(config, workers)
    return Child(tier, words, environment, stage, asking, grace)


async def ready(config: LoadBalancerConfig | SamplerConfig, client: aiohttp.ClientSession) -> bool:
    """Whether the tier says it is ready; without a health_check extension, whether its first listener can be connected to."""
    patience = aiohttp.ClientTimeout(total=limits.WORKER_ANSWER_MAX)
    try:
        if config.health is None:
            first = ports.reachable(ports.listeners(config, 1)[0])
            _, writer = await asyncio.wait_for(
                asyncio.open_connection(first.host, first.port), limits.WORKER_ANSWER_MAX
            )
            writer.close()
            return True
        async with client.get(f"http://{ports.reachable(config.health.endpoint)}/ready", timeout=patience) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


def announcement(plan: Plan) -> str:
    """What listens where, and how to send a first trace."""
    rows = [
        *_receivers(plan.loadbalancer),
        ("samplers", " ".join(map(str, ports.listeners(plan.sampler, plan.samplers)))),
        *_admin("load balancer", plan.loadbalancer),
        *_admin("samplers", plan.sampler),
        ("Redis", _without_password(plan.redis_url) + (" (embedded)" if plan.embedded else "")),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {where}" for name, where in rows]
    return "\n".join(["tailgate is ready (Ctrl-C stops it)", *lines, *_first_trace(plan)])


def _without_password(url: str) -> str:
    """The URL without the user and password in it: it is shown on a terminal."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _receivers(config: LoadBalancerConfig) -> list[tuple[str, str]]:
    grpc = [("OTLP/gRPC", str(receiver.grpc.endpoint)) for receiver in config.receivers if receiver.grpc]
    http = [
        ("OTLP/HTTP", f"http://{receiver.http.endpoint}{receiver.http.traces_path}")
        for receiver in config.receivers
        if receiver.http
    ]
    return grpc + http


def _admin(who: str, config: LoadBalancerConfig | SamplerConfig) -> list[tuple[str, str]]:
    health = [(f"health, {who}", f"http://{config.health.endpoint}/ready")] if config.health else []
    served = config.telemetry.metrics
    return health + ([(f"metrics, {who}", f"http://{served}/metrics")] if served else [])


def _first_trace(plan: Plan) -> Sequence[str]:
    """How to send a first trace: from the user's own program, and with our script where it is there."""
    grpc = [receiver.grpc.endpoint for receiver in plan.loadbalancer.receivers if receiver.grpc]
    lines = ["to send a first trace, point any OpenTelemetry SDK here:"] if grpc else []
    lines += [f"  export OTEL_EXPORTER_OTLP_ENDPOINT=http://{ports.reachable(endpoint)}" for endpoint in grpc[:1]]
    script = quickstart("send_traces.py")
    if grpc and script and find_spec("opentelemetry.sdk"):
        lines += [
            "or run:",
            "  " + shlex.join([_short(sys.executable), _short(str(script)), str(ports.reachable(grpc[0]))]),
        ]
    return lines


def _short(path: str) -> str:
    """Relative to where the command was called, if it is below."""
    here = Path.cwd()
    return str(Path(path).relative_to(here)) if Path(path).is_relative_to(here) else path
