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

from gateway import config, limits
from gateway.errors import ConfigError, Mistake, TailgateError
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
    _add_members(commands)
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
    check = commands.add_parser("check", help="validate a configuration and name every mistake in it")
    _add_config(check)
    check.set_defaults(command=_check)


def _add_members(commands: Any) -> None:
    members = commands.add_parser("members", help="the samplers' current view, as JSON")
    members.add_argument("--redis-url", required=True, metavar="URL")
    members.add_argument("--cluster", default="default", metavar="NAME")
    members.set_defaults(command=_members)


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
    tier.find(name).parse(document)
    print(f"{' '.join(chosen.config)}: OK ({TIERS[name]})")
    return OK


def _members(chosen: argparse.Namespace) -> int:
    from gateway.net import lease_store  # here, so that other commands need not load a Redis client

    print(json.dumps(asyncio.run(lease_store.members(chosen.redis_url, chosen.cluster)), indent=2))
    return OK


if __name__ == "__main__":
    sys.exit(main())
