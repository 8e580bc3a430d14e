"""Each policy type in a few traces a newcomer can read: tests/golden/policies, through `tailgate replay`.

A story's first line is the `tail_sampling` block, the lines with `at` are requests as `replay --timed` takes them, and the rest
is what it says of each trace, byte for byte. The naive evaluator must agree with every row.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from gateway import cli
from gateway.config import load
from gateway.config.policies import POLICY_TYPES
from gateway.config.settings import TailSampling
from gateway.otlp.transcode import to_protobuf
from sampler.config import parse
from tests.support.generated import CONDITIONS
from tests.support.naive import DROP, ERROR, KEEP, NO, SKIPPED, Naive, traces_of

STORIES = sorted((Path(__file__).parent.parent / "golden" / "policies").glob("*.jsonl"))
WORDS = {NO: "no", KEEP: "keep", DROP: "drop", ERROR: "error", SKIPPED: "skipped"}


def config_of(block: dict[str, Any]) -> str:
    """A sampler's file with this `tail_sampling`; JSON is YAML."""
    return json.dumps(
        {
            "receivers": {"otlp": {"protocols": {"grpc": {"endpoint": "127.0.0.1:4317"}}}},
            "processors": {"tail_sampling": block},
            "exporters": {"debug": {}},
            "service": {
                "pipelines": {
                    "traces": {"receivers": ["otlp"], "processors": ["tail_sampling"], "exporters": ["debug"]}
                }
            },
        }
    )


def settings_of(block: dict[str, Any]) -> TailSampling:
    return parse(load([("story.yaml", config_of(block))], {})).tail_sampling


def replayed(block: dict[str, Any], inputs: list[str], where: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What the command says of these lines."""
    config, recording = where / "config.yaml", where / "recording.jsonl"
    config.write_text(config_of(block))
    recording.write_text("\n".join(inputs) + "\n")
    capsys.readouterr()
    assert cli.main(["replay", "--config", str(config), "--timed", str(recording)]) == 0
    return capsys.readouterr().out.splitlines()


def check(rows: list[dict[str, Any]], block: dict[str, Any], inputs: list[str]) -> None:
    """The naive evaluator says the same of every trace, at the same times."""
    requests = [
        ExportTraceServiceRequest.FromString(to_protobuf(json.dumps(json.loads(each)["request"]).encode()))
        for each in inputs
    ]
    made = settings_of(block)
    names = [policy.name for policy in made.policies]
    traces, naive = traces_of(requests), Naive(made, CONDITIONS)
    for row in rows:
        decision = naive.decide(traces.pop(bytes.fromhex(row["trace_id"])), row["decided_at"])
        assert row["votes"] == {name: WORDS[vote] for name, vote in zip(names, decision.votes, strict=True)}
        assert row["decision"] == ("keep" if decision.keep else "drop")
        assert row["policy"] == (names[decision.policy] if decision.policy >= 0 else None)
    assert not traces, "every trace has a row"


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_story(story: Path, request: pytest.FixtureRequest, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A policy does what its story says, and the story is right."""
    first, *lines = story.read_text().splitlines()
    block = json.loads(first)
    inputs = [line for line in lines if line.startswith('{"at"')]
    rows = replayed(block, inputs, tmp_path, capsys)
    if request.config.getoption("--rewrite"):
        story.write_text("\n".join([first, *inputs, *rows]) + "\n")
    assert [first, *inputs, *rows] == story.read_text().splitlines()
    check([json.loads(row) for row in rows], block, inputs)


def test_every_policy_has_a_story() -> None:
    """No policy type is left out."""
    assert not {*POLICY_TYPES} - {story.stem for story in STORIES}
