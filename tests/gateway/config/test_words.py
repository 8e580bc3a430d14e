"""gateway.config.words"""

from __future__ import annotations

from gateway.config.tree import Substituted, SubstitutedItems
from gateway.config.words import CHARS_MAX, clip, listed, meant, shown


def test_values_are_shown_as_the_file_has_them() -> None:
    """A message shows what was given, and names what is not one value."""
    assert [shown(value) for value in (True, 10, 1.5, "a", None, {}, [])] == [
        "true",
        "10",
        "1.5",
        '"a"',
        "nothing",
        "a mapping",
        "a list",
    ]


def test_what_a_variable_holds_is_never_shown() -> None:
    """A message names the variable, because its value may be a secret."""
    secret = Substituted("${env:TOKEN}", "hunter2", "hunter2")
    assert shown(secret) == "the value of ${env:TOKEN}"
    assert shown(SubstitutedItems([], secret)) == "the value of ${env:TOKEN}"


def test_long_values_are_cut() -> None:
    """A message stays one readable line, whatever was given."""
    assert len(clip("x" * 1000)) == CHARS_MAX
    assert shown("x" * 1000).endswith('..."')
    assert "\n" not in shown("a\nb")


def test_close_words_are_suggested() -> None:
    """A typing error, another case or another dash finds the word that was meant; anything else finds none."""
    assert meant("treshold_ms", ["threshold_ms", "upper_threshold_ms"]) == '; did you mean "threshold_ms"?'
    assert meant("TraceId", ["traceID"]) == '; did you mean "traceID"?'
    assert meant("tail-sampling", ["tail_sampling"]) == '; did you mean "tail_sampling"?'
    assert meant("banana", ["threshold_ms"]) == ""


def test_words_are_listed_in_prose() -> None:
    """The last of several is joined by a word."""
    assert listed(["a", "b", "c"]) == "a, b or c"
    assert listed(["a"]) == "a"
    assert listed([]) == ""
