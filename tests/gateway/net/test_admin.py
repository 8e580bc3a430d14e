"""gateway.net.admin: health, readiness and metrics, as probes and scrapers see them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway import collector_metrics, metrics
from gateway.collector_metrics import Aliases
from gateway.config.settings import Endpoint, HealthCheck
from gateway.errors import StartupError
from gateway.membership import Member, RingParameters, State, make_view
from gateway.metrics import Kind, Tally
from gateway.net.admin import Admin, Explain, Pages, show_view
from tests.support.edge import LOOPBACK, Answer, http_raw, read_answer

READY = (True, "")


@dataclass
class Process:
    """What an Admin shows."""

    admin: Admin
    tally: Tally
    ready: tuple[bool, str] = READY
    published: int = 0

    @property
    def ports(self) -> list[int]:
        return self.admin.pages.ports


@asynccontextmanager
async def process(
    *, publish: Callable[[Tally], None] = lambda tally: None, aliases: Aliases = (), explain: Explain | None = None
) -> AsyncIterator[Process]:
    tally = Tally()

    def count() -> None:
        made.published += 1
        publish(tally)

    made = Process(Admin(tally, lambda: made.ready, count, aliases=aliases, explain=explain), tally)
    try:
        yield made
    finally:
        await made.admin.stop()


async def get(port: int, path: str, method: str = "GET") -> Answer:
    return await http_raw(port, f"{method} {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())


def samples(text: bytes) -> dict[str, dict[tuple[str, ...], float]]:
    """All samples by name and label values."""
    out: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text.decode()):
        for sample in family.samples:
            series = out.setdefault(sample.name, {})
            assert tuple(sample.labels.values()) not in series, "a series is there twice"
            series[tuple(sample.labels.values())] = sample.value
    return out


# ---------------------------------------------------------------- metrics


async def test_every_instrument_is_there_from_the_start() -> None:
    """Before anything has happened every instrument without labels is there as 0, and every one has its help and type."""
    async with process() as made:
        text = made.admin.exposition()
    found = samples(text)
    for instrument in metrics.TABLE:
        family = instrument.name.removesuffix("_total") if b"_total_total" in text else instrument.name
        assert f"# TYPE {family} {instrument.kind.value}".encode() in text
        assert f"# HELP {family} {instrument.help}".encode() in text
        if instrument.kind is Kind.HISTOGRAM and not instrument.labels:
            assert found[f"{instrument.name}_count"] == {(): 0.0}
        elif not instrument.labels and instrument is not metrics.READY:
            assert found[instrument.name] == {(): 0.0}
    assert found["process_resident_memory_bytes"][()] > 1_000_000


async def test_counts_and_gauges() -> None:
    """What was counted is shown under its labels, whatever characters they hold."""
    strange = 'a"b\\c\nd é'
    async with process() as made:
        made.tally.add(metrics.SPANS_REJECTED, 3, "invalid_id")
        made.tally.add(metrics.SPANS_REJECTED, 2, strange)
        made.tally.add(metrics.TRACES_DECIDED, 7, "keep", "errors")
        made.tally.set(metrics.BUFFER_BYTES, 1.5)
        found = samples(made.admin.exposition())
    assert found[metrics.SPANS_REJECTED.name] == {("invalid_id",): 3.0, (strange,): 2.0}
    assert found[metrics.TRACES_DECIDED.name] == {("keep", "errors"): 7.0}
    assert found[metrics.BUFFER_BYTES.name] == {(): 1.5}


async def test_histograms() -> None:
    """A histogram shows how many values were up to each bound, how many there were, and their sum."""
    async with process() as made:
        made.tally.observe(metrics.FORWARD_SECONDS, 0.015, "s1", "accepted", count=2)
        made.tally.observe(metrics.FORWARD_SECONDS, 60.0, "s1", "accepted")
        found = samples(made.admin.exposition())
    name, labels = metrics.FORWARD_SECONDS.name, ("s1", "accepted")
    upto = {next(each for each in key if each not in labels): n for key, n in found[f"{name}_bucket"].items()}
    assert (upto["0.01"], upto["0.02"], upto["5.0"], upto["+Inf"]) == (0, 2, 2, 3)
    assert (found[f"{name}_count"][labels], found[f"{name}_sum"][labels]) == (3, 60.03)


async def test_collector_names_beside_ours() -> None:
    """A Collector's counters are shown with `_total` and without, its gauges and histograms by their names."""
    async with process(aliases=collector_metrics.sampler()) as made:
        made.tally.add(metrics.TRACES_RECEIVED, 5)
        made.tally.set(metrics.BUFFER_TRACES, 3)
        made.tally.observe(metrics.LATE_SPAN_AGE, 7.0)
        text = made.admin.exposition()
        found = samples(text)
    prefix = "otelcol_processor_tail_sampling_"
    assert found[f"{prefix}new_trace_id_received"] == found[f"{prefix}new_trace_id_received_total"] == {(): 5}
    assert found[f"{prefix}sampling_traces_on_memory"] == {(): 3}
    assert found[f"{prefix}sampling_late_span_age_count"] == {(): 1}
    assert f"# TYPE {prefix}new_trace_id_received untyped".encode() in text
    assert found["otelcol_process_memory_rss"] == found["process_resident_memory_bytes"]
    assert found["otelcol_process_cpu_seconds_total"] == found["otelcol_process_cpu_seconds"]
    assert 0 <= found["otelcol_process_uptime"][()] < 1e6
    lines = [line for line in text.splitlines() if line.startswith(b"# TYPE")]
    assert len(lines) == len(set(lines))


async def test_the_page_of_a_trace() -> None:
    """/debug/trace/ID gives status and JSON of whoever explains, on every address, and tells it whether only it is asked."""
    asked: list[tuple[str, bool]] = []

    async def explain(text: str, local: bool) -> tuple[int, dict[str, object]]:
        asked.append((text, local))
        return 502, {"state": "unknown"}

    async with process(explain=explain) as made:
        await made.admin.serve(HealthCheck(LOOPBACK), Endpoint("localhost", 0))
        for port in made.ports:
            answer = await get(port, "/debug/trace/ab%2Fcd?local=1")
            assert (answer.status, json.loads(answer.body)) == (502, {"state": "unknown"})
        assert (await get(made.ports[0], "/debug/trace/x")).status == 502
    assert asked == [("ab/cd", True), ("ab/cd", True), ("x", False)]


async def test_counters_never_go_back() -> None:
    """Two scrapes see a counter grow, and each brings the gauges up to date first."""

    def publish(tally: Tally) -> None:
        tally.set(metrics.BUFFER_SPANS, made.published * 10)

    async with process(publish=publish) as made:
        made.tally.add(metrics.SPANS_LATE, 1, "keep")
        first = samples(made.admin.exposition())
        made.tally.add(metrics.SPANS_LATE, 4, "keep")
        second = samples(made.admin.exposition())
    assert [found[metrics.SPANS_LATE.name] for found in (first, second)] == [{("keep",): 1.0}, {("keep",): 5.0}]
    assert [found[metrics.BUFFER_SPANS.name][()] for found in (first, second)] == [10.0, 20.0]


async def test_readiness_is_a_metric_too() -> None:
    """The gauge of readiness says what the probe would say."""
    async with process() as made:
        made.ready = (False, "draining")
        assert samples(made.admin.exposition())[metrics.READY.name] == {(): 0.0}
        made.ready = READY
        assert samples(made.admin.exposition())[metrics.READY.name] == {(): 1.0}


async def test_names_are_what_prometheus_asks() -> None:
    """Counters end in _total and nothing else does; every name has the product's prefix."""
    for instrument in metrics.TABLE:
        assert instrument.name.startswith("tailgate_")
        assert instrument.name.endswith("_total") == (instrument.kind is Kind.COUNTER)


async def test_metrics_over_http() -> None:
    """/metrics answers in Prometheus's text format; there is no health where only metrics are configured."""
    async with process() as made:
        await made.admin.serve(None, LOOPBACK)
        (port,) = made.ports
        answer = await get(port, "/metrics")
        assert (answer.status, answer.headers["content-type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
        assert "tailgate_spans_received_total" in samples(answer.body)
        assert [(await get(port, path)).status for path in ("/", "/ready", "/live")] == [404] * 3


def test_the_view_is_shown() -> None:
    """The gauges of the view follow it: one digest, and a count for every state."""
    tally = Tally()
    show_view(tally, None)
    assert not list(tally)
    old = make_view(3, [Member("a", "a:1"), Member("b", "b:1", state=State.DRAINING)], RingParameters())
    show_view(tally, make_view(2, [Member("a", "a:1")], RingParameters()))
    show_view(tally, old)
    assert tally.get(metrics.VIEW_EPOCH) == 3
    assert [labels for which, labels, _ in tally if which is metrics.VIEW_INFO] == [(old.digest,)]
    states = {labels[0]: value for which, labels, value in tally if which is metrics.VIEW_MEMBERS}
    assert states == {"joining": 0, "active": 1, "draining": 1}


# ---------------------------------------------------------------- health


@pytest.mark.parametrize("path", ["/", "/ready", "/health/status"])
async def test_readiness(path: str) -> None:
    """Readiness is 200, or 503 with the reason, at the configured path and at /ready."""
    async with process() as made:
        await made.admin.serve(HealthCheck(LOOPBACK, path), None)
        (port,) = made.ports
        for asked in (path, "/ready"):
            made.ready = READY
            answer = await get(port, asked)
            assert (answer.status, json.loads(answer.body)) == (200, {"status": "Server available"})
            made.ready = (False, "no view yet")
            answer = await get(port, asked)
            assert answer.status == 503
            assert json.loads(answer.body) == {"status": "Server not available", "reason": "no view yet"}
            assert answer.headers["content-type"].startswith("application/json")


async def test_liveness_is_not_readiness() -> None:
    """/live answers 200 as long as the process answers at all: not being ready is no reason to be killed."""
    async with process() as made:
        await made.admin.serve(HealthCheck(LOOPBACK), None)
        made.ready = (False, "draining")
        answer = await get(made.ports[0], "/live")
        assert (answer.status, json.loads(answer.body)) == (200, {"status": "alive"})
        assert (await get(made.ports[0], "/nothing")).status == 404
        assert (await get(made.ports[0], "/live", "POST")).status == 405


async def test_metrics_are_at_the_health_address_too() -> None:
    """Where health is served /metrics is served too, and one address for both is one listener."""
    async with process() as made:
        await made.admin.serve(HealthCheck(LOOPBACK), LOOPBACK)
        (port,) = made.ports
        assert [(await get(port, path)).status for path in ("/", "/metrics")] == [200, 200]


async def test_two_addresses() -> None:
    """Health and metrics on addresses of their own are two listeners."""
    async with process() as made:
        await made.admin.serve(HealthCheck(LOOPBACK), Endpoint("localhost", 0))
        health, scrape = made.ports
        assert (await get(health, "/")).status == 200
        assert (await get(scrape, "/metrics")).status == 200
        assert (await get(scrape, "/")).status == 404


async def test_everything_on_a_unix_socket(tmp_path: Path) -> None:
    """A worker answers its parent on a unix socket, also where a dead one left its socket behind."""
    path = tmp_path / "admin.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    async with process() as made:
        made.ready = (False, "draining")
        await made.admin.serve_unix(str(path))
        for asked, status in (("/", 503), ("/ready", 503), ("/live", 200), ("/metrics", 200)):
            reader, writer = await asyncio.open_unix_connection(str(path))
            writer.write(f"GET {asked} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
            assert (await read_answer(reader)).status == status
            writer.close()


@pytest.mark.parametrize("what", ["health_check", "metrics"])
async def test_a_port_in_use_is_one_line(what: str) -> None:
    """A port in use is one line that names the address and what wanted it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = Endpoint("127.0.0.1", taken.getsockname()[1])
        async with process() as made:
            with pytest.raises(StartupError) as caught:
                await made.admin.serve(
                    HealthCheck(endpoint) if what == "health_check" else None, endpoint if what == "metrics" else None
                )
    text = str(caught.value)
    assert text.startswith(f"cannot listen on {endpoint} ({what}): ")
    assert "address already in use" in text.lower()
    assert "\n" not in text


async def test_what_is_to_be_said_is_said_to_both() -> None:
    """A reason is shown beside a yes as well as beside a no: what is ready may have something missing."""
    said = (True, "workers not ready: 1")

    async def ready() -> tuple[bool, str]:
        return said

    async def exposition() -> bytes:
        return b""

    pages = Pages(ready, exposition)
    await pages.serve(HealthCheck(LOOPBACK), None)
    try:
        answer = await get(pages.ports[0], "/ready")
        assert (answer.status, json.loads(answer.body)) == (200, {"status": "Server available", "reason": said[1]})
        said = (False, "workers not ready: 0, 1")
        answer = await get(pages.ports[0], "/ready")
        assert (answer.status, json.loads(answer.body)) == (503, {"status": "Server not available", "reason": said[1]})
    finally:
        await pages.stop()


async def test_stopping_waits_for_nobody() -> None:
    """Stopping closes idle connections and those that have sent half a request: probes do not hold up the end."""
    async with process() as made:
        await made.admin.serve(HealthCheck(LOOPBACK), None)
        readers = []
        for piece in (b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", b"GET / HTTP/1.1\r\n", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", made.ports[0])
            writer.write(piece)
            readers.append((reader, writer))
        assert (await read_answer(readers[0][0])).status == 200
        await asyncio.wait_for(made.admin.stop(), 10)
        for reader, writer in readers:
            assert await reader.read() == b""
            writer.close()


async def test_what_is_no_http_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Whoever sends something else than HTTP, or too long a path, is told so and leaves nothing in the log; our own bugs do."""

    async def broken(text: str, local: bool) -> tuple[int, dict[str, object]]:
        raise ArithmeticError

    async with process(explain=broken) as made:
        await made.admin.serve(HealthCheck(LOOPBACK), None)
        (port,) = made.ports
        for path in ("/debug/trace/" + "a" * 10_000, "/debug/trace/é"):
            assert (await get(port, path)).status == 400
        assert not caplog.records
        assert (await get(port, "/debug/trace/" + "a" * 32)).status == 500
        assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [ArithmeticError]
