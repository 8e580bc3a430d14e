"""OTLP/gRPC towards destinations: performs Send and reports what came of it as Delivered or Failed."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Collection

import grpc

from gateway import limits
from gateway.config.settings import OtlpClient
from gateway.core import Cancel, Delivered, Failed, Failure, Send
from gateway.membership import VIEW_HEADER, ViewStamp
from gateway.net.driver import die_of_bug
from gateway.net.grpc_server import TRACE_SERVICE
from gateway.net.http_client import HttpClient
from gateway.net.process import VERSION
from gateway.otlp import reply

_EXPORT = f"/{TRACE_SERVICE}/Export"
_OPTIONS = [
    ("grpc.primary_user_agent", f"Tailgate/{VERSION} OTel-OTLP-Exporter-Python/{VERSION}"),
    ("grpc.max_send_message_length", -1),  # bounds are the outbox's
    ("grpc.max_receive_message_length", limits.RESPONSE_BYTES_MAX),
    ("grpc.use_local_subchannel_pool", 1),  # no connection shared with another client of this process
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),  # a member that is back is found within a probe or two
    ("grpc.enable_retries", 0),  # retries are decided in the core
]
# What grpc's core says when no connection could be made, as opposed to a server that answered UNAVAILABLE.
_NOT_CONNECTED = re.compile(
    r"failed to connect to all addresses|connections to all backends failing|errors resolving|(DNS|name) resolution",
    re.I,
)


class Client:
    """Channels by target. `report` takes each attempt's end; it is called once per send, and never after cancel."""

    def __init__(
        self,
        settings: OtlpClient,
        report: Callable[[Delivered | Failed], None],
        refusals: Collection[int] | None = None,
    ) -> None:
        self._report = report
        self._refusals = refusals
        self._secure = not settings.insecure
        self._compression = grpc.Compression.Gzip if settings.gzip else grpc.Compression.NoCompression
        self._headers = settings.headers
        self._patience = settings.timeout + 1.0  # by then every call has ended by its own deadline
        self._channels: dict[str, grpc.aio.Channel] = {}
        self._calls: dict[str, Callable[..., grpc.aio.UnaryUnaryCall[bytes, bytes]]] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._closing: set[asyncio.Task[None]] = set()

    def send(self, action: Send, target: str = "") -> None:
        """Begin to deliver to `target` (the action's destination if it is not given)."""
        task = asyncio.get_running_loop().create_task(self._deliver(action, target or action.destination))
        self._tasks[action.attempt] = task

    def cancel(self, action: Cancel) -> None:
        """Give the attempt up; nothing is reported for it."""
        task = self._tasks.pop(action.attempt, None)
        if task is not None:
            task.cancel()

    def retain(self, targets: list[str]) -> None:
        """Close the channels to all others, once what is in flight on them has ended."""
        for target in [target for target in self._channels if target not in targets]:
            self._calls.pop(target)
            channel = self._channels.pop(target)
            closing = asyncio.get_running_loop().create_task(channel.close(grace=self._patience))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Give everything up and close all channels."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await asyncio.gather(*self._closing)
        self._closing.clear()
        for channel in self._channels.values():
            await channel.close()
        self._channels.clear()
        self._calls.clear()

    def _call(self, target: str) -> Callable[..., grpc.aio.UnaryUnaryCall[bytes, bytes]]:
        call = self._calls.get(target)
        if call is None:
            if self._secure:
                channel = grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(), options=_OPTIONS)
            else:
                channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
            self._channels[target] = channel
            call = self._calls[target] = channel.unary_unary(_EXPORT)
        return call

    async def _deliver(self, action: Send, target: str) -> None:
        event: Delivered | Failed
        try:
            event = await self._attempt(action, target)
        except grpc.aio.AioRpcError as error:
            event = failed(action.attempt, error, self._refusals)
        except Exception:  # noqa: BLE001 -- a bug; in a task it would be silence, and the core would wait for ever
            die_of_bug()
        if self._tasks.pop(action.attempt, None) is not None:
            self._report(event)

    async def _attempt(self, action: Send, target: str) -> Delivered:
        stamped = () if action.stamp is None else ((VIEW_HEADER, str(action.stamp)),)
        call = self._call(target)(
            action.request,
            timeout=action.timeout,
            metadata=(*self._headers, *stamped),
            compression=self._compression,
        )
        response = await call
        stamp = ViewStamp.parse(dict(await call.trailing_metadata()).get(VIEW_HEADER)) if stamped else None
        rejected, message = reply.read_success(response) if response else (0, "")
        return Delivered(action.attempt, rejected, message, stamp)


def open_client(
    settings: OtlpClient, report: Callable[[Delivered | Failed], None], refusals: Collection[int] | None = None
) -> Client | HttpClient:
    """The client that speaks what the settings ask for."""
    return Client(settings, report, refusals) if settings.http_path is None else HttpClient(settings, report, refusals)


def failed(attempt: int, error: grpc.aio.AioRpcError, refusals: Collection[int] | None = None) -> Failed:
    """What an RPC error means: the specification's table of retryable codes, and direct evidence about the destination.

    With `refusals` only these codes refuse, and all others may be tried again: between our own tiers any other code says
    something of us or of what stands between, not of the agent's data.
    """
    trailers = dict(error.trailing_metadata() or ())
    code: int = error.code().value[0]
    details = (error.details() or "")[: limits.MESSAGE_CHARS_MAX]
    reason = f"{error.code().name}: {details}" if details else error.code().name
    retry_after = reply.read_retry_after({key: value for key, value in trailers.items() if isinstance(value, bytes)})
    if code == reply.UNAVAILABLE and retry_after is None and _NOT_CONNECTED.match(details):
        failure = Failure.UNREACHABLE
    elif code == reply.DEADLINE_EXCEEDED:
        failure = Failure.NO_ANSWER
    else:
        retryable = code in reply.RETRYABLE_CODES or (code == reply.RESOURCE_EXHAUSTED and retry_after is not None)
        ours = refusals is not None and code not in refusals
        failure = Failure.RETRYABLE if retryable or ours else Failure.REFUSED
    return Failed(attempt, failure, reason, retry_after, ViewStamp.parse(trailers.get(VIEW_HEADER)))
