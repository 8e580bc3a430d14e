"""deploy/Dockerfile and deploy/compose.yaml agree with the command, the configurations and the repository."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import cli, limits
from gateway.config.settings import LoadBalancerConfig, SamplerConfig
from gateway.net import ports

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("tailgate:")]


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) of the Dockerfile in order, continuation lines joined."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def values(instruction: str) -> list[str]:
    return [arguments for name, arguments in instructions() if name == instruction]


def seconds(text: str) -> float:
    assert re.fullmatch(r"\d+s", text), text
    return float(text[:-1])


def mounted(service: dict[str, Any]) -> dict[str, Path]:
    """Container path: the file of ours mounted there."""
    pairs = [volume.split(":") for volume in service["volumes"]]
    assert all(mode == "ro" for _, _, mode in pairs)
    return {inside: DEPLOY / outside for outside, inside, _ in pairs}


def configured(name: str) -> LoadBalancerConfig | SamplerConfig:
    """The settings of a service, read from what it mounts and with its environment."""
    service = SERVICES[name]
    chosen = cli.parser().parse_args(service["command"])
    files = mounted(service)
    config: LoadBalancerConfig | SamplerConfig = cli.settings(
        chosen.tier, [str(files[file]) for file in chosen.config], service.get("environment", {})
    )
    return config


def test_what_is_copied_is_there() -> None:
    """Every path that the image is built from is in the repository and let through by the ignore file."""
    let_through = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    for arguments in values("COPY"):
        if arguments.startswith("--from="):
            continue
        *sources, _ = arguments.split()
        for source in sources:
            assert (ROOT / source).exists(), source
            assert f"!{source}" in let_through


def test_every_package_is_in_the_image() -> None:
    """Every package that the project declares is among what the image is built from."""
    text = (ROOT / "pyproject.toml").read_text()
    packages = set(re.findall(r'^    "((?:gateway|loadbalancer|sampler)[a-z.]*)",$', text, re.MULTILINE))
    copied = {arguments.split()[0] for arguments in values("COPY")}
    assert {package.split(".")[0] for package in packages} <= copied
    assert "deploy/quickstart" in copied


def test_the_image_is_our_command_as_nobody() -> None:
    """The image runs `tailgate` itself, not through a shell, as a numeric user that is not root, and stops by SIGTERM."""
    (entry,) = values("ENTRYPOINT")
    assert json.loads(entry) == ["tailgate"]
    (command,) = values("CMD")
    with pytest.raises(SystemExit) as caught:
        cli.parser().parse_args(json.loads(command))
    assert caught.value.code == 0
    assert values("USER")[-1] == "10001:10001"
    assert values("STOPSIGNAL") == ["SIGTERM"]
    assert [name for name, _ in instructions()].index("USER") < [name for name, _ in instructions()].index("ENTRYPOINT")


def test_the_image_needs_no_more_than_python_in_its_last_stage() -> None:
    """The last stage installs nothing: it takes the finished environment from the first."""
    stages = [index for index, (name, _) in enumerate(instructions()) if name == "FROM"]
    last = instructions()[stages[-1] :]
    assert len(stages) == 2
    assert not [name for name, _ in last if name == "RUN"]
    assert any(arguments.startswith("--from=build") for name, arguments in last if name == "COPY")
    assert values("FROM") == ["python:${PYTHON_VERSION} AS build", "python:${PYTHON_VERSION}-slim"]


def test_the_image_has_the_compiled_kernel() -> None:
    """The build stops rather than make an image whose kernel runs uncompiled."""
    compiles = [json.loads(arguments) for arguments in values("RUN") if "kernel" in arguments]
    assert [command[1:3] for command in compiles] == [["-I", "-c"]]
    assert "kernel.FORM == 'compiled'" in compiles[0][3]


def test_the_image_checks_its_health_with_what_it_has() -> None:
    """The health check is Python asking the health port for liveness; it needs no curl."""
    (arguments,) = values("HEALTHCHECK")
    words = json.loads(arguments[arguments.index("CMD") + 3 :])
    assert words[:2] == ["python", "-c"]
    assert "http://127.0.0.1:13133/live" in words[2]
    compile(words[2], "HEALTHCHECK", "exec")


def test_exposed_ports_are_those_of_the_configurations() -> None:
    """The image names exactly the ports that the configurations of deploy/ listen on."""
    exposed = {int(port) for port in values("EXPOSE")[0].split()}
    listening = {endpoint.port for name in OURS for config in [configured(name)] for endpoint in all_endpoints(config)}
    assert exposed == listening


def all_endpoints(config: LoadBalancerConfig | SamplerConfig) -> list[Any]:
    return [*ports.listeners(config, 1), *ports.admin(config)]


def test_labels_follow_the_project() -> None:
    """The image's version label is the project's version."""
    (labels,) = values("LABEL")
    pairs = dict(word.split("=", 1) for word in shlex.split(labels))
    assert f'version = "{pairs["org.opencontainers.image.version"]}"' in (ROOT / "pyproject.toml").read_text()


def test_compose_has_both_tiers() -> None:
    """Compose runs two load balancers, three samplers and one Redis."""
    tiers = [cli.parser().parse_args(SERVICES[name]["command"]).tier for name in OURS]
    assert (tiers.count("loadbalancer"), tiers.count("sampler")) == (2, 3)
    assert sorted(set(SERVICES) - set(OURS)) == ["redis"]


@pytest.mark.parametrize("name", OURS)
def test_compose_services_parse(name: str) -> None:
    """Every service's command is one that `tailgate` understands, with a configuration it accepts."""
    config = configured(name)
    assert config.health is not None
    assert str(config.health.endpoint) == "0.0.0.0:13133"
    assert "13133/ready" in SERVICES[name]["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", OURS)
def test_compose_waits_for_a_drain(name: str) -> None:
    """Compose leaves a process the time that its drain may take."""
    assert seconds(SERVICES[name]["stop_grace_period"]) > limits.DRAIN_TIMEOUT


def test_compose_samplers_are_reached_by_their_names() -> None:
    """Each sampler advertises its service name and the port its receiver listens on, in the Redis that compose runs."""
    for name in OURS:
        config = configured(name)
        if isinstance(config, SamplerConfig):
            assert config.membership is not None
            assert config.receivers[0].grpc is not None
            assert str(config.membership.advertise) == f"{name}:{config.receivers[0].grpc.endpoint.port}"
            assert config.membership.redis.url == "redis://redis:6379/0"


def test_compose_publishes_on_this_machine_only() -> None:
    """Published ports are bound to loopback, each once, and lead to ports that are listened on."""
    published = []
    for name in OURS:
        listening = {endpoint.port for endpoint in all_endpoints(configured(name))}
        for mapping in SERVICES[name].get("ports", []):
            host, outside, inside = mapping.split(":")
            assert host == "127.0.0.1"
            assert int(inside) in listening
            published.append(outside)
    assert len(published) == len(set(published))
    assert {"4317", "4318"} <= set(published)
