"""The way from a balancer to the samplers: OTLP/gRPC to a member's endpoint, or OTLP/HTTP to its HTTP address.

A member that has no HTTP address is spoken to by OTLP/gRPC whatever is configured: so clusters change over member by member.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from gateway.config.settings import OtlpClient
from gateway.core import Cancel, Delivered, Failed, Send
from gateway.membership import Member
from gateway.net.client import Client
from gateway.net.http_client import HttpClient


class Hop:
    """Performs Send to members by their endpoints. Arguments as those of Client."""

    def __init__(
        self, settings: OtlpClient, report: Callable[[Delivered | Failed], None], refusals: Collection[int]
    ) -> None:
        self._grpc = Client(replace(settings, http_path=None), report, refusals)
        self._http = None if settings.http_path is None else HttpClient(settings, report, refusals)
        self._addresses: dict[str, str] = {}  # endpoint: where OTLP/HTTP goes

    def follow(self, members: Iterable[Member]) -> list[str]:
        """These are the members now; close what leads elsewhere. The endpoints without HTTP where HTTP is configured."""
        members = list(members)
        if self._http is None:
            self._grpc.retain([member.endpoint for member in members])
            return []
        self._addresses = {member.endpoint: member.http for member in members if member.http}
        without = [member.endpoint for member in members if not member.http]
        self._http.retain(list(self._addresses.values()))
        self._grpc.retain(without)
        return without

    def send(self, action: Send) -> None:
        """Begin to deliver."""
        address = self._addresses.get(action.destination)
        if self._http is not None and address is not None:
            self._http.send(action, address)
        else:
            self._grpc.send(action)

    def cancel(self, action: Cancel) -> None:
        """Give the attempt up; nothing is reported for it."""
        self._grpc.cancel(action)
        if self._http is not None:
            self._http.cancel(action)

    async def close(self) -> None:
        """Give everything up and close everything."""
        await self._grpc.close()
        if self._http is not None:
            await self._http.close()
