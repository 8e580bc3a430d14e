"""A trace store for tests: takes what samplers export, over real gRPC, and remembers every span's bytes."""

from __future__ import annotations

import threading
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue


class Backend(trace_service_pb2_grpc.TraceServiceServicer):
    """Listens on a port of its own.

    `spans` maps a trace id to the bytes of its spans, in order of arrival; `scopes` to the attributes of the scope that each of
    them came in.
    """

    def __init__(self) -> None:
        self.spans: dict[bytes, list[bytes]] = {}
        self.scopes: dict[bytes, list[list[KeyValue]]] = {}
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(4), options=[("grpc.so_reuseport", 0)])
        trace_service_pb2_grpc.add_TraceServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def Export(  # noqa: N802 -- the service's own name
        self, request: ExportTraceServiceRequest, context: grpc.ServicerContext
    ) -> trace_service_pb2.ExportTraceServiceResponse:
        with self._lock:
            for resource_spans in request.resource_spans:
                for scope_spans in resource_spans.scope_spans:
                    attributes = list(scope_spans.scope.attributes)
                    for span in scope_spans.spans:
                        self.scopes.setdefault(span.trace_id, []).append(attributes)
                        self.spans.setdefault(span.trace_id, []).append(span.SerializeToString())
        return ExportTraceServiceResponse()

    def count(self) -> int:
        """Spans received so far."""
        with self._lock:
            return sum(map(len, self.spans.values()))

    def close(self) -> None:
        """Stop listening."""
        self._server.stop(None)
