"""Literals of the language: strings with their escapes, numbers, bytes."""

from __future__ import annotations

import re

from sampler.ottl.types import Blob, Fail

_ESCAPE = re.compile(
    r"\\(?:([abfnrtv\\\"])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{3})|(.?))", re.DOTALL
)
_SHORT = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"'}
_INT_MAX = (1 << 63) - 1
_DIGITS_MAX = 30


def string(quoted: str) -> bytes:
    """The UTF-8 of what stands between the quotes.

    Raises Fail for an escape that is none.
    """
    return _ESCAPE.sub(_unescaped, quoted[1:-1]).encode()


def _unescaped(found: re.Match[str]) -> str:
    short, *codes, octal, unknown = found.groups()
    if short:
        return _SHORT[short]
    code = int(octal, 8) if octal else next((int(each, 16) for each in codes if each), -1)
    surrogate = 0xD800 <= code < 0xE000
    if unknown is not None or surrogate or code > (0xFF if octal else 0x10FFFF):
        raise Fail(
            f'an escape like \\n, \\", \\\\ or \\u00e9, and {found.group()} is none (a \\ itself is written \\\\)'
        )
    return chr(code)


def integer(digits: str) -> int:
    """The number; a leading 0 makes it octal.

    Raises Fail for one that is out of range or not octal.
    """
    octal = len(digits) > 1 and digits[0] == "0"
    if octal and not re.fullmatch("[0-7]+", digits):
        raise Fail(f"octal digits after a leading 0, not {digits}")
    if len(digits) > _DIGITS_MAX or (number := int(digits, 8 if octal else 10)) > _INT_MAX:
        raise Fail("an int of 64 bits")
    return number


def blob(text: str) -> Blob:
    """The bytes of a literal like 0x0aff.

    Raises Fail for an odd number of digits.
    """
    if len(text) % 2:
        raise Fail("an even number of digits after 0x")
    return Blob(bytes.fromhex(text[2:]))


def double(text: str) -> float:
    """The number.

    Raises Fail where it is too large.
    """
    number = float(text)
    if number == float("inf"):
        raise Fail("a number that is not too large")
    return number
