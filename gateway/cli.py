"""The `tailgate` command: what people and scripts type, the words and exit statuses they get back.

Owns the command line and the statuses: 0 clean, 1 the process could not start or lost something, 2 a mistake in the command
line or in a configuration. Refuses to know the tiers: they are found through entry points (gateway.net.tier).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gateway import config, explanation, limits
from gateway.errors import ConfigError, Mistake, StartupError, TailgateError
from gateway.net import tier

OK, FAILED, MISTAKEN = 0, 1, 2
INTERRUPTED = 130  # 128 + SIGINT, as a shell has it
TIERS = {"loadbalancer": "load balancer", "sampler": "sampler"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status; mistakes and failures are lines on stderr, never a stack trace."""
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # read when grpc is loaded; its core writes past every handler
    chosen = parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = chosen.command
    try:
        return command(chosen)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return MISTAKEN
    except TailgateError as error:
        print(f"tailgate: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


def parser() -> argparse.ArgumentParser:
    """The command line. Every command is a function taking the parsed arguments and returning the exit status."""
    top = argparse.ArgumentParser(
        prog="tailgate", description="A tail-sampling gateway for OpenTelemetry, in two tiers."
    )
    top.add_argument("--version", action="version", version=f"tailgate {version('tailgate')}")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_up(commands)
    for name, words in TIERS.items():
        _add_tier(commands, name, words)
    _add_check(commands)
    _add_replay(commands)
    _add_members(commands)
    _add_explain(commands)
    return top


def _add_up(commands: Any) -> None:
    up = commands.add_parser("up", help="both tiers on this machine, with a Redis of their own unless one is given")
    up.add_argument("--samplers", type=_count, default=2, metavar="N", help="how many samplers (default 2)")
    up.add_argument("--loadbalancer-config", metavar="F", help="instead of the quickstart's")
    up.add_argument("--sampler-config", metavar="F", help="instead of the quickstart's")
    up.add_argument(
        "--redis-url", metavar="URL", help="a Redis that runs already; configurations see TAILGATE_REDIS_URL"
    )
    up.set_defaults(command=_up)


def _add_tier(commands: Any, name: str, words: str) -> None:
    one = commands.add_parser(name, help=f"one {words} process, or --workers N of them")
    _add_config(one)
    one.add_argument("--workers", type=_count, default=1, metavar="N", help="how many processes (default 1)")
    one.add_argument("--worker", type=int, help=argparse.SUPPRESS)  # given by the parent process to its workers only
    one.add_argument("--admin-socket", default="", help=argparse.SUPPRESS)
    one.set_defaults(command=_tier, tier=name)


def _add_check(commands: Any) -> None:
    check = commands.add_parser(
        "check", help="validate a configuration: every mistake in it, and what is probably not meant"
    )
    _add_config(check)
    check.set_defaults(command=_check)


def _add_replay(commands: Any) -> None:
    words = "run recorded OTLP/JSON lines through a sampler's policies, in virtual time: no network, no Redis"
    replay = commands.add_parser("replay", help=words)
    _add_config(replay)
    replay.add_argument("--timed", action="store_true", help='lines are {"at": SECONDS, "request": {...}}')
    beside = replay.add_mutually_exclusive_group()
    beside.add_argument("--kept", default="", metavar="OUT.jsonl", help="write what would have been exported")
    beside.add_argument(
        "--compare", action="append", metavar="OTHER.yaml", help="show what this configuration decides differently"
    )
    replay.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="a file of lines, .gz if it ends so, or - for standard input"
    )
    replay.set_defaults(command=_replay)


def _add_members(commands: Any) -> None:
    members = commands.add_parser("members", help="the samplers' current view, as JSON")
    members.add_argument("--redis-url", required=True, metavar="URL")
    members.add_argument("--cluster", default="default", metavar="NAME")
    members.set_defaults(command=_members)


def _add_explain(commands: Any) -> None:
    words = "what became of a trace: asks a node, which asks the trace's owner"
    explain = commands.add_parser("explain", help=words)
    explain.add_argument("trace_id", type=_trace_id, metavar="TRACE_ID", help="32 hexadecimal digits")
    node = explain.add_mutually_exclusive_group(required=True)
    node.add_argument(
        "--config", action="append", metavar="F", help="the file of a node on this machine, either tier's"
    )
    node.add_argument("--url", metavar="URL", help="where a node answers health or metrics")
    explain.add_argument("--json", action="store_true", help="the whole answer")
    explain.set_defaults(command=_explain)


def _trace_id(text: str) -> str:
    trace_id = explanation.parse_trace_id(text)
    if trace_id is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not 32 hexadecimal digits, not all 0")
    return trace_id.hex()


def _add_config(command: argparse.ArgumentParser) -> None:
    words = "a configuration file; several are merged in order"
    command.add_argument("--config", action="append", required=True, metavar="F", help=words)


def _count(text: str) -> int:
    """A number of processes."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= limits.WORKERS_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {limits.WORKERS_MAX}")
    return int(text)


def read(files: Sequence[str], environment: Mapping[str, str]) -> config.Document:
    """The merged document of the files. Raises ConfigError, also for files that cannot be read."""
    texts, mistakes = [], []
    for file in files:
        try:
            texts.append((file, Path(file).read_text(encoding="utf-8")))
        except OSError as error:
            mistakes.append(Mistake(file, 1, 1, f"cannot be read: {error.strerror}"))
        except UnicodeDecodeError as error:
            mistakes.append(Mistake(file, 1, 1, f"is not UTF-8 text: {error.reason} at byte {error.start}"))
    if mistakes:
        raise ConfigError(mistakes)
    return config.load(texts, environment)


def settings(name: str, files: Sequence[str], environment: Mapping[str, str]) -> Any:
    """The settings of the files for that tier. Raises ConfigError, also when they are another tier's."""
    return tier.find(name).parse(read(files, environment))


def _up(chosen: argparse.Namespace) -> int:
    from gateway.net import embedded_redis, up  # here, so that `tailgate check` need not load an HTTP client

    embedded = None if chosen.redis_url else embedded_redis.free_endpoint()
    redis_url = embedded_redis.url(embedded) if embedded else chosen.redis_url
    files = {
        "loadbalancer": chosen.loadbalancer_config or up.default_config("loadbalancer.yaml"),
        "sampler": chosen.sampler_config or up.default_config("sampler.yaml"),
    }
    read_all = _settings_of_both(files, {**os.environ, up.REDIS_URL: redis_url})
    plan = up.Plan(
        loadbalancer_file=files["loadbalancer"],
        loadbalancer=read_all["loadbalancer"],
        sampler_file=files["sampler"],
        sampler=read_all["sampler"],
        samplers=chosen.samplers,
        redis_url=redis_url,
        embedded=embedded,
    )
    return up.run(plan, say=lambda text: print(text, flush=True))


def _settings_of_both(files: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, Any]:
    """The settings by tier; the mistakes of both files are raised together."""
    found, mistakes = {}, []
    for name, file in files.items():
        try:
            found[name] = settings(name, [file], environment)
        except ConfigError as error:
            mistakes += error.mistakes
    if mistakes:
        raise ConfigError(mistakes)
    return found


def _tier(chosen: argparse.Namespace) -> int:
    wanted = settings(chosen.tier, chosen.config, os.environ)
    if chosen.worker is None and chosen.workers > 1:
        from gateway.net import workers  # here, so that a single process need not load what only a parent uses

        return workers.run(chosen.tier, wanted, chosen.config, chosen.workers)
    worker = tier.Worker(chosen.worker or 0, chosen.workers, chosen.admin_socket)
    return tier.find(chosen.tier).run(wanted, worker)


def _check(chosen: argparse.Namespace) -> int:
    document = read(chosen.config, os.environ)
    name = config.tier_of(document)
    for remark in sorted(tier.find(name).remarks(document)):
        print(remark, file=sys.stderr)
    print(f"{' '.join(chosen.config)}: OK ({TIERS[name]})")
    return OK


def _replay(chosen: argparse.Namespace) -> int:
    from gateway.net import process, replay  # here, so that other commands need not load what reads JSON

    def sampler(files: Sequence[str]) -> tuple[Any, int]:
        wanted = settings("sampler", files, os.environ)
        return wanted, process.budget(wanted.memory, int(process.memory_bytes() * limits.BUFFER_SHARE), 1)

    plan = replay.Plan(chosen.inputs, timed=chosen.timed, kept=chosen.kept)
    replay.check(plan)
    replays: tier.Replays = tier.find("sampler")  # type: ignore[assignment]
    running = replays.replay(*sampler(chosen.config), sampler(chosen.compare) if chosen.compare else None)
    process.keep_freed_memory(limits.FREED_BYTES_KEPT)
    process.freeze()
    return replay.run(running, plan, sys.stdout.buffer, say=lambda text: print(text, file=sys.stderr))


def _members(chosen: argparse.Namespace) -> int:
    from gateway.net import lease_store  # here, so that other commands need not load a Redis client

    print(json.dumps(asyncio.run(lease_store.members(chosen.redis_url, chosen.cluster)), indent=2))
    return OK


def _explain(chosen: argparse.Namespace) -> int:
    from gateway.net import explain  # here, so that other commands need not load an HTTP client

    answer = asyncio.run(explain.ask([chosen.url] if chosen.url else _pages(chosen.config), chosen.trace_id))
    print(json.dumps(answer, indent=2) if chosen.json else explanation.words(answer))
    return OK if explain.is_known(answer) else FAILED


def _pages(files: Sequence[str]) -> list[str]:
    """Where the node of these files answers on this machine. Raises StartupError if it does not."""
    from gateway.net import ports

    document = read(files, os.environ)
    endpoints = ports.admin(tier.find(config.tier_of(document)).parse(document))
    found = [f"http://{ports.reachable(endpoint)}" for endpoint in endpoints if endpoint.port]
    if not found:
        raise StartupError(f"{' '.join(files)} has neither health_check nor metrics on a port of its own: give --url")
    return found


if __name__ == "__main__":
    sys.exit(main())
