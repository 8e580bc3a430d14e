"""sampler.config"""

from __future__ import annotations

import pytest

from gateway import limits
from gateway.config import load
from gateway.config.settings import (
    Batch,
    DebugExporter,
    Endpoint,
    FileExporter,
    GrpcListener,
    HealthCheck,
    MemoryLimiter,
    OtlpClient,
    OtlpExporter,
    PolicySettings,
    Receiver,
    RedisCluster,
    RedisMembership,
    SamplerConfig,
    TailSampling,
    Telemetry,
)
from gateway.errors import ConfigError
from sampler.config import parse, remarks

EXAMPLE = """\
receivers: {otlp: {protocols: {grpc: {endpoint: "0.0.0.0:4317"}}}}
processors:
  tail_sampling:
    decision_wait: 10s
    num_traces: 5000
    expected_new_traces_per_sec: 300
    policies:
      - {name: keep-errors, type: status_code, status_code: {status_codes: [ERROR]}}
      - {name: keep-slow, type: latency, latency: {threshold_ms: 1000}}
      - {name: sample-normal-traffic, type: probabilistic, probabilistic: {sampling_percentage: 5}}
exporters: {otlp: {endpoint: "tempo:4317", tls: {insecure: true}}}
extensions:
  health_check: {endpoint: "0.0.0.0:13133"}
  redis_membership: {url: "redis://redis:6379/0", cluster: default, advertise: "${env:POD_IP}:4317"}
service:
  extensions: [health_check, redis_membership]
  pipelines: {traces: {receivers: [otlp], processors: [tail_sampling], exporters: [otlp]}}
"""
ENV = {"POD_IP": "10.1.2.3"}

FULL = """\
receivers: {otlp: {protocols: {grpc: {endpoint: ":1"}}}, otlp/2: {protocols: {http: {endpoint: ":2"}}}}
processors:
  memory_limiter: {check_interval: 1s, limit_percentage: 50}
  memory_limiter/2: {limit_mib: 10}
  tail_sampling: {policies: [{name: all, type: always_sample}]}
  tail_sampling/2: {policies: [{name: all, type: always_sample}]}
  batch: {timeout: 1s, send_batch_size: 10, send_batch_max_size: 20}
exporters:
  otlp_grpc/far: {endpoint: "a:1"}
  debug:
  file: {path: out.jsonl, append: true}
  load_balancing: {resolver: {static: {hostnames: [a]}}}
extensions: {redis_membership: {url: "redis://r", advertise: "a:1"}}
service:
  extensions: []
  pipelines:
    traces/main:
      receivers: [otlp, otlp/2]
      processors: [memory_limiter, tail_sampling, batch]
      exporters: [otlp_grpc/far, debug, file]
"""


def test_the_example_becomes_a_sampler() -> None:
    """The documented example, word for word, says everything a sampler is built from."""
    assert parse(load([("f", EXAMPLE)], ENV)) == SamplerConfig(
        receivers=(Receiver("otlp", GrpcListener(Endpoint("0.0.0.0", 4317)), None),),
        tail_sampling=TailSampling(
            policies=(
                PolicySettings("keep-errors", "status_code", (("status_codes", ("ERROR",)),)),
                PolicySettings("keep-slow", "latency", (("threshold_ms", 1000),)),
                PolicySettings("sample-normal-traffic", "probabilistic", (("sampling_percentage", 5.0),)),
            ),
            decision_wait=10.0,
            num_traces=5000,
            expected_new_traces_per_sec=300,
        ),
        exporters=(OtlpExporter("otlp", OtlpClient(Endpoint("tempo", 4317), insecure=True)),),
        telemetry=Telemetry(metrics=Endpoint("localhost", 8888)),
        health=HealthCheck(Endpoint("0.0.0.0", 13133)),
        membership=RedisMembership(RedisCluster("redis://redis:6379/0"), Endpoint("10.1.2.3", 4317)),
    )


def test_an_unset_variable_is_one_mistake() -> None:
    """Without POD_IP the example is refused, and the message names the variable."""
    with pytest.raises(ConfigError) as caught:
        parse(load([("sampler.yaml", EXAMPLE)], {}))
    assert str(caught.value) == (
        "sampler.yaml:14:80: extensions.redis_membership.advertise: the variable POD_IP is not set; "
        "${env:POD_IP:-default} gives it a default"
    )


def test_a_pipeline_may_hold_all_there_is() -> None:
    """Several receivers and several exporters keep their order and their ids; limiter and batch arrive."""
    found = parse(load([("f", FULL)], {}))
    assert [receiver.name for receiver in found.receivers] == ["otlp", "otlp/2"]
    assert found.memory == MemoryLimiter(limit_share=0.4)
    assert found.batch == Batch(1.0, 10, 20)
    assert found.exporters[0] == OtlpExporter("otlp_grpc/far", OtlpClient(Endpoint("a", 1)))
    assert found.exporters[1:] == (DebugExporter("debug"), FileExporter("file", "out.jsonl", True))


def test_a_sampler_that_is_no_member_stands_alone() -> None:
    """redis_membership counts only where service.extensions names it."""
    assert parse(load([("f", FULL)], {})).membership is None
    assert (
        parse(load([("f", FULL.replace("extensions: []", "extensions: [redis_membership]"))], {})).membership
        is not None
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "[memory_limiter, tail_sampling, batch]",
            "[memory_limiter, batch]",
            "a sampler's pipeline needs tail_sampling",
        ),
        ("[memory_limiter, tail_sampling, batch]", "[batch, tail_sampling]", "batch sets the size of export requests"),
        ("[memory_limiter, tail_sampling, batch]", "[tail_sampling, memory_limiter]", "it must come before it"),
        ("tail_sampling, batch]", "tail_sampling, tail_sampling/2]", "a second tail_sampling"),
        ("[memory_limiter, tail", "[memory_limiter, memory_limiter/2, tail", "a second memory_limiter"),
        ("[otlp_grpc/far, debug, file]", "[debug, load_balancing]", "load_balancing is for load balancers"),
        ("[otlp_grpc/far, debug, file]", "[]", "the pipeline needs an exporter"),
        ("receivers: [otlp, otlp/2]", "receivers: []", "the pipeline needs a receiver"),
    ],
)
def test_what_a_sampler_cannot_be_is_refused(old: str, new: str, message: str) -> None:
    """A pipeline that a sampler cannot run is one mistake with the reason."""
    with pytest.raises(ConfigError) as caught:
        parse(load([("f", FULL.replace(old, new))], {}))
    assert [message in mistake.message for mistake in caught.value.mistakes] == [True]


def test_a_member_takes_what_balancers_forward() -> None:
    """A member without gRPC, or one that takes less than a balancer sends at once, is refused."""
    least = limits.FORWARD_REQUEST_BYTES_MAX // limits.MIB
    member = FULL.replace("extensions: []", "extensions: [redis_membership]")
    small = member.replace('grpc: {endpoint: ":1"}', f'grpc: {{endpoint: ":1", max_recv_msg_size_mib: {least - 1}}}')
    without = member.replace("receivers: [otlp, otlp/2]", "receivers: [otlp/2]")
    for text, message in ((small, f"at least {least}"), (without, "protocols.grpc")):
        with pytest.raises(ConfigError) as caught:
            parse(load([("f", text)], {}))
        assert [message in mistake.message for mistake in caught.value.mistakes] == [True]


def judge(text: str) -> list[str]:
    try:
        parse(load([("f", text)], {}))
    except ConfigError as error:
        return str(error).splitlines()
    return []


SAMPLING = """\
receivers: {otlp: {protocols: {grpc: }}}
processors:
  tail_sampling:
    policies:
    - {name: a, type: string_attribute, string_attribute: {key: k, values: [ok, "a("], enabled_regex_matching: true}}
    - name: b
      type: ottl_condition
      ottl_condition:
        span:
        - |
          name == "x"
          and nonsense == 1
exporters: {debug: }
service: {pipelines: {traces: {receivers: [otlp], processors: [tail_sampling], exporters: [debug]}}}
"""


def test_every_bad_policy_is_named_at_its_place() -> None:
    """Expressions and conditions are judged at load: the first mistake of each policy, at its line and column."""
    found = judge(SAMPLING)
    assert [line.split(": ")[0] for line in found] == ["f:5:82", "f:12:15"]
    assert "processors.tail_sampling.policies[1].ottl_condition.span[0]: " in found[1]


def test_bad_policies_are_named_beside_mistakes_of_the_language() -> None:
    """A policy that only its module can judge is judged even if the file has other mistakes."""
    found = judge(
        SAMPLING.replace("    policies:", "    num_traces: few\n    policies:").replace("type: ottl", "tipe: ottl")
    )
    assert [line.split(":")[1] for line in found] == ["4", "6", "7", "8"]


def test_a_tail_sampling_that_is_not_used_is_judged_too() -> None:
    """What is defined and not named is checked: its policies as well."""
    unused = SAMPLING.replace(
        "  tail_sampling:", "  tail_sampling: {policies: [{name: a, type: always_sample}]}\n  tail_sampling/2:", 1
    )
    assert len(judge(unused)) == 2


def test_policies_may_ask_too_much_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each policy may be right, and all together too much for a sampler: then their list is the mistake."""
    monkeypatch.setattr(limits, "MARKS_MAX", 1)
    right = SAMPLING.replace('"a("', '"a"').replace("nonsense == 1", "true")
    (found,) = judge(right)
    assert found.startswith("f:5:5: processors.tail_sampling.policies: ")


def test_remarks_have_places() -> None:
    """What is remarked on a right file has the file, line and column of the key it is about."""
    text = SAMPLING.replace('"a("', '"a"').replace("nonsense == 1", "true")
    found = [str(remark) for remark in remarks(load([("f", text)], {}))]
    assert [line.split(" ")[:2] for line in found] == [
        ["f:5:77:", "warning:"],
        ["f:5:81:", "warning:"],
        ["f:5:77:", "note:"],
        ["f:5:81:", "note:"],
    ]


def test_remarks_are_for_right_files_only() -> None:
    """A file with mistakes is not remarked on: its mistakes are raised."""
    with pytest.raises(ConfigError):
        remarks(load([("f", SAMPLING)], {}))
