"""gateway.config.otlp"""

from __future__ import annotations

from gateway.config import load, settings
from gateway.config.block import examine
from gateway.config.otlp import OtlpExporter, OtlpHttpExporter
from gateway.config.settings import Endpoint


def exporter(text: str) -> settings.OtlpClient:
    block, mistakes = examine(OtlpExporter, load([("f", text)], {"TOKEN": "10"}).root, ())
    assert block is not None, mistakes
    return block.settings("otlp").client


def mistakes(text: str) -> list[str]:
    return [mistake.message for mistake in sorted(examine(OtlpExporter, load([("f", text)], {}).root, ())[1])]


def test_an_exporters_defaults_are_the_collectors() -> None:
    """With nothing but an endpoint: TLS, gzip, 5 s, retry for 5 minutes, 1000 requests in the queue."""
    assert exporter("endpoint: tempo:4317") == settings.OtlpClient(Endpoint("tempo", 4317))


def test_every_key_of_an_exporter_arrives() -> None:
    """What the file says is what the exporter is built from."""
    found = exporter(
        "endpoint: tempo:4317\ncompression: none\ntls: {insecure: true}\ntimeout: 2s\nheaders: {X-Scope: a, token: '${TOKEN}'}\n"
        "retry_on_failure: {enabled: false, initial_interval: 1s, randomization_factor: 0, multiplier: 2, max_interval: 8s,"
        " max_elapsed_time: 0}\nsending_queue: {enabled: true, num_consumers: 3, queue_size: 7}\n"
    )
    assert found == settings.OtlpClient(
        Endpoint("tempo", 4317),
        insecure=True,
        gzip=False,
        headers=(("x-scope", "a"), ("token", "10")),
        timeout=2.0,
        retry=settings.Retry(False, 1.0, 8.0, 2.0, 0.0, 0.0),
        queue=settings.Queue(7, 3),
    )


def test_the_scheme_decides_about_tls() -> None:
    """http:// is without TLS, https:// with it."""
    assert exporter("endpoint: http://tempo:4317").insecure is True
    assert exporter("endpoint: https://tempo:4317").insecure is False


def test_times_that_undo_retrying_are_refused_only_where_it_is_on() -> None:
    """Giving up before the second attempt is a mistake, unless there is none anyway."""
    text = "endpoint: a:1\nretry_on_failure: {enabled: %s, max_elapsed_time: 1s}"
    assert mistakes(text % "true") == [
        "must not be shorter than initial_interval",
        "must not be shorter than max_interval",
    ]
    assert mistakes(text % "false") == []


def http_exporter(text: str) -> settings.OtlpClient:
    block, mistakes = examine(OtlpHttpExporter, load([("f", text)], {}).root, ())
    assert block is not None, mistakes
    return block.settings("otlp_http").client


def test_an_http_exporters_defaults_are_the_collectors() -> None:
    """With nothing but a base URL: its scheme decides about TLS, /v1/traces is added, gzip, 30 s."""
    assert http_exporter("endpoint: https://tempo/") == settings.OtlpClient(
        Endpoint("tempo", 443), timeout=30.0, http_path="/v1/traces"
    )
    assert http_exporter("endpoint: http://tempo").endpoint == Endpoint("tempo", 80)
    assert http_exporter("endpoint: http://[::1]:4318/otlp").http_path == "/otlp/v1/traces"
    assert http_exporter("endpoint: http://tempo:4318?key=a").http_path == "/v1/traces?key=a"


def test_every_key_of_an_http_exporter_arrives() -> None:
    """What the file says is what the exporter is built from; traces_endpoint is taken as it is and comes first."""
    found = http_exporter(
        "endpoint: http://a:1\ntraces_endpoint: http://tempo:4318/in?x=1\ncompression: none\ntimeout: 2s\nencoding: proto\n"
        "headers: {grpc-like: a}\ntls: {insecure: true}\nretry_on_failure: {enabled: false}\n"
        "sending_queue: {num_consumers: 3, queue_size: 7}\n"
    )
    assert found == settings.OtlpClient(
        Endpoint("tempo", 4318),
        insecure=True,
        gzip=False,
        headers=(("grpc-like", "a"),),
        timeout=2.0,
        retry=settings.Retry(False),
        queue=settings.Queue(7, 3),
        http_path="/in?x=1",
    )
    assert http_exporter("traces_endpoint: http://tempo:4318").http_path == "/"
