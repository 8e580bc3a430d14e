"""sampler.ottl.literals: strings, numbers and bytes as they are written."""

from __future__ import annotations

import pytest

from sampler.ottl import literals
from sampler.ottl.types import Blob, Fail


def test_strings_and_their_escapes() -> None:
    """Escapes are those of Go; a number after x or in octal is a character, not a byte."""
    assert literals.string(r'"a\n\t\"\\é"') == 'a\n\t"\\é'.encode()
    assert literals.string(r'"\x41\101\u00e9\U0001F600\xff"') == "AAé😀ÿ".encode()


@pytest.mark.parametrize("text", [r"\q", r"\'", r"\x4", r"\u00", r"\400", r"\ud800", r"\U00110000", r"\8"])
def test_what_is_no_escape_is_refused(text: str) -> None:
    """There is no escape of another letter, of too few digits, or of what is no character."""
    with pytest.raises(Fail):
        literals.string(f'"{text}"')


def test_ints() -> None:
    """A leading 0 makes octal; more than 64 bits are refused, and so are wrong digits."""
    assert [literals.integer(text) for text in ("0", "42", "010", "9223372036854775807")] == [0, 42, 8, 2**63 - 1]
    for text in ("08", "9223372036854775808", "9" * 5000):
        with pytest.raises(Fail):
            literals.integer(text)


def test_bytes_and_floats() -> None:
    """Bytes have two digits each; a float may lack one side of its point, and must be finite."""
    assert literals.blob("0x0aFF") == Blob(b"\x0a\xff")
    assert [literals.double(text) for text in ("1.", ".5", "2.5e3")] == [1.0, 0.5, 2500.0]
    with pytest.raises(Fail):
        literals.blob("0xabc")
    with pytest.raises(Fail):
        literals.double("1.0e999")
