"""deploy/kubernetes: the manifests agree with each other, with the configurations in them and with the product's limits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway import cli, limits
from gateway.config.settings import LoadBalancerConfig, RedisResolver, SamplerConfig
from gateway.net import ports

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
Manifest = dict[str, Any]
MANIFESTS: list[Manifest] = [
    document for path in sorted(FOLDER.glob("*.yaml")) for document in yaml.safe_load_all(path.read_text())
]
TIERS = {"loadbalancer": "Deployment", "sampler": "StatefulSet"}
ENVIRONMENT = {"status.podIP": "10.0.0.7", "metadata.name": "tailgate-sampler-1"}
UNITS = {"Mi": 1024**2, "Gi": 1024**3}


def one(kind: str, component: str) -> Manifest:
    (found,) = (
        manifest
        for manifest in MANIFESTS
        if manifest["kind"] == kind and manifest["metadata"]["labels"]["app.kubernetes.io/component"] == component
    )
    return found


def pod(component: str) -> Manifest:
    template: Manifest = one(TIERS.get(component, "Deployment"), component)["spec"]["template"]
    return template


def container(component: str) -> Manifest:
    (found,) = pod(component)["spec"]["containers"]
    return dict(found)


def configured(component: str, folder: Path) -> LoadBalancerConfig | SamplerConfig:
    """The settings of a tier: its arguments, read where its ConfigMap is mounted, with its environment."""
    tier = container(component)
    arguments = cli.parser().parse_args(tier["args"])
    (mount,) = (mount for mount in tier["volumeMounts"] if mount["name"] == "config")
    (volume,) = (volume for volume in pod(component)["spec"]["volumes"] if volume["name"] == "config")
    config_map = one("ConfigMap", component)
    assert volume["configMap"]["name"] == config_map["metadata"]["name"]
    files = []
    for file in map(Path, arguments.config):
        assert str(file.parent) == mount["mountPath"]
        (folder / file.name).write_text(config_map["data"][file.name])
        files.append(str(folder / file.name))
    environment = {
        variable["name"]: ENVIRONMENT[variable["valueFrom"]["fieldRef"]["fieldPath"]]
        for variable in tier.get("env", [])
    }
    config: LoadBalancerConfig | SamplerConfig = cli.settings(arguments.tier, files, environment)
    return config


def size(text: str) -> int:
    return int(text[:-2]) * UNITS[text[-2:]]


def container_ports(component: str) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container(component)["ports"]}


def test_what_is_there() -> None:
    """The manifests are both tiers with their configuration, Service and disruption budget, and a Redis with its Service."""
    kinds = sorted(
        (manifest["metadata"]["labels"]["app.kubernetes.io/component"], manifest["kind"]) for manifest in MANIFESTS
    )
    assert kinds == [
        ("loadbalancer", "ConfigMap"),
        ("loadbalancer", "Deployment"),
        ("loadbalancer", "PodDisruptionBudget"),
        ("loadbalancer", "Service"),
        ("redis", "Deployment"),
        ("redis", "Service"),
        ("sampler", "ConfigMap"),
        ("sampler", "PodDisruptionBudget"),
        ("sampler", "Service"),
        ("sampler", "StatefulSet"),
    ]


@pytest.mark.parametrize("component", ["loadbalancer", "sampler", "redis"])
def test_selectors_find_their_pods(component: str) -> None:
    """Workload, Service and disruption budget of a component all select exactly its pods."""
    labels = pod(component)["metadata"]["labels"]
    others = [pod(other)["metadata"]["labels"] for other in ("loadbalancer", "sampler", "redis") if other != component]
    selectors = [one("Service", component)["spec"]["selector"]]
    selectors.append(one(TIERS.get(component, "Deployment"), component)["spec"]["selector"]["matchLabels"])
    if component in TIERS:
        selectors.append(one("PodDisruptionBudget", component)["spec"]["selector"]["matchLabels"])
        (spread,) = pod(component)["spec"]["topologySpreadConstraints"]
        selectors.append(spread["labelSelector"]["matchLabels"])
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not any(selector.items() <= other.items() for other in others)


@pytest.mark.parametrize("component", TIERS)
def test_ports_are_those_listened_on(component: str, tmp_path: Path) -> None:
    """A container declares exactly the ports its configuration listens on, on every address."""
    config = configured(component, tmp_path)
    endpoints = [*ports.listeners(config, 1), *ports.admin(config)]
    assert sorted(container_ports(component).values()) == sorted(endpoint.port for endpoint in endpoints)
    assert {endpoint.host for endpoint in endpoints} == {"0.0.0.0"}


@pytest.mark.parametrize("component", ["loadbalancer", "sampler", "redis"])
def test_services_lead_to_ports_that_are_there(component: str) -> None:
    """Every port of a Service leads to a named port of the pods behind it, with the same number."""
    for port in one("Service", component)["spec"]["ports"]:
        assert container_ports(component)[port["targetPort"]] == port["port"]


def test_agents_find_the_usual_ports() -> None:
    """The load balancers' Service takes OTLP on 4317 and 4318."""
    assert [port["port"] for port in one("Service", "loadbalancer")["spec"]["ports"]] == [4317, 4318]


@pytest.mark.parametrize("component", TIERS)
def test_probes_ask_the_health_port(component: str, tmp_path: Path) -> None:
    """Liveness asks /live, readiness /ready, on the port of health_check; starting may take longer than being live."""
    config = configured(component, tmp_path)
    assert config.health is not None
    assert container_ports(component)["health"] == config.health.endpoint.port
    paths = {"startupProbe": "/live", "livenessProbe": "/live", "readinessProbe": "/ready"}
    for probe, path in paths.items():
        assert container(component)[probe]["httpGet"] == {"path": path, "port": "health"}


def test_metrics_are_announced_where_they_are(tmp_path: Path) -> None:
    """The scrape annotation names the port that metrics are configured on."""
    for component in TIERS:
        config = configured(component, tmp_path)
        assert config.telemetry.metrics is not None
        assert pod(component)["metadata"]["annotations"]["prometheus.io/port"] == str(config.telemetry.metrics.port)


def test_the_grace_outlasts_the_drain(tmp_path: Path) -> None:
    """Kubernetes waits longer than a sampler's drain_timeout, and than a load balancer's drain_delay and one forward."""
    sampler, balancer = configured("sampler", tmp_path), configured("loadbalancer", tmp_path)
    assert isinstance(sampler, SamplerConfig)
    assert sampler.membership is not None
    assert pod("sampler")["spec"]["terminationGracePeriodSeconds"] > sampler.membership.drain_timeout
    assert isinstance(balancer, LoadBalancerConfig)
    finishing = balancer.resolver.drain_delay + limits.FORWARD_TIMEOUT
    assert pod("loadbalancer")["spec"]["terminationGracePeriodSeconds"] > finishing


def test_a_rolling_update_outlasts_a_lease(tmp_path: Path) -> None:
    """The next sampler is replaced only when the last one has been ready for longer than a lease."""
    sampler = configured("sampler", tmp_path)
    assert isinstance(sampler, SamplerConfig)
    assert sampler.membership is not None
    assert one("StatefulSet", "sampler")["spec"]["minReadySeconds"] > sampler.membership.lease


def test_a_sampler_is_placed_by_name_and_reached_by_address(tmp_path: Path) -> None:
    """A sampler advertises its pod's address on its receiver's port, and its place on the ring is its pod's stable name."""
    sampler = configured("sampler", tmp_path)
    assert isinstance(sampler, SamplerConfig)
    assert sampler.membership is not None
    assert sampler.receivers[0].grpc is not None
    assert str(sampler.membership.advertise) == f"10.0.0.7:{sampler.receivers[0].grpc.endpoint.port}"
    assert sampler.membership.ring_name == "tailgate-sampler-1"


def test_the_stateful_set_has_its_headless_service() -> None:
    """The StatefulSet names its headless Service, which has its pods before they are ready."""
    service = one("Service", "sampler")
    assert one("StatefulSet", "sampler")["spec"]["serviceName"] == service["metadata"]["name"]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True


def test_both_tiers_use_the_redis_that_is_deployed(tmp_path: Path) -> None:
    """Load balancers and samplers name the same cluster in the Redis of the manifests."""
    balancer, sampler = configured("loadbalancer", tmp_path), configured("sampler", tmp_path)
    assert isinstance(balancer, LoadBalancerConfig)
    assert isinstance(balancer.resolver, RedisResolver)
    assert isinstance(sampler, SamplerConfig)
    assert sampler.membership is not None
    service = one("Service", "redis")
    (port,) = service["spec"]["ports"]
    assert balancer.resolver.redis.url == f"redis://{service['metadata']['name']}:{port['port']}/0"
    assert sampler.membership.redis.url == balancer.resolver.redis.url
    assert sampler.membership.redis.cluster == balancer.resolver.redis.cluster


@pytest.mark.parametrize("component", TIERS)
def test_memory_is_bounded_below_the_containers(component: str, tmp_path: Path) -> None:
    """Each tier has a memory limit, and its budget is a share of it that leaves room and fits one largest request."""
    config = configured(component, tmp_path)
    assert config.memory is not None
    assert config.memory.limit_share is not None
    limit = size(container(component)["resources"]["limits"]["memory"])
    assert config.memory.limit_share <= limits.BUFFER_SHARE
    assert limit * config.memory.limit_share * limits.BALANCER_MEMBER_SHARE >= limits.REQUEST_BYTES_MAX


@pytest.mark.parametrize("component", ["loadbalancer", "sampler", "redis"])
def test_containers_may_do_little(component: str) -> None:
    """No container runs as root, writes to its root file system, gains privileges or gets a service account's token."""
    spec = pod(component)["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container(component)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container(component)["resources"]["requests"].keys() == {"cpu", "memory"}


def test_one_pod_at_a_time() -> None:
    """Voluntary disruptions take one pod of a tier at a time, and there is more than one of each."""
    for component, kind in TIERS.items():
        assert one("PodDisruptionBudget", component)["spec"]["maxUnavailable"] == 1
        assert one(kind, component)["spec"]["replicas"] > 1
