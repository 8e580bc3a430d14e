"""gateway.errors: one family, texts for people, mistakes in file order."""

from __future__ import annotations

import pytest

from gateway.errors import ConfigError, MalformedRequestError, Mistake, StartupError, TailgateError, TooLargeError


@pytest.mark.parametrize(
    "error",
    [
        MalformedRequestError("truncated varint", 7),
        TooLargeError("too large"),
        ConfigError([Mistake("f", 1, 1, "no")]),
        StartupError("port in use"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_expected_errors_are_one_family(error: TailgateError) -> None:
    """Whatever is not a bug can be caught as one family and has a text for people."""
    assert isinstance(error, TailgateError)
    assert str(error)


def test_a_malformed_request_names_the_byte() -> None:
    """The reason and the offset can be read by themselves and stand in the text."""
    error = MalformedRequestError("truncated varint", 7)
    assert (error.reason, error.offset, str(error)) == ("truncated varint", 7, "truncated varint at byte 7")


def test_mistakes_read_as_file_line_column() -> None:
    """A mistake begins with where it is, as editors understand it, and names the path if there is one."""
    assert str(Mistake("a.yaml", 3, 5, "unknown key", "receivers.otlp")) == "a.yaml:3:5: receivers.otlp: unknown key"
    assert str(Mistake("a.yaml", 1, 1, "not a mapping")) == "a.yaml:1:1: not a mapping"


def test_mistakes_come_in_file_order() -> None:
    """All mistakes are told at once, one a line, by line and column as numbers."""
    late, early, same = Mistake("f", 10, 1, "c"), Mistake("f", 9, 20, "b"), Mistake("f", 9, 3, "a")
    error = ConfigError([late, early, same])
    assert error.mistakes == [same, early, late]
    assert str(error) == "f:9:3: a\nf:9:20: b\nf:10:1: c"


def test_no_mistakes_no_error() -> None:
    """A configuration error without a mistake would be a bug."""
    with pytest.raises(AssertionError):
        ConfigError([])
