"""Functions on strings. They work on the UTF-8 as it came, whether it is valid or not."""

from __future__ import annotations

from collections.abc import Callable

import re2

from sampler.ottl import compare
from sampler.ottl.coerce import sequence
from sampler.ottl.gojson import text_of, text_of_item
from sampler.ottl.types import Blob, Fail, Map, Opaque, Words

_SAFE = "surrogateescape"

Matcher = Callable[[bytes], bool]


def matcher(pattern: bytes) -> Matcher:
    """Whether a text contains a match of an RE2 pattern.

    Raises Fail for a pattern that is none.
    """
    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    try:
        search = re2.compile(pattern, options).search
    except re2.error as error:
        reason = error.args[0] if error.args else error
        raise Fail(f"a regular expression: {_shown(reason)}") from None
    return lambda text: search(text) is not None


def _shown(reason: object) -> str:
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)


def concat(items: object, delimiter: bytes) -> bytes:
    """The texts of a list's items with the delimiter between them; nil is an empty list."""
    match items:
        case None:
            return b""
        case tuple() if type(items) is tuple:
            return delimiter.join(map(text_of_item, items))
        case Blob():
            return delimiter.join(str(byte).encode() for byte in items)
    return delimiter.join(b"<nil>" if item is None else text_of(item) for item in sequence(items))


def substring(text: bytes, start: int, length: int, utf8_safe: object = False) -> bytes:
    """So many bytes from there on; if it is to be safe, no character is cut."""
    if start < 0 or length <= 0 or start + length > len(text):
        raise Fail("a start and a length of at least 1 within the text")
    end = start + length
    if utf8_safe:
        while start < len(text) and _continues(text[start]):
            start += 1
        while start < end < len(text) and _continues(text[end]):
            end -= 1
    return text[start : max(start, end)]


def _continues(byte: int) -> bool:
    return byte & 0xC0 == 0x80


def split(text: bytes, delimiter: bytes) -> Words:
    """The parts between delimiters, with an empty one the characters."""
    if delimiter:
        return Words(text.split(delimiter))
    return Words(sign.encode(errors=_SAFE) for sign in text.decode(errors=_SAFE))


def lower(text: bytes) -> bytes:
    """In small letters, each character by itself."""
    return text.lower() if text.isascii() else _each(text, lambda sign: sign.lower()[0])


def upper(text: bytes) -> bytes:
    """In capitals, each character by itself: those without a single capital stay."""
    return text.upper() if text.isascii() else _each(text, _capital)


def _capital(sign: str) -> str:
    return next((each for each in (sign.upper(), sign.title()) if len(each) == 1), sign)


def _each(text: bytes, change: Callable[[str], str]) -> bytes:
    return "".join(map(change, text.decode(errors="replace"))).encode()


Case = Callable[[bytes], bytes]
_CASES: dict[object, Case] = {b"lower": lower, b"upper": upper}


def case(name: object) -> Case:
    """What changes texts into the case of this name."""
    if type(name) is bytes and name in _CASES:
        return _CASES[name]
    raise Fail('"lower" or "upper"')


def convert_case(text: bytes, change: Case) -> bytes:
    """In small letters or in capitals."""
    return change(text)


def trim(text: bytes, signs: bytes = b" ") -> bytes:
    """Without any of these characters at both ends."""
    if signs.isascii():
        return text.strip(signs) if signs else text
    return text.decode(errors=_SAFE).strip(signs.decode(errors=_SAFE)).encode(errors=_SAFE)


def fnv(text: bytes) -> int:
    """The 64-bit FNV-1a hash."""
    value = 0xCBF29CE484222325
    for byte in text:
        value = (value ^ byte) * 0x100000001B3 & 0xFFFF_FFFF_FFFF_FFFF
    return value


def length(value: object) -> int:
    """Of a string and of bytes how many bytes, of a list or map how many items."""
    match value:
        case Opaque() if value.items >= 0:
            return value.items
        case Map():
            return len(value.pairs)
        case bytes() | list():
            return len(value)
        case tuple() if not isinstance(value, Opaque):
            return len(value)
    raise Fail("a string, bytes, a list or a map")


def contains(items: tuple[object, ...], wanted: object) -> bool:
    """Whether one of the items equals it."""
    return any(compare.compare("==", item, wanted) for item in items)


def index(target: object, wanted: object) -> int:
    """Where in a string (in bytes) or a list it comes first, -1 if it does not."""
    if type(target) is bytes:
        if type(wanted) is not bytes:
            raise Fail("a string to look for in a string")
        return target.find(wanted)
    found = (at for at, item in enumerate(sequence(target)) if compare.compare("==", item, wanted))
    return next(found, -1)


def is_empty(value: object) -> bool:
    """Nil, 0, false, an empty string, an empty list or map, an id of zeros."""
    match value:
        case None:
            return True
        case Opaque():
            return value.items < 0 and value.what != "status" and not any(value.raw)
        case Map():
            return not value.pairs
    return not value
