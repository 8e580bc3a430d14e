"""gateway.config.headers"""

from __future__ import annotations

import pytest
from pydantic_core import PydanticCustomError

from gateway.config import load, settings
from gateway.config.block import examine
from gateway.config.headers import Headers
from gateway.config.otlp import OtlpExporter


def exporter(text: str) -> settings.OtlpClient:
    block, mistakes = examine(OtlpExporter, load([("f", text)], {"TOKEN": "10"}).root, ())
    assert block is not None, mistakes
    return block.settings("otlp").client


def mistakes(text: str) -> list[str]:
    return [mistake.message for mistake in sorted(examine(OtlpExporter, load([("f", text)], {}).root, ())[1])]


def test_headers_may_be_a_list() -> None:
    """The Collector's newer form of headers is taken as well."""
    assert exporter("endpoint: a:1\nheaders: [{name: A, value: x}]").headers == (("a", "x"),)
    assert exporter("endpoint: a:1\nheaders:\n").headers == ()
    assert mistakes("endpoint: a:1\nheaders: [a]") == ["expected a mapping of headers, got a list"]


def test_every_wrong_header_is_named() -> None:
    """Each header is judged, and no value is shown."""
    text = 'endpoint: a:1\nheaders:\n  a-bin: x\n  b c: x\n  d: 5\n  e: "\\0hunter2"\n'
    found = mistakes(text)
    assert found == [
        'the header "a-bin" belongs to gRPC itself',
        '"b c" is no name of a header: letters, digits, - _ and .',
        'expected text as the value of the header "d"; write it in quotes',
        'the value of the header "e" holds characters that a header cannot carry',
    ]


def test_a_header_from_an_unset_variable_is_one_mistake() -> None:
    """Where a header's variable is not set, the block says nothing more of it, and all of the other headers."""
    assert mistakes("endpoint: a:1\nheaders: {a: '${X}'}") == []
    assert len(mistakes("endpoint: a:1\nheaders: {a: '${X}', te: x}")) == 1


def test_each_protocol_has_headers_of_its_own() -> None:
    """What belongs to gRPC itself may go over HTTP, and what belongs to HTTP itself may not."""
    http = Headers("HTTP")
    assert http.validate({"a-bin": "x", "Grpc-X": "y"}) == (("a-bin", "x"), ("grpc-x", "y"))
    for name in ("Host", "content-length", "Transfer-Encoding", "x-tailgate-view"):
        with pytest.raises(PydanticCustomError):
            http.validate({name: "x"})
