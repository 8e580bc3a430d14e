"""The sink takes what it is sent, says so, and goes when the bench goes."""

from __future__ import annotations

import http.client

import grpc
import pytest

from bench import load, sink, workload
from bench.processes import module, running


def test_a_bare_sink_counts_nothing() -> None:
    """The floor is a server that takes the bytes and answers, and does nothing else."""
    totals = sink.Totals(bare=True)
    assert totals.take(b"not even protobuf") == b""
    assert totals.line() == '{"calls": 0, "spans": 0, "bytes": 0}'


@pytest.mark.integration
@pytest.mark.parametrize("form", ["http2", "sync", "aio", "native"])
def test_a_sink_counts_the_spans_it_acknowledges(form: str) -> None:
    """Two requests of 32 spans are 64 spans, whichever server takes them, and the answer is a full success."""
    requests = workload.stream(workload.templates(32, distinct_spans=64))
    with running(module("sink", "--form", form), talks=True) as child:
        with grpc.insecure_channel(f"127.0.0.1:{child.read()['port']}") as channel:
            sent = [next(requests)[0] for _ in range(2)]
            assert [channel.unary_unary(load.METHOD)(request, timeout=10.0) for request in sent] == [b"", b""]
        assert child.ask() == {"calls": 2, "spans": 64, "bytes": sum(map(len, sent))}


@pytest.mark.integration
def test_the_sink_takes_http_on_the_same_port() -> None:
    """A request by OTLP/HTTP counts as one by OTLP/gRPC does, several on one connection."""
    request, _ = next(workload.stream(workload.templates(32, distinct_spans=64)))
    with running(module("sink"), talks=True) as child:
        connection = http.client.HTTPConnection("127.0.0.1", child.read()["port"], timeout=10)
        for _ in range(2):
            connection.request("POST", "/v1/traces", request, {"Content-Type": "application/x-protobuf"})
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (200, b"")
        connection.close()
        assert child.ask() == {"calls": 2, "spans": 64, "bytes": 2 * len(request)}
