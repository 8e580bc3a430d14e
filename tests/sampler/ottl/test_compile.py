"""sampler.ottl.compile: what conditions come to."""

from __future__ import annotations

import pytest

from sampler.ottl.compile import ENUMS
from tests.support.ottl import answer, refusal

REFUSED = {
    "name": "1:1: name alone is neither true nor false: compare it with something, as in name == true",
    'attributes["t"] and true': "1:1: attributes[…] alone is neither true nor false: compare it with something, "
    "as in attributes[…] == true",
    "1": "1:1: this alone is neither true nor false: a comparison or a function's call is expected",
    '"x" or true': "1:1: this alone is neither true nor false: a comparison or a function's call is expected",
    "(name == 1) == true": "1:7: a condition cannot stand where a value is expected",
    "Len(true or false) == 1": "1:5: a condition cannot stand where a value is expected",
    '"a" + 1 == 1': "1:1: arithmetic takes numbers, paths and functions' calls",
    "1 + nil == 1": "1:5: arithmetic takes numbers, paths and functions' calls",
    "-STATUS_CODE_OK == 1": "1:2: arithmetic takes numbers, paths and functions' calls",
    "1 / 0 == 1": "1:1: this fails for every span: expected a divisor other than 0",
    "status.code == STATUS_CODE_ERR": "1:16: there is no STATUS_CODE_ERR: did you mean STATUS_CODE_ERROR? supported are "
    + ", ".join(sorted(ENUMS)),
    "IsMatch == true": "1:1: IsMatch is a function and needs its arguments: IsMatch(…)",
    'Attributes["k"] == 1': "1:1: span has no Attributes: did you mean attributes? supported are attributes, ",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_means_nothing_is_refused_at_its_place(text: str) -> None:
    """A value is no condition, a condition no value, and arithmetic is for numbers."""
    assert refusal(text).startswith(REFUSED[text])


@pytest.mark.parametrize("failing", ['attributes["s"]["k"] == 1', 'not (attributes["s"]["k"] == 1)'])
def test_what_is_written_out_decides_early(failing: str) -> None:
    """An and with a false and an or with a true that are written out are decided, whatever their other sides would do."""
    assert answer(failing) == "ERROR"
    for text in (
        f"{failing} and 1 == 2",
        f"{failing} and not true",
        f"not ({failing} or true)",
        f"false and {failing}",
    ):
        assert answer(text) == "NO"
    for text in (f"{failing} or 2 > 1", f"{failing} or true", f"not ({failing} and false)"):
        assert answer(text) == "YES"
    assert answer(f"{failing} and true") == answer(f"{failing} or false") == "ERROR"


def test_the_first_that_decides_ends_the_asking() -> None:
    """Terms are asked from left to right, in pairs and in longer rows."""
    fails, holds, not_holds = 'attributes["s"]["k"] == 1', 'name == "GET /x"', 'name == ""'
    for more in ("", f" or {holds}", f" or {not_holds} or {holds}"):
        assert answer(f"{holds} or {fails}{more}") == "YES"
        assert answer(f"{fails} or {holds}{more}") == "ERROR"
    for more in ("", f" and {holds}", f" and {not_holds} and {holds}"):
        assert answer(f"{not_holds} and {fails}{more}") == "NO"
        assert answer(f"{fails} and {not_holds}{more}") == "ERROR"
    assert answer(f"{holds} and {holds} and {holds}") == "YES"
    assert answer(f"{not_holds} or {not_holds} or {not_holds}") == "NO"


def test_calls_alone_must_be_true_or_false() -> None:
    """What may be anything is asked, and fails where it is neither."""
    assert answer('Coalesce([attributes["t"], 1])') == "YES"
    assert answer('Coalesce([attributes["s"], 1])') == "ERROR"
    assert answer('Bool(attributes["absent"])') == "ERROR"


def test_calls_may_have_keys() -> None:
    """They index lists and maps; a key that is not there fails, other than in attributes."""
    assert answer('Split(attributes["url"], "/")[1] == "b"') == "YES"
    assert answer('Split(attributes["url"], "/")[3] == "b"') == "ERROR"
    assert answer('Coalesce([attributes["m"], 1])["n"]["x"][0] == 1') == "YES"
    assert answer('Coalesce([attributes["m"], 1])["absent"] == 1') == "ERROR"
    assert answer('Coalesce([attributes["m"], 1])[0] == 1') == "ERROR"


def test_maps_hold_what_attributes_can_hold() -> None:
    """Other things in a map that is written out make it fail."""
    assert answer('attributes["m"]["n"] == {"x": [1, 2]}') == "YES"
    assert answer('{"a": attributes["i"], "b": [{"k": 1}]} == {"b": [{"k": 1}], "a": 42}') == "YES"
    for value in ("trace_id", "start_time", 'attributes["list"]', 'Split(name, "/")', '[[attributes["m"]]]'):
        assert answer(f'{{"a": {value}}} == 1') == "ERROR"


def test_enums_are_the_codes_of_otlp() -> None:
    """Those of kinds and of statuses."""
    assert answer("kind == SPAN_KIND_SERVER and status.code == STATUS_CODE_ERROR") == "YES"
    assert answer("STATUS_CODE_OK == 1 and STATUS_CODE_UNSET == 0 and SPAN_KIND_CONSUMER == 5") == "YES"
