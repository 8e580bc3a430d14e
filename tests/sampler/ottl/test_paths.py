"""sampler.ottl.paths: what conditions can read."""

from __future__ import annotations

import pytest

from gateway.kernel.names import RESOURCE, SCOPE, SPAN, Look
from sampler.ottl import compile_condition
from tests.support.ottl import ATTRIBUTES, answer, refusal, sample

READ = {
    "name": '"GET /x"',
    "span.name": '"GET /x"',
    "kind": "2",
    "kind.string": '"Server"',
    "kind.deprecated_string": '"SPAN_KIND_SERVER"',
    "trace_id": "TraceID(0x0102030405060708090a0b0c0d0e0f10)",
    "trace_id.string": '"0102030405060708090a0b0c0d0e0f10"',
    "span_id": "SpanID(0x0102030405060708)",
    "span_id.string": '"0102030405060708"',
    "parent_span_id": "SpanID(0x0000000000000000)",
    "parent_span_id.string": '"0000000000000000"',
    "trace_state": '"a=1,b=2"',
    'trace_state["b"]': '"2"',
    "status.code": "2",
    "status.message": '"boom"',
    "status": "status",
    "start_time_unix_nano": "1700000000000000000",
    "end_time_unix_nano": "1700000002500000001",
    "start_time": "Unix(1700000000)",
    "end_time": "Unix(1700000002, 500000001)",
    'attributes["i"]': "42",
    'attributes[""]': '"emptykey"',
    'attributes["m"]["n"]["x"][1]': "2",
    'attributes[attributes["key"]]': '"hello"',
    "dropped_attributes_count": "7",
    "dropped_events_count": "1",
    "dropped_links_count": "0",
    "Len(events)": "2",
    "Len(links)": "1",
    "Len(attributes)": f"{len(ATTRIBUTES)}",
    "flags": "257",
    'resource.attributes["service.name"]': '"x"',
    "Len(resource.attributes)": "2",
    "resource.dropped_attributes_count": "3",
    "instrumentation_scope.name": '"lib"',
    "scope.name": '"lib"',
    "scope.version": '"1.2"',
    'scope.attributes["a"]': "1",
    "scope.attributes": '{"a": 1}',
    "scope.dropped_attributes_count": "2",
}
OF_EVENTS = {
    "name": '"first"',
    "spanevent.name": '"first"',
    "span.name": '"GET /x"',
    'attributes["x"]': "1",
    "attributes": '{"x": 1}',
    "time": "Unix(1700000001)",
    "time_unix_nano": "1700000001000000000",
    "dropped_attributes_count": "4",
    "span.dropped_attributes_count": "7",
    'resource.attributes["n"]': "5",
    'attributes["absent"]': "nil",
    "attributes[span.name]": "nil",
}


@pytest.mark.parametrize("path", READ)
def test_paths_of_spans(path: str) -> None:
    """Every path reads its field of the span, with and without the context's name, or of its scope or resource."""
    assert answer(f"{path} == {READ[path]}") == "YES"


@pytest.mark.parametrize("path", OF_EVENTS)
def test_paths_of_events(path: str) -> None:
    """In conditions of events, paths without a context are the event's."""
    assert answer(f"{path} == {OF_EVENTS[path]}", "spanevent") == "YES"


@pytest.mark.parametrize(
    "path", ["name", "kind.string", "trace_state", 'trace_state["a"]', "status.message", "scope.name"]
)
def test_fields_that_are_not_there_are_empty(path: str) -> None:
    """A string that is not there is empty; no field of a span is nil."""
    bare = sample()
    for message in (bare.resource, bare.scope_spans[0].scope, bare.scope_spans[0].spans[0]):
        message.Clear()
    empty = '"Unspecified"' if path == "kind.string" else '""'
    assert answer(f"{path} == {empty} and {path} != nil", envelope=bare) == "YES"
    assert answer("kind == 0 and status.code == 0 and flags == 0 and start_time == Unix(0)", envelope=bare) == "YES"
    assert answer("IsRootSpan() and trace_id == TraceID(0x00000000000000000000000000000000)", envelope=bare) == "YES"
    assert answer('attributes["x"] == nil and Len(attributes) == 0 and Len(events) == 0', envelope=bare) == "YES"


def test_codes_that_nobody_knows() -> None:
    """They are numbers, also negative ones, and have no name."""
    odd = sample()
    span = odd.scope_spans[0].spans[0]
    span.kind, span.status.code = 99, -1
    assert answer('kind == 99 and kind.string == "" and kind.deprecated_string == ""', envelope=odd) == "YES"
    assert answer("status.code == -1", envelope=odd) == "YES"


def test_keys_inside_of_values() -> None:
    """Nil where a map or the attributes have no such key; a failure where the value takes no such key."""
    for path in ('attributes["absent"]["k"]', 'attributes["m"]["absent"]["k"]', 'attributes["m"]["nil"]'):
        assert answer(f"{path} == nil") == "YES"
    for path in ('attributes["s"]["k"]', 'attributes["nil"]["k"]', 'attributes["list"]["k"]', 'attributes["m"][0]'):
        assert answer(f"{path} == nil") == "ERROR"
    assert answer('attributes["list"][99] == nil') == "ERROR"
    assert answer('attributes[attributes["i"]] == nil') == "ERROR"


def test_event_index_fails_as_in_the_collector() -> None:
    """There nobody counts events for conditions of tail sampling, and a condition that asks for the index cannot be met."""
    assert answer("event_index == 0", "spanevent") == "ERROR"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nme == 1", "1:1: span has no nme: did you mean name? supported are attributes, "),
        ("status.cod == 1", "1:1: span has no status.cod: did you mean status.code? supported are "),
        (
            "resource.attribute == 1",
            "1:10: resource has no attribute: did you mean attributes? supported are attributes, ",
        ),
        ('trace_id["x"] == 1', "1:10: trace_id takes no key"),
        ('status["x"].code == 1', "1:8: status takes no key"),
        ("attributes[0] == 1", '1:12: attributes[…] takes a string for a key, as in attributes["key"]'),
        ('trace_state["a"]["b"] == 1', "1:18: trace_state takes one key, a string that is written out"),
        ("trace_state[name] == 1", "1:13: trace_state takes one key, a string that is written out"),
        ('cache["x"] == 1', "1:1: cache is not supported: nothing could have been put into it"),
        ('span.cache["x"] == 1', "1:6: span.cache[…] is not supported: nothing could have been put into it"),
        ("resource.schema_url == 1", "1:10: resource.schema_url is not supported: schemas are not among what"),
        ('otelcol.client.metadata["x"] == 1', "1:1: otelcol is not supported: what came with a client's request"),
        ("spanevent.name == 1", "1:1: span has no spanevent.name: supported are "),
        ('name == "x" and\n  kynd == 1', "2:3: span has no kynd: did you mean kind? supported are "),
    ],
)
def test_what_is_no_path_is_refused_at_its_place(text: str, said: str) -> None:
    """The nearest path is suggested, the context's others are named, and what exists elsewhere has a reason."""
    assert refusal(text).startswith(said)


def test_a_field_is_looked_at_once() -> None:
    """Several paths may read one field; a field under a key is another."""
    condition = compile_condition(
        'status.code == 2 and status.message == "x" and scope.name == "x" and resource.attributes["a"] == attributes["a"]',
        "span",
    )
    assert condition.looks == (Look(SPAN, 15), Look(SCOPE, 1), Look(RESOURCE, 1, "a"), Look(SPAN, 9, "a"))
