"""sampler.ottl.condition: whole conditions, against what a running Collector (v0.161.0) says, and against themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans

from gateway import limits
from gateway.kernel.names import RESOURCE, SPAN, Look
from sampler.ottl import OttlError, compile_any, compile_condition
from sampler.ottl.paths import Context
from sampler.policy.marks import ERROR, NO, YES
from tests.support.ottl import OBSERVED, SAMPLE, answer, any_value, raw, sample

CASES = Path(__file__).parents[2] / "conformance/cases/policies.json"

ATOMS = st.sampled_from(
    [
        *(
            "true",
            "false",
            "IsRootSpan()",
            'IsMatch(name, "^GET")',
            'Bool(attributes["absent"])',
            'Bool(attributes["s"])',
        ),
        *(
            'attributes["i"] == 42',
            'attributes["s"]["k"] == 1',
            'attributes["d"] > 1',
            '1 / attributes["z"] == 0',
            "nil == 1",
        ),
    ]
)
CONDITIONS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        inner.map(lambda text: f"not ({text})"),
        st.builds("({}) and ({})".format, inner, inner),
        st.builds("({}) or ({})".format, inner, inner),
    ),
    max_leaves=6,
)
WORDS = st.sampled_from(
    [
        *(
            "attributes",
            "name",
            "span",
            "resource",
            "status",
            ".",
            "[",
            "]",
            "(",
            ")",
            "{",
            "}",
            ",",
            ":",
            '"k"',
            '"',
            "==",
        ),
        *(
            "!=",
            "<",
            ">=",
            "and",
            "or",
            "not",
            "nil",
            "true",
            "+",
            "-",
            "*",
            "/",
            "=",
            "0",
            "1",
            "2.5",
            "0x0a",
            "IsMatch",
        ),
        *(
            "Len",
            "Concat",
            "Substring",
            "Duration",
            "TraceID",
            "IsInt",
            "STATUS_CODE_ERROR",
            "Now",
            "set",
            "é",
            "\n",
            "\\",
        ),
    ]
)


@pytest.mark.parametrize(("context", "text", "expected"), OBSERVED, ids=[text[:60] for _, text, _ in OBSERVED])
def test_conditions_mean_what_the_collector_makes_of_them(context: Context, text: str, expected: str) -> None:
    """On a span with something of every kind, a condition holds, does not, fails or is refused as in the Collector."""
    assert answer(text, context) == expected


@pytest.mark.parametrize(
    "case", [case for case in json.loads(CASES.read_text())["single_trace_cases"] if case["suite"] == "ottl"]
)
def test_the_known_cases_of_the_policy(case: dict[str, object]) -> None:
    """The facts about policies with conditions hold: each condition is asked of the trace's only span."""
    policy, trace = case["policy"], case["trace"]
    assert isinstance(policy, dict) and isinstance(trace, dict)
    if case["expect"] == "config_error":
        assert not policy["span"] and not policy["spanevent"], "having no condition is the policy's own mistake"
        return
    envelope = envelope_of(trace["resources"][0])
    said = {answer(text, context, envelope) for context in get_args(Context) for text in policy[context]}
    assert ("YES" in said) is (case["expect"] == "sampled")


def envelope_of(resource: dict[str, object]) -> ResourceSpans:
    made = ResourceSpans()
    span = made.scope_spans.add().spans.add()
    spans = resource["spans"]
    assert isinstance(spans, list)
    for key, value in spans[0].get("attributes", {}).items():
        span.attributes.add(key=key, value=any_value(value))
    for event in spans[0].get("events", []):
        added = span.events.add(name=event["name"])
        for key, value in event.get("attributes", {}).items():
            added.attributes.add(key=key, value=any_value(value))
    return made


@given(CONDITIONS)
def test_the_contrary_of_the_contrary_is_the_same(text: str) -> None:
    """Negating twice changes nothing, failures included."""
    assert answer(f"not (not ({text}))") == answer(text)


@given(CONDITIONS, CONDITIONS)
def test_and_and_or_are_each_others_contrary(first: str, second: str) -> None:
    """not (a and b) is (not a) or (not b), failures included, and the other way round."""
    assert answer(f"not (({first}) and ({second}))") == answer(f"not ({first}) or not ({second})")
    assert answer(f"not (({first}) or ({second}))") == answer(f"not ({first}) and not ({second})")


@given(CONDITIONS, CONDITIONS)
def test_the_first_side_decides_where_it_can(first: str, second: str) -> None:
    """The other side is asked only if the first has not decided; one that fails makes the whole fail."""
    left, right = answer(first), answer(second)
    constant = {"true": "YES", "false": "NO"}.get(second)
    if constant is None and left != "LOAD" != right:
        assert answer(f"({first}) and ({second})") in ({right} if left == "YES" else {left, "NO"})
        assert answer(f"({first}) or ({second})") in ({right} if left == "NO" else {left, "YES"})


@given(st.text(max_size=60), st.sampled_from(get_args(Context)))
def test_any_text_is_a_condition_or_refused(text: str, context: Context) -> None:
    """Nothing but OttlError comes of garbage, and its place is inside of the text."""
    check_refusal(text, context)


@settings(max_examples=300)
@given(st.lists(WORDS, max_size=14).map(" ".join), st.sampled_from(get_args(Context)))
def test_any_words_of_the_language_are_a_condition_or_refused(text: str, context: Context) -> None:
    """The same of texts that look like conditions."""
    check_refusal(text, context)


def check_refusal(text: str, context: Context) -> None:
    try:
        compile_condition(text, context)
    except OttlError as error:
        lines = text.split("\n")
        assert 1 <= error.line <= len(lines)
        assert 1 <= error.column <= len(lines[error.line - 1]) + 1


READING = [
    'attributes["m"]["k"] == 1 or attributes["l"][0] == 1 or IsMatch(attributes["x"], "a") or Len(attributes) > 3',
    'status.code == 2 and kind == 1 or status.message == "x" or flags == 1 or dropped_links_count == 1 or kind.string == ""',
    'end_time - start_time > Duration("1s") or trace_id == span_id or trace_state["a"] == "b" or Len(links) == Len(events)',
    'attributes == resource.attributes or String(attributes["y"]) == scope.name or attributes[name] != attributes["z"]',
]
RAW = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.sampled_from([value.SerializeToString() for value in map(any_value, ({"k": [1]}, 5))]),
)


@pytest.mark.parametrize("text", READING)
@given(data=st.data())
def test_no_bytes_make_a_condition_raise(text: str, data: st.DataObject) -> None:
    """Whatever the raw values are, the answer is NO, YES or ERROR."""
    condition = compile_condition(text, "span")
    values = tuple(data.draw(RAW) for _ in condition.looks)
    assert condition(values) in (NO, YES, ERROR)


EVENT = st.builds(
    lambda pieces, tag: b"".join(pieces) if tag is None else tag + b"".join(pieces),
    st.lists(st.binary(max_size=12), max_size=3),
    st.sampled_from([None, b"\x5a\x05", b"\x5a\x04\x12\x02ab", b"\x5a\x06\x1a\x04\x0a\x00\x12\x00"]),
)


@given(EVENT)
def test_no_bytes_make_a_condition_of_events_raise(events: bytes) -> None:
    """The same of events, whole or cut off."""
    condition = compile_condition(
        'name == "x" or attributes["k"] == 1 or time_unix_nano > 5 or Len(attributes) == 2', "spanevent"
    )
    assert condition((events,)) in (NO, YES, ERROR)


def test_equal_texts_are_equal_conditions() -> None:
    """Conditions of one text and context are equal and have one hash: the same question is asked once."""
    first, second = compile_condition('name == "x"', "span"), compile_condition('name == "x"', "span")
    assert first == second
    assert len({first, second, compile_condition('name == "x"', "spanevent")}) == 2
    assert first != compile_condition('name == "x"', "span", lenient=True)


def test_a_condition_reads_what_it_names_and_nothing_else() -> None:
    """Its looks are the raw fields of its paths, each once; one about events has their field first."""
    text = 'attributes["a"] == 1 and attributes["a"] != 2 or resource.attributes["service.name"] == "x"'
    assert compile_condition(text, "span").looks == (Look(SPAN, 9, "a"), Look(RESOURCE, 1, "service.name"))
    assert compile_condition('attributes["a"] == span.name', "spanevent").looks == (Look(SPAN, 11), Look(SPAN, 5))
    assert compile_condition("true", "span").looks == ()


def test_the_first_event_that_is_true_or_fails_answers() -> None:
    """Events are asked in their order, and those after the answer not at all."""
    assert answer('name == "exception"', "spanevent") == "YES"
    assert answer('name == "first" or attributes["x"]["y"] == 1', "spanevent") == "YES"
    assert answer('name == "exception" or attributes["x"]["y"] == 1', "spanevent") == "ERROR"
    bare = sample()
    del bare.scope_spans[0].spans[0].events[:]
    assert answer("true", "spanevent", bare) == "NO", "there is no event that it could be true of"


def test_a_lenient_condition_never_fails() -> None:
    """What fails does not hold, and the next event is asked about."""
    text = 'name == "exception" or attributes["x"]["y"] == 1'
    condition = compile_condition(text, "spanevent", lenient=True)
    assert condition(tuple(raw(SAMPLE, look) for look in condition.looks)) == YES


def test_several_conditions_are_asked_as_one() -> None:
    """Of several, the first that is true or fails answers for each event; their texts tell them from any single one."""
    texts = ('name == "exception"', 'attributes["x"]["y"] == 1')
    both = compile_any(texts, "spanevent")
    values = tuple(raw(SAMPLE, look) for look in both.looks)
    assert both(values) == ERROR
    assert compile_any(('name == "first"', texts[1]), "spanevent")(values) == YES
    assert both != compile_condition(" or ".join(texts), "spanevent")


def test_a_lenient_condition_that_fails_is_asked_of_every_event() -> None:
    """A condition that fails as a whole does not hold of that event, also where it negates; the answer is never an error."""
    for text, context, expected in (
        ('attributes["s"]["k"] == 1', "span", NO),
        ('not (attributes["s"]["k"] == 1)', "span", NO),
        ('attributes["s"]["k"] == 1 or true', "span", YES),  # decided as it is written
        ('name == "GET /x" or attributes["s"]["k"] == 1', "span", YES),
        ('not (attributes["x"]["y"] == 1)', "spanevent", NO),
        ('attributes["l"][0] == "q"', "spanevent", YES),  # fails of the first event, which has no such attribute
    ):
        condition = compile_condition(text, context, lenient=True)  # type: ignore[arg-type]
        assert condition(tuple(raw(SAMPLE, look) for look in condition.looks)) == expected, text


def test_several_conditions_share_their_looks() -> None:
    """What several of the conditions read is looked at once, and each finds its own values there."""
    texts = (
        'attributes["i"] == 1',
        'name == "y" and attributes["i"] == 42',
        'name == "GET /x" and attributes["i"] == 42',
    )
    assert compile_any(texts, "span").looks == (Look(SPAN, 9, "i"), Look(SPAN, 5))
    failing = 'attributes["i"]["k"] == 1'
    for asked, expected in (
        (texts, YES),
        (texts[:2], NO),
        ((texts[2], failing), YES),
        ((failing, texts[2]), ERROR),
        ((), NO),
    ):
        made = compile_any(asked, "span")
        assert made(tuple(raw(SAMPLE, look) for look in made.looks)) == expected, asked
    with pytest.raises(OttlError):
        compile_any((texts[0], "name"), "span")
    assert compile_any(texts[:1], "span").lenient is False


def test_length_and_depth_are_bounded() -> None:
    """A condition that is too long or too deep is refused; one at the bound is not, and neither is one of many terms."""
    deep = limits.OTTL_NESTING_MAX
    assert answer("(" * deep + "true" + ")" * deep) == "YES"
    assert answer("(" * (deep + 1) + "true" + ")" * (deep + 1)) == "LOAD"
    assert answer("[" * deep + "1" + "]" * deep + " != " + "1") == "YES"
    assert answer("Len(" * deep + "name" + ")" * deep + " == 0") == "ERROR"
    assert answer("0" + " + 1" * 2000 + " == 2000") == "YES"
    assert answer("kind == 2 or " * 500 + "false") == "YES"
    assert answer("true or " * limits.OTTL_CHARS_MAX + "true") == "LOAD"
