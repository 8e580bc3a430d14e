"""sampler.ottl.errors: what people are told."""

from __future__ import annotations

from gateway.errors import TailgateError
from sampler.ottl.errors import OttlError, did_you_mean


def test_an_error_has_a_message_and_a_place() -> None:
    """Its text is the message alone: whoever shows it knows where the condition stands."""
    error = OttlError("no such path", 2, 7)
    assert (str(error), error.message, error.line, error.column) == ("no such path", "no such path", 2, 7)
    assert isinstance(error, TailgateError)


def test_the_nearest_word_is_suggested() -> None:
    """Whatever the case of its letters; where none is near, all are named."""
    assert did_you_mean("ismatch", ["IsMatch", "Len"]) == "did you mean IsMatch? supported are IsMatch, Len"
    assert did_you_mean("utf8", ["utf8_safe"]) == "did you mean utf8_safe? supported are utf8_safe"
    assert did_you_mean("zzz", ["Len", "IsMatch"]) == "supported are IsMatch, Len"
