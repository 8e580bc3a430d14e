"""sampler.randomness."""

from __future__ import annotations

from sampler.randomness import randomness_of_request
from tests.support.spans import Span, export_request, request, resource_spans, span, trace_id

ID = bytes(9) + b"\x01\x02\x03\x04\x05\x06\x07"


def stating(number: int, tracestate: str) -> Span:
    made = span("A", number)
    made.trace_state = tracestate
    return made


def test_the_first_usable_randomness_counts() -> None:
    """The first span with a usable rv says what the trace's randomness is, whatever envelope it stands in."""
    spans = [
        stating(n + 1, text)
        for n, text in enumerate(["", "ot=rv:12", "x=y,ot=rv:0000000000000a;th:8", "ot=rv:" + "f" * 14])
    ]
    assert randomness_of_request(ID, request(*spans)) == 10
    apart = export_request(*[resource_spans([each], service=str(at)) for at, each in enumerate(spans)])
    assert randomness_of_request(ID, apart) == 10
    assert randomness_of_request(ID, request(*spans[::-1])) == 2**56 - 1


def test_without_any_the_trace_id_has_it() -> None:
    """Where no span has a usable rv, and where the request cannot be read, the last seven bytes of the id count."""
    own = 0x01020304050607
    assert randomness_of_request(ID, request(span("A", 1), stating(2, "ot=rv:123"))) == own
    assert randomness_of_request(ID, b"") == randomness_of_request(ID, b"\x0a\xff") == own
    assert randomness_of_request(trace_id("A"), b"") == 0xAAAAAAAAAAAAAA


def test_an_unreadable_span_hides_no_others_randomness() -> None:
    """A span with a text that is not UTF-8, which will be left out, changes nothing about the others."""
    body = request(span("A", 1, name="work"), stating(2, "ot=rv:0000000000000b"), stating(3, "ot=rv:0000000000000c"))
    assert randomness_of_request(ID, body.replace(b"work", b"\xff\xff\xff\xff")) == 11
