"""gateway.config.receivers"""

from __future__ import annotations

from gateway import limits
from gateway.config import load, settings
from gateway.config.block import examine
from gateway.config.receivers import OtlpReceiver
from gateway.config.settings import Endpoint


def receiver(text: str) -> settings.Receiver:
    block, mistakes = examine(OtlpReceiver, load([("f", text)], {}).root, ())
    assert block is not None, mistakes
    return block.settings("otlp")


def test_a_protocol_alone_has_the_collectors_endpoint() -> None:
    """grpc listens on localhost:4317 and http on localhost:4318 unless told otherwise."""
    found = receiver("protocols:\n  grpc:\n  http:\n")
    assert found.grpc == settings.GrpcListener(Endpoint("localhost", 4317))
    assert found.http == settings.HttpListener(Endpoint("localhost", 4318))
    assert receiver("protocols: {http: }").grpc is None


def test_receivers_bound_what_they_take() -> None:
    """The bounds of both protocols are bytes after decompression; a path may lack its slash."""
    text = "protocols: {grpc: {max_recv_msg_size_mib: 8}, http: {max_request_body_size: 20MiB, traces_url_path: otlp}}"
    found = receiver(text)
    assert found.grpc is not None and found.grpc.request_bytes_max == 8 * limits.MIB
    assert found.http is not None and found.http.request_bytes_max == 20 * limits.MIB
    assert found.http.traces_path == "/otlp"


def test_the_front_is_grpcio_unless_named() -> None:
    """What carries gRPC is grpcio or native, and anything else is a mistake that names both."""
    grpc = [receiver(f"protocols: {{grpc: {{{text}}}}}").grpc for text in ("", "front: native", "front: grpcio")]
    assert [found.front for found in grpc if found] == ["grpcio", "native", "grpcio"]
    block, mistakes = examine(OtlpReceiver, load([("f", "protocols: {grpc: {front: rust}}")], {}).root, ())
    assert block is None
    assert "grpcio" in mistakes[0].message and "native" in mistakes[0].message
