"""Which components there are, and which the Collector has besides.

Owns the tables by which a component's type is found, with its aliases. Knows no keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.config.balancing import LoadBalancing
from gateway.config.block import Block
from gateway.config.exporters import DebugExporter, FileExporter
from gateway.config.extensions import HealthCheck, RedisMembership
from gateway.config.otlp import OtlpExporter, OtlpHttpExporter
from gateway.config.processors import Batch, MemoryLimiter
from gateway.config.receivers import OtlpReceiver
from gateway.config.scalars import Unbuilt
from gateway.config.tail_sampling import TailSampling


@dataclass(frozen=True, slots=True)
class Shelf:
    """One section of the file: what it holds, in the singular, and the types in it."""

    section: str
    noun: str
    models: Mapping[str, type[Block]]
    unbuilt: Unbuilt


def _named(names: str, hint: str = "") -> dict[str, str]:
    return dict.fromkeys(names.split(), hint)


_BESIDE = "run it in a Collector before or behind this gateway"

SHELVES = (
    Shelf(
        "receivers",
        "receiver",
        {"otlp": OtlpReceiver},
        _named(
            "datadog filelog file_log hostmetrics host_metrics jaeger kafka k8s_cluster nop opencensus otelarrow otlpjsonfile "
            "otlp_json_file prometheus skywalking splunk_hec statsd zipkin awsxray aws_xray",
            "only OTLP is received",
        ),
    ),
    Shelf(
        "processors",
        "processor",
        {"memory_limiter": MemoryLimiter, "batch": Batch, "tail_sampling": TailSampling},
        _named(
            "attributes cumulativetodelta filter groupbyattrs group_by_attrs groupbytrace group_by_trace k8sattributes "
            "k8s_attributes metricstransform probabilistic_sampler redaction resource resourcedetection resource_detection "
            "span transform interval logdedup",
            _BESIDE,
        ),
    ),
    Shelf(
        "exporters",
        "exporter",
        {
            "otlp_grpc": OtlpExporter,
            "otlp": OtlpExporter,
            "otlp_http": OtlpHttpExporter,
            "otlphttp": OtlpHttpExporter,
            "debug": DebugExporter,
            "file": FileExporter,
            "load_balancing": LoadBalancing,
            "loadbalancing": LoadBalancing,
        },
        {
            "logging": "debug took its place",
            **_named(
                "awsxray aws_xray azuremonitor azure_monitor clickhouse coralogix datadog elasticsearch googlecloud jaeger kafka "
                "nop opensearch otelarrow prometheus prometheusremotewrite prometheus_remote_write pulsar rabbitmq signalfx "
                "splunk_hec zipkin"
            ),
        },
    ),
    Shelf(
        "extensions",
        "extension",
        {"health_check": HealthCheck, "redis_membership": RedisMembership},
        _named(
            "basicauth basic_auth bearertokenauth bearer_token_auth cgroupruntime cgroup_runtime db_storage file_storage "
            "headers_setter healthcheckv2 http_forwarder k8s_observer memory_limiter oauth2client oidc opamp pprof "
            "sigv4auth zpages"
        ),
    ),
)

ALIASES = {"otlp": "otlp_grpc", "otlphttp": "otlp_http", "loadbalancing": "load_balancing"}
"""Exporters that go by two names."""

BY_SECTION = {shelf.section: shelf for shelf in SHELVES}
