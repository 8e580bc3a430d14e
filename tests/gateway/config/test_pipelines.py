"""gateway.config.pipelines"""

from __future__ import annotations

from gateway.config import load, settings
from gateway.config.block import examine
from gateway.config.pipelines import Service, Telemetry
from gateway.config.settings import Endpoint

PULL = "{pull: {exporter: {prometheus: {host: 0.0.0.0, port: 9}}}}"


def telemetry(text: str) -> tuple[settings.Telemetry | None, list[str]]:
    block, mistakes = examine(Telemetry, load([("f", text)], {}).root, ())
    return block and block.settings(), [f"{mistake.path}: {mistake.message}" for mistake in sorted(mistakes)]


def test_metrics_are_served_where_the_collectors_are() -> None:
    """Without a word about telemetry: info, and metrics on localhost:8888."""
    assert telemetry("")[0] == settings.Telemetry("info", "auto", Endpoint("localhost", 8888))


def test_metrics_have_two_forms_and_can_be_off() -> None:
    """An address, one pull reader, or level none."""
    assert telemetry("metrics: {address: ':9'}")[0] == settings.Telemetry(metrics=Endpoint("0.0.0.0", 9))
    assert telemetry(f"metrics: {{readers: [{PULL}]}}")[0] == settings.Telemetry(metrics=Endpoint("0.0.0.0", 9))
    assert telemetry("metrics: {level: none, address: ':9'}")[0] == settings.Telemetry(metrics=None)


def test_metrics_have_one_place() -> None:
    """Both forms at once, no reader and a second reader are mistakes."""
    assert telemetry(f"metrics: {{readers: [{PULL}, {PULL}]}}")[1] == [
        "metrics.readers[1]: a second reader is not built yet"
    ]
    assert telemetry("metrics: {readers: []}")[1] == ["metrics.readers: names no reader; level: none turns metrics off"]
    assert telemetry(f"metrics: {{address: ':9', readers: [{PULL}]}}")[1] == [
        "metrics.readers: stands beside address; only one of the two can count"
    ]


def test_names_of_metrics_cannot_be_changed() -> None:
    """Of the exporter's switches about names only what is true anyway is taken."""
    text = "metrics: {readers: [{pull: {exporter: {prometheus: {without_scope_info: %s, %s: true}}}}]}"
    assert telemetry(text % ("true", "port"))[1][0].endswith("expected a whole number, got true")
    messages = telemetry(text % ("false", "without_units"))[1]
    assert [message.rpartition("prometheus.")[2] for message in messages] == [
        "without_scope_info: false is not built: metrics have no scope",
        "without_units: not built yet: the names of metrics are fixed and carry their units and types",
    ]


def test_logs_have_a_level_and_an_encoding() -> None:
    """The Collector's levels in any case, and its encodings."""
    assert telemetry("logs: {level: DEBUG, encoding: json}")[0] == settings.Telemetry(
        "debug", "json", Endpoint("localhost", 8888)
    )


def test_lists_of_a_pipeline_may_be_empty() -> None:
    """A list that is named with nothing in it is empty, not wrong."""
    text = "extensions:\npipelines:\n  traces:\n    processors:\n    receivers: [otlp]\n"
    block, mistakes = examine(Service, load([("f", text)], {}).root, ())
    assert mistakes == [] and block is not None
    assert block.pipelines["traces"].processors == [] and block.extensions == []
