"""sampler.ottl.functions: which functions there are, and what is said of calls that are wrong."""

from __future__ import annotations

import pytest

from sampler.ottl.functions import FUNCTIONS
from tests.support.ottl import OBSERVED, answer, refusal

WRONG = {
    "Len(name, 1) == 2": "1:11: Len() takes 1 argument, this is one more",
    "Len() == 2": "1:1: Len() takes 1 argument: target is missing",
    "IsMatch(name)": "1:1: IsMatch() takes 2 arguments: pattern is missing",
    'Substring("abc", 0) == ""': "1:1: Substring() takes 3 to 4 arguments: length is missing",
    'Substring(start = 0, name, 3) == ""': "1:22: an argument without a name stands after one with a name",
    'Substring(name, 0, 3, utf8 = true) == ""': "1:23: utf8 is no parameter: did you mean utf8_safe? "
    "supported are length, start, target, utf8_safe",
    'Substring(name, 0, target = "x") == ""': "1:20: target is given twice",
    'Substring(name, 0, 3, attributes["t"]) == ""': "1:23: Substring() takes a utf8_safe that is written out",
    "IsMatch(name, 1)": "1:15: IsMatch() expects a string for pattern, not an int",
    'IsMatch(name, "(")': "1:15: expected a regular expression: missing ): (",
    'IsMatch("a", Concat(["("], ""))': "1:14: expected a regular expression: missing ): (",
    "IsString(1)": "1:10: IsString() expects a string for target, not an int",
    "Hours(1) > 1": "1:7: Hours() expects a duration for duration, not an int",
    'Duration("1x") > Duration("1s")': '1:1: this fails for every span: expected a duration as in "1.5s" or "2h45m", '
    "with the units ns, us, ms, s, m, h",
    'TraceID("00") == trace_id': "1:1: this fails for every span: expected 16 bytes, or twice as many hexadecimal digits",
    'ConvertCase(name, "snake") == ""': '1:19: ConvertCase() expects "lower" or "upper" for to_case, not a string',
    "Coalesce([]) == 1": "1:10: Coalesce() takes a list that is written out, with at least one item",
    "IsRootSpan(1)": "1:12: IsRootSpan() takes no arguments",
    "Now() > start_time": "1:1: Now() is not supported: a decision must come out the same whenever it is made; "
    "compare start_time and end_time with each other",
    'Time("2024", "%Y") < start_time': "1:1: Time() is not supported: times are not read from texts here; "
    "compare with Unix(seconds)",
    "Len(name)": "1:1: Len() alone is neither true nor false: compare it with something",
}


@pytest.mark.parametrize("text", WRONG)
def test_wrong_calls_are_refused_at_their_place(text: str) -> None:
    """The message says what the function takes, at the argument or the name that is wrong."""
    assert refusal(text) == WRONG[text]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'ismatch(name, "x")',
            "1:1: ismatch() is no function of conditions, which change nothing: did you mean IsMatch? ",
        ),
        ("set(name, 1)", "1:1: set() is no function of conditions, which change nothing: supported are "),
        ('IsMach(name, "x")', "1:1: there is no function IsMach(): did you mean IsMatch? supported are Bool, "),
    ],
)
def test_unknown_functions_are_refused_with_those_there_are(text: str, said: str) -> None:
    """The nearest is suggested, and all are named."""
    assert refusal(text).startswith(said)
    assert all(name in refusal(text) for name in (*FUNCTIONS, "IsRootSpan"))


def test_events_have_no_root() -> None:
    """As in the Collector, IsRootSpan is for conditions of spans; what to write instead is said."""
    assert refusal("IsRootSpan()", "spanevent").startswith("1:1: IsRootSpan() is for conditions of spans; compare ")
    assert "IsRootSpan" not in refusal("Foo()", "spanevent")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_has_been_seen_in_a_collector(name: str) -> None:
    """Of each there is at least one fact among those observed."""
    assert any(f"{name}(" in text for _, text, _ in OBSERVED)


def test_arguments_may_be_named() -> None:
    """In any order, after those without a name."""
    assert answer('Substring(name, length = 3, start = 0) == "GET"') == "YES"
    assert answer('IsMatch(pattern = "^GET", target = name)') == "YES"


def test_constants_are_worked_out_once() -> None:
    """A call whose arguments are all written out is a constant, but none that decides and and or early."""
    assert answer('start_time < Unix(1800000000) and Duration("1h") > Duration("1m")') == "YES"
    assert answer('attributes["s"]["k"] == 1 and HasPrefix("a", "b")') == "ERROR"
    assert answer('attributes["s"]["k"] == 1 and false') == "NO"


def test_patterns_may_depend_on_the_span() -> None:
    """Then one that is none fails."""
    assert answer('IsMatch(name, attributes["s"])') == "NO"
    assert answer('IsMatch(name, Concat(["^", Substring(name, 0, 3)], ""))') == "YES"
    assert answer('IsMatch(name, Concat(["(", attributes["s"]], ""))') == "ERROR"
    assert answer('IsMatch(name, attributes["i"])') == "ERROR"
