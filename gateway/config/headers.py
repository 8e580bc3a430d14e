"""Headers that are sent with every request.

Owns which names and values gRPC and HTTP can carry. A value may be a secret, and no message shows one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import PydanticCustomError
from typing_extensions import override

from gateway.config.block import Flaw
from gateway.config.scalars import Kind, Text, passed_over, wrong
from gateway.config.tree import Path, Substituted
from gateway.config.words import shown

_HEADER_NAME = re.compile(r"[0-9a-z_.\-]{1,200}")
_HTTP_OWN = frozenset(
    (
        *("accept-encoding", "connection", "content-encoding", "content-length", "content-type", "expect", "host"),
        *("keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "x-tailgate-view"),
    )
)
_RESERVED: Mapping[str, Callable[[str], bool]] = {
    "gRPC": lambda name: name.startswith("grpc-") or name.endswith("-bin") or name in ("te", "content-type"),
    "HTTP": _HTTP_OWN.__contains__,
}
_HEADER_VALUE = re.compile(r"[\x20-\x7e]{0,8192}")


@dataclass(frozen=True, slots=True)
class Headers(Kind):
    """Names and values sent with every request, as a mapping or as the Collector's list of {name, value}.

    `protocol` is gRPC or HTTP, and some names are its own.
    """

    protocol: str = "gRPC"

    @property
    @override
    def name(self) -> str:
        return "mapping of text to text, or list of `{name, value}`"

    @override
    def unwrapped(self, given: object) -> object:
        return {} if given is None or (isinstance(given, Substituted) and given.value is None) else given

    @override
    def read(self, given: Any, said: str) -> object:
        headers: dict[str, str] = {}
        flaws: list[Flaw] = []
        unknown = False
        for path, name, value in _header_entries(given, said):
            try:
                checked = _header_name(name, self.protocol)
                if checked in headers:
                    raise wrong(f"the header {shown(checked)} is there twice; their names know no upper and lower case")
                headers[checked] = _header_value(checked, value)
            except PydanticCustomError as error:
                unknown |= error.type == "passed_over"
                flaws += [
                    Flaw(path, str(context["message"])) for context in [error.context or {}] if "message" in context
                ]
        if flaws:
            raise PydanticCustomError("flaws", "", {"flaws": flaws})
        if unknown:
            raise passed_over()
        return tuple(headers.items())

    @override
    def written(self, value: object) -> str:
        return "none"


def _header_entries(given: Any, said: str) -> Iterator[tuple[Path, object, object]]:
    """Where each header stands, its name and its value."""
    if isinstance(given, dict):
        yield from (((name,), name, value) for name, value in given.items())
    elif isinstance(given, list) and all(isinstance(item, dict) and item.keys() == {"name", "value"} for item in given):
        yield from (((index,), item["name"], item["value"]) for index, item in enumerate(given))
    else:
        raise wrong(f"expected a mapping of headers, got {said}")


def _header_name(given: object, protocol: str) -> str:
    name = str(Text("a header's name").validate(given)).lower()
    if not _HEADER_NAME.fullmatch(name):
        raise wrong(f"{shown(given)} is no name of a header: letters, digits, - _ and .")
    if _RESERVED[protocol](name):
        raise wrong(f"the header {shown(given)} belongs to {protocol} itself")
    return name


def _header_value(name: str, given: object) -> str:
    """The checked value; it may be a secret and is never shown."""
    value = Text(f"text as the value of the header {shown(name)}", empty=True, secret=True).validate(given)
    if not _HEADER_VALUE.fullmatch(str(value)):
        raise wrong(f"the value of the header {shown(name)} holds characters that a header cannot carry")
    return str(value)
