"""sampler.ottl.texts: functions on strings and lists."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.ottl import texts
from sampler.ottl.types import Blob, Fail, Map, Opaque, Words


def test_patterns() -> None:
    """RE2, unanchored, on the bytes of a text, whether they are valid UTF-8 or not."""
    assert texts.matcher(b"^GET /[a-z]+$")(b"GET /users")
    assert not texts.matcher(b"^b")(b"ab")
    assert texts.matcher("(?i)É".encode())("é".encode())
    assert texts.matcher(b"x$")(b"\xffx")
    assert not texts.matcher(b"a$")(b"a\n"), "$ is the end of the text"
    for pattern in (b"(", b"(?=a)", b"\xff", b"a{2000}"):
        with pytest.raises(Fail):
            texts.matcher(pattern)


def test_concat() -> None:
    """Nil is <nil> in a list that is written out, and empty in one of the data."""
    assert texts.concat([b"a", None, 1, True], b",") == b"a,<nil>,1,true"
    assert texts.concat((b"a", None, Blob(b"\1")), b",") == b"a,,AQ=="
    assert texts.concat(Words([b"a", b"b"]), b"-") == b"a-b"
    assert texts.concat(Blob(b"\1\2"), b"-") == b"1-2"
    assert texts.concat(None, b"-") == b""
    with pytest.raises(Fail):
        texts.concat(b"text", b"-")


def test_substring() -> None:
    """It is cut by bytes, or, if it is to be safe, before a character that would be cut."""
    text = "héllo".encode()
    assert texts.substring(text, 0, 2) == b"h\xc3"
    assert texts.substring(text, 0, 2, True) == b"h"
    assert texts.substring(text, 2, 2, True) == b"l"
    assert texts.substring("é".encode(), 1, 1, True) == b""
    for start, length in ((-1, 1), (0, 0), (0, 7), (6, 1), (2**62, 2**62)):
        with pytest.raises(Fail):
            texts.substring(text, start, length)


@given(st.text(max_size=8), st.integers(0, 9), st.integers(1, 9))
def test_safe_substrings_are_valid(text: str, start: int, length: int) -> None:
    """Whatever is cut out safely can be decoded."""
    raw = text.encode()
    if start + length <= len(raw):
        assert texts.substring(raw, start, length, True).decode() in text


def test_split() -> None:
    """With an empty delimiter into characters, invalid bytes each by itself."""
    assert texts.split(b"a/b//", b"/") == Words([b"a", b"b", b"", b""])
    assert texts.split(b"h\xc3\xa9\xff", b"") == Words([b"h", b"\xc3\xa9", b"\xff"])


def test_cases() -> None:
    """Each character by itself: one that would become several changes in another way or stays."""
    assert texts.lower("İ ΑΣ ẞ".encode()) == "i ασ ß".encode()
    assert texts.upper("ǰ ß ᾳ ı é".encode()) == "ǰ ß ᾼ I É".encode()
    assert texts.convert_case(b"aB", texts.case(b"upper")) == b"AB"
    assert texts.convert_case(b"aB", texts.case(b"lower")) == b"ab"
    for name in (b"snake", 1, []):
        with pytest.raises(Fail):
            texts.case(name)


def test_trim() -> None:
    """Of any of the characters, spaces unless others are named; half a character is none."""
    assert texts.trim(b"  a b ") == b"a b"
    assert texts.trim(b"xxaxx", b"") == b"xxaxx"
    assert texts.trim("éaé".encode(), "é".encode()) == b"a"
    assert texts.trim("èa".encode(), "é".encode()) == "èa".encode()


def test_lengths() -> None:
    """Strings and bytes have bytes, lists and maps items; nothing else has a length."""
    values = ("é".encode(), Blob(b""), (1,), [1, 2], Words([b"a"]), Map([(b"a", 1)]), Opaque("events", b"", 3))
    assert [texts.length(value) for value in values] == [2, 0, 1, 2, 1, 1, 3]
    for value in (None, 1, True, Opaque("span id", b"12345678")):
        with pytest.raises(Fail):
            texts.length(value)


def test_finding() -> None:
    """In a string by bytes, in a list by the rules of comparison: 1 is there where 1.0 is."""
    assert texts.index("éa".encode(), b"a") == 2
    assert texts.index(b"a", b"b") == -1
    assert texts.index((b"x", 1.0), 1) == 1
    assert texts.index([], None) == -1
    assert texts.contains((None, 1.0), 1)
    assert not texts.contains((b"1",), 1)
    for target, wanted in ((b"1", 1), (1, 1)):
        with pytest.raises(Fail):
            texts.index(target, wanted)


def test_emptiness() -> None:
    """Nil, zeros, and what holds nothing are empty; a status and events never are."""
    assert all(map(texts.is_empty, (None, 0, 0.0, False, b"", Blob(), (), [], Map([]), Opaque("span id", bytes(8)))))
    assert not any(map(texts.is_empty, (1, b"0", (None,), Opaque("status", b""), Opaque("events", b"", 0))))


def test_hashes() -> None:
    """FNV-1a of 64 bits."""
    assert texts.fnv(b"") == 0xCBF29CE484222325
    assert texts.fnv(b"a") == 0xAF63DC4C8601EC8C
