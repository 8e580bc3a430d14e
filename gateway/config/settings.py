"""What the configuration says, as plain frozen values: what the services and the cores are built from.

The models (pydantic) read and judge the file; they become these and are then forgotten. Durations are float seconds, sizes
bytes. Nothing here knows YAML.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway import limits

TRACES_PATH = "/v1/traces"  # where OTLP/HTTP is posted unless something else is said


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Host and port. A host of "0.0.0.0" or "::" listens everywhere."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def offset(self, ports: int) -> Endpoint:
        """The endpoint of the worker so many ports further on."""
        return Endpoint(self.host, self.port + ports)


@dataclass(frozen=True, slots=True)
class GrpcListener:
    """An OTLP/gRPC listener. `front` is who carries it: grpcio or native."""

    endpoint: Endpoint
    request_bytes_max: int = limits.REQUEST_BYTES_MAX
    front: str = "grpcio"


@dataclass(frozen=True, slots=True)
class HttpListener:
    """An OTLP/HTTP listener."""

    endpoint: Endpoint
    request_bytes_max: int = limits.REQUEST_BYTES_MAX
    traces_path: str = TRACES_PATH


@dataclass(frozen=True, slots=True)
class Receiver:
    """One `otlp` receiver; at least one of the listeners is there."""

    name: str
    grpc: GrpcListener | None
    http: HttpListener | None


@dataclass(frozen=True, slots=True)
class Retry:
    """retry_on_failure. `elapsed_max` of 0 means for ever."""

    enabled: bool = True
    initial: float = limits.RETRY_INITIAL
    max: float = limits.RETRY_MAX
    multiplier: float = limits.RETRY_MULTIPLIER
    jitter: float = 0.5  # randomization_factor: the pause is spread over ± this share
    elapsed_max: float = limits.RETRY_ELAPSED_MAX


@dataclass(frozen=True, slots=True)
class Queue:
    """sending_queue: how many requests wait, how many are in flight."""

    requests_max: int = limits.OUTBOX_REQUESTS_MAX
    in_flight_max: int = limits.EXPORT_IN_FLIGHT_MAX


@dataclass(frozen=True, slots=True)
class OtlpClient:
    """How to speak OTLP to somebody: an `otlp` exporter, or a balancer to its samplers (then without an endpoint).

    With a path, OTLP/HTTP is posted there; without one, OTLP/gRPC is spoken.
    """

    endpoint: Endpoint | None = None
    insecure: bool = False
    gzip: bool = True
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)  # may hold tokens
    timeout: float = limits.EXPORT_TIMEOUT
    retry: Retry = Retry()
    queue: Queue = Queue()
    http_path: str | None = None


@dataclass(frozen=True, slots=True)
class OtlpExporter:
    """Exporter `otlp_grpc` / `otlp`, or `otlp_http` / `otlphttp`."""

    name: str
    client: OtlpClient


@dataclass(frozen=True, slots=True)
class DebugExporter:
    """Exporter `debug`: prints what is kept. Verbosity basic, normal or detailed."""

    name: str
    verbosity: str = "basic"


@dataclass(frozen=True, slots=True)
class FileExporter:
    """Exporter `file`: writes OTLP/JSON, one export request a line. Without `append` the file is begun anew at start."""

    name: str
    path: str
    append: bool = False


Exporter = OtlpExporter | DebugExporter | FileExporter


@dataclass(frozen=True, slots=True)
class Batch:
    """Processor `batch`: how kept spans are put together for export. `spans_max` of 0 means no bound but the bytes."""

    linger: float = limits.EXPORT_LINGER
    spans: int = limits.EXPORT_REQUEST_SPANS
    spans_max: int = 0


@dataclass(frozen=True, slots=True)
class MemoryLimiter:
    """Processor `memory_limiter`: the budget for the buffer (sampler) or for requests in flight (load balancer).

    `limit_bytes` is resolved from limit_mib, or from limit_percentage by the shell, which knows the machine; exactly one is set.
    """

    limit_bytes: int | None = None
    limit_share: float | None = None


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """Extension `health_check`."""

    endpoint: Endpoint
    path: str = "/"


@dataclass(frozen=True, slots=True)
class Telemetry:
    """service.telemetry. `metrics` is where /metrics is served, None if level is none."""

    log_level: str = "info"
    log_encoding: str = "auto"  # json, console, or auto: console on a terminal
    metrics: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class RedisCluster:
    """Which cluster in which Redis."""

    url: str = field(repr=False)  # may hold a password
    cluster: str = "default"
    poll: float = limits.POLL


@dataclass(frozen=True, slots=True)
class RedisMembership:
    """Extension `redis_membership` of a sampler."""

    redis: RedisCluster
    advertise: Endpoint
    ring_name: str = ""  # "" means the advertised endpoint
    weight: int = 1
    lease: float = limits.LEASE
    drain_timeout: float = limits.DRAIN_TIMEOUT
    duplicate_window: float = limits.DUPLICATE_WINDOW
    ring: str = "consistent"


@dataclass(frozen=True, slots=True)
class RedisResolver:
    """Resolver `redis` of a load balancer."""

    redis: RedisCluster
    drain_delay: float = limits.DRAIN_DELAY


@dataclass(frozen=True, slots=True)
class StaticResolver:
    """Resolver `static`: the samplers by hand."""

    endpoints: tuple[Endpoint, ...]
    drain_delay: float = limits.DRAIN_DELAY


@dataclass(frozen=True, slots=True)
class LoadBalancerConfig:
    """Everything a load balancer process is told."""

    receivers: tuple[Receiver, ...]
    client: OtlpClient  # how it speaks to samplers
    resolver: RedisResolver | StaticResolver
    telemetry: Telemetry
    memory: MemoryLimiter | None = None
    health: HealthCheck | None = None


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """One entry of tail_sampling.policies: its name, its type, and the validated values of the type's block."""

    name: str
    type: str
    values: tuple[tuple[str, object], ...] = ()  # lists are tuples; absent keys are absent


@dataclass(frozen=True, slots=True)
class TailSampling:
    """Processor `tail_sampling`."""

    policies: tuple[PolicySettings, ...]
    decision_wait: float = limits.DECISION_WAIT
    num_traces: int = limits.NUM_TRACES
    expected_new_traces_per_sec: int = 0
    sampled_cache_size: int = 0  # 0 means limits.DECISIONS_MAX
    non_sampled_cache_size: int = 0
    decision_wait_after_root_received: float = 0.0  # 0: traces are not decided earlier for it
    sample_on_first_match: bool = False
    sampling_strategy: str = "trace-complete"  # or span-ingest
    maximum_trace_size_bytes: int = 0  # 0: no bound
    block_on_overflow: bool = False
    drop_pending_traces_on_shutdown: bool = False
    num_shards: int = 1  # has no effect: workers are how more than one core is used
    semantics: str = "parity"  # or strict
    tracestate: bool = False
    record_policy: bool = False


@dataclass(frozen=True, slots=True)
class SamplerConfig:
    """Everything a sampler process is told."""

    receivers: tuple[Receiver, ...]
    tail_sampling: TailSampling
    exporters: tuple[Exporter, ...]
    telemetry: Telemetry
    batch: Batch = Batch()
    memory: MemoryLimiter | None = None
    health: HealthCheck | None = None
    membership: RedisMembership | None = None  # None: it stands alone
