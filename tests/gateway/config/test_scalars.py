"""gateway.config.scalars"""

from __future__ import annotations

import pytest
from pydantic_core import PydanticCustomError

from gateway.config.scalars import Choice, Kind, Number, Only, Size, Switch, Text, Whole
from gateway.config.tree import UNKNOWN, Substituted


def refusal(kind: Kind, given: object) -> str:
    with pytest.raises(PydanticCustomError) as caught:
        kind.validate(given)
    return str(caught.value)


def test_text_is_text_and_nothing_else() -> None:
    """A number is no text, and the message shows how to make it one."""
    assert Text().validate("a") == "a"
    assert refusal(Text(), 42) == 'expected text, got 42; write "42"'
    assert refusal(Text(), True) == 'expected text, got true; write "true"'
    assert refusal(Text(), None) == "expected text, got nothing"
    assert refusal(Text("a name", "[a-z]+"), "A1") == 'expected a name, got "A1"'
    assert "longer than" in refusal(Text(), "x" * 5000)


def test_a_variable_gives_text_where_text_is_wanted() -> None:
    """A variable that holds digits is text for a text and a number for a number."""
    digits = Substituted("${N}", "007", 7)
    assert Text().validate(digits) == "007"
    assert Whole().validate(digits) == 7


def test_switches_are_true_or_false() -> None:
    """Neither words nor numbers are switches."""
    assert Switch().validate(False) is False
    assert refusal(Switch(), "yes") == 'expected true or false, got "yes"'
    assert refusal(Switch(), 1) == "expected true or false, got 1"


def test_a_position_that_is_not_built_is_refused_with_its_reason() -> None:
    """Where only one position of a switch is built, the other is not ignored."""
    kind = Only(True, "because")
    assert kind.validate(True) is True
    assert refusal(kind, False) == "false is not built: because"
    assert refusal(kind, "x") == 'expected true, got "x"'


def test_whole_numbers_are_bounded() -> None:
    """A switch or a fraction is no whole number, and both bounds are included."""
    kind = Whole(1, 10, "the reason")
    assert [kind.validate(1), kind.validate(10)] == [1, 10]
    assert refusal(kind, 0) == "expected 1 or more, got 0: the reason"
    assert refusal(kind, 11) == "expected at most 10, got 11: the reason"
    assert refusal(kind, True) == "expected a whole number, got true"
    assert refusal(kind, 1.5) == "expected a whole number, got 1.5"


def test_digits_may_be_grouped() -> None:
    """100_000 is a number, as in the Collector's documentation; groups have three digits."""
    assert Whole().validate("100_000") == 100_000
    assert Whole(-5000).validate("-1_000") == -1000
    assert refusal(Whole(), "1_00") == 'expected a whole number, got "1_00"'
    assert Size().validate("4_194_304") == 4 << 20


def test_a_whole_number_may_be_written_as_templates_do() -> None:
    """1e+06 is a whole number; one that has lost digits is not taken for one."""
    assert Whole().validate(1e6) == 1_000_000
    assert refusal(Whole(), 1e17) == "expected a whole number, got 1e+17"


def test_sizes_have_units_of_1024() -> None:
    """A size is a number of bytes, or one with KiB, MiB or GiB."""
    assert [Size().validate(given) for given in (5, "2KiB", "20MiB", "1GiB")] == [5, 2048, 20 << 20, 1 << 30]
    assert refusal(Size(), "20MB") == 'expected a number of bytes or a size such as 4MiB (KiB, MiB, GiB), got "20MB"'
    assert "at most" in refusal(Size(max=5), "1KiB")


def test_numbers_are_finite() -> None:
    """Whole numbers and fractions are numbers; infinity and text are not."""
    assert Number().validate(5) == 5.0
    assert refusal(Number(), float("inf")) == "expected a finite number, got inf"
    assert refusal(Number(), 10**400).startswith("expected a finite number")
    assert refusal(Number(0, 1), 1.5) == "expected at most 1, got 1.5"
    assert refusal(Number(0, 1), -0.5) == "expected 0 or more, got -0.5"
    assert refusal(Number(), "5") == 'expected a number, got "5"'


def test_choices_suggest_and_name_what_is_not_built() -> None:
    """A word that is close is suggested; one that the Collector knows is refused as not built."""
    kind = Choice(("gzip", "none"), (("zstd", ""), ("snappy", "why")))
    assert kind.validate("gzip") == "gzip"
    assert refusal(kind, "gzipp") == 'expected gzip or none, got "gzipp"; did you mean "gzip"?'
    assert refusal(kind, "zstd") == '"zstd" is not built yet'
    assert refusal(kind, "snappy") == '"snappy" is not built yet: why'
    assert refusal(kind, 5) == "expected gzip or none, got 5"
    assert Choice(("info",), fold=True).validate("INFO") == "info"


def test_what_could_not_be_made_out_is_no_second_mistake() -> None:
    """A value whose mistake was noted already is passed over."""
    with pytest.raises(PydanticCustomError) as caught:
        Text().validate(UNKNOWN)
    assert caught.value.type == "passed_over"
