"""OTLP/HTTP: POST /v1/traces with a protobuf body, plain or gzip. Every error carries a google.rpc.Status."""

from __future__ import annotations

import asyncio
import logging
import math

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway import limits
from gateway.config.settings import HttpListener
from gateway.core import Accepted, Invalid, Outcome, Overloaded
from gateway.errors import MalformedRequestError, StartupError, TooLargeError
from gateway.net.intake import Intake
from gateway.otlp import reply
from gateway.otlp.inflate import gunzip

PROTOBUF = "application/x-protobuf"


def _is_ours(record: logging.LogRecord) -> bool:
    return record.exc_info is None or not isinstance(record.exc_info[1], (HttpProcessingError, ConnectionError))


_LOG = logging.getLogger(__name__)
_LOG.addFilter(_is_ours)  # what clients do wrong, or leave off, is no reason for a stack trace each


class _TooManyBodiesError(Exception):
    """No room for more of this body."""


class HttpServer:
    """One listener."""

    def __init__(self, listener: HttpListener, intake: Intake, *, reuse_port: bool = False) -> None:
        self._listener = listener
        self._intake = intake
        self._reuse_port = reuse_port
        self._receiving = 0  # bytes of bodies that are not complete yet
        app = web.Application(client_max_size=listener.request_bytes_max)
        app.router.add_route("*", listener.traces_path, self._traces, expect_handler=_expect)
        app.router.add_route("*", r"/{path:[\s\S]*}", self._not_found, expect_handler=_expect)
        # its own inflating answers 500 to a body that is not gzip, which agents take for a reason to drop
        self._runner = web.AppRunner(app, access_log=None, logger=_LOG, auto_decompress=False, handle_signals=False)

    async def start(self) -> int:
        """Listen; the port in use is returned (for port 0). Raises StartupError."""
        endpoint = self._listener.endpoint
        await self._runner.setup()
        site = web.TCPSite(self._runner, endpoint.host or None, endpoint.port, reuse_port=self._reuse_port or None)
        try:
            await site.start()
        except OSError as error:
            await self._runner.cleanup()
            raise StartupError(f"cannot listen on {endpoint} (OTLP/HTTP): {error.strerror or error}") from error
        port: int = self._runner.addresses[0][1]
        return port

    async def stop(self, grace: float) -> None:
        """Close the listener; what is in flight may finish within `grace` seconds; close the connections."""
        for site in self._runner.sites:
            await site.stop()
        await asyncio.sleep(0)  # what has arrived already counts as in flight
        server = self._runner.server
        if server is not None:
            server.pre_shutdown()
            # it waits twice: for handlers, then for those that it has told that no more of their body comes; 0 is for ever
            await server.shutdown(max(grace / 2, 0.001))
        await self._runner.cleanup()

    async def _read(self, request: web.Request) -> bytes:
        """The body as it came. What all bodies take that are not complete yet is bounded: slow clients cost memory too."""
        bytes_max = self._listener.request_bytes_max
        parts: list[bytes] = []
        size = 0
        try:
            async for part in request.content.iter_any():
                size += len(part)
                self._receiving += len(part)
                parts.append(part)
                if size > bytes_max:
                    raise TooLargeError(f"the request has more than {bytes_max} bytes")
                if self._receiving > limits.HTTP_RECEIVING_BYTES_MAX and self._receiving > size:
                    raise _TooManyBodiesError("too many request bodies are being received")
        finally:
            self._receiving -= size
        return b"".join(parts)

    async def _not_found(self, request: web.Request) -> web.Response:
        return _error(404, reply.NOT_FOUND, f"no such path; OTLP traces go to POST {self._listener.traces_path}")

    async def _traces(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            response = _error(405, reply.UNIMPLEMENTED, "OTLP traces are sent with POST")
            response.headers["Allow"] = "POST"
            return response
        if request.content_type.lower() != PROTOBUF:
            named = request.headers.get("Content-Type", "")
            return _error(415, reply.INVALID_ARGUMENT, f"Content-Type must be {PROTOBUF}, not {named!a}")
        encoding = request.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", ""):
            return _error(415, reply.INVALID_ARGUMENT, f"Content-Encoding must be gzip or identity, not {encoding!a}")
        try:
            body = await self._read(request)
            if encoding == "gzip":
                body = gunzip(body, self._listener.request_bytes_max)
        except _TooManyBodiesError as error:
            return _response(Overloaded(str(error), limits.RETRY_AFTER))
        except TooLargeError as error:
            return _error(413, reply.RESOURCE_EXHAUSTED, str(error))
        except (web.RequestPayloadError, HttpProcessingError, ConnectionError) as error:
            return _error(400, reply.INVALID_ARGUMENT, f"the body cannot be read: {error!a}")
        except MalformedRequestError as error:
            return _error(400, reply.INVALID_ARGUMENT, str(error))
        return _response(await self._intake.submit(body))


async def _expect(request: web.Request) -> None:
    """What is not 100-continue may be passed over (RFC 9110, section 10.1.1); aiohttp answers some of it with 500."""
    if request.version >= (1, 1) and request.headers["Expect"].lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0


def _response(outcome: Outcome) -> web.Response:
    match outcome:
        case Accepted(rejected_spans, message):
            return web.Response(body=reply.success(rejected_spans, message), content_type=PROTOBUF)
        case Invalid(message):
            return _error(400, reply.INVALID_ARGUMENT, message)
        case Overloaded(message, retry_after):
            response = _error(503, reply.UNAVAILABLE, message, retry_after)
            response.headers["Retry-After"] = str(max(1, math.ceil(retry_after)))
            return response


def _error(http_status: int, code: int, message: str, retry_after: float | None = None) -> web.Response:
    return web.Response(status=http_status, body=reply.status(code, message, retry_after), content_type=PROTOBUF)
