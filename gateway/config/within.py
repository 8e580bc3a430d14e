"""Where a character of a text stands in the file that the text was written in.

Owns the way back from the value of a YAML scalar to its source: quotes, escapes, folded lines, the indentation of a block. Knows
nothing of what the text means. Where the way is not sure it leads to the beginning of the text: a place is never invented.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.config.tree import Mark, Scalar

_Char = tuple[str, int]  # a character of the value, and where in the source it stands

_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|\n[ \t]*|.)", re.DOTALL)
_ESCAPED = {
    "0": "\0",
    "a": "\a",
    "b": "\b",
    "t": "\t",
    "\t": "\t",
    "n": "\n",
    "v": "\v",
    "f": "\f",
    "r": "\r",
    "e": "\x1b",
}
_ESCAPED |= {"N": "\x85", "_": "\xa0", "L": "\u2028", "P": "\u2029"}
_BREAK = re.compile(r"[ \t]*\n[ \t\n]*")
_HEADER = re.compile(r"([|>])[^\n]*\n?")


def place(scalar: Scalar, line: int, column: int) -> Mark:
    """Where the character at a line and column of a scalar's text, both counted from 1, stands in the file.

    Just behind the end is a place too. What a variable gave has one place, where the reference stands.
    """
    if not isinstance(scalar.value, str) or not scalar.raw:
        return scalar.mark
    chars = _spelled(list(_decoded(scalar.raw.replace("\r\n", "\n"))), scalar.value)
    if chars is None:
        return scalar.mark
    lines = scalar.value.split("\n")[: line - 1]
    index = min(sum(len(text) + 1 for text in lines) + column - 1, len(chars))
    offset = chars[index][1] if index < len(chars) else (chars[-1][1] + 1 if chars else 0)
    return _moved(scalar.mark, scalar.raw.replace("\r\n", "\n"), offset)


def _moved(mark: Mark, raw: str, offset: int) -> Mark:
    """The place so many characters into a source that begins at a mark."""
    before = raw[:offset]
    breaks = before.count("\n")
    column = offset - before.rfind("\n") if breaks else mark.column + offset
    return Mark(mark.file, mark.line + breaks, column)


def _spelled(chars: list[_Char], value: str) -> list[_Char] | None:
    """The characters, if they do spell the value but for line breaks at its end: as they are, or with `$$` for a dollar."""
    wanted = value.rstrip("\n")
    for attempt in (chars, _single_dollars(chars)):
        text = "".join(char for char, _ in attempt)
        if text.rstrip("\n") == wanted:
            return attempt[: len(wanted)]
    return None


def _single_dollars(chars: list[_Char]) -> list[_Char]:
    single: list[_Char] = []
    open_dollar = False
    for char in chars:
        closes = open_dollar and char[0] == "$"
        if not closes:
            single.append(char)
        open_dollar = char[0] == "$" and not closes
    return single


def _decoded(raw: str) -> Iterator[_Char]:
    """The characters of the value that a source stands for."""
    match raw[:1]:
        case "'":
            return _flow(raw, 1, len(raw) - 1, "'")
        case '"':
            return _flow(raw, 1, len(raw) - 1, '"')
        case "|" | ">":
            return _block(raw)
        case _:
            return _flow(raw, 0, len(raw), "")


def _flow(raw: str, start: int, end: int, quote: str) -> Iterator[_Char]:
    """Plain and quoted text: lines are folded, quotes and escapes undone."""
    here = start
    while here < end:
        broken = _BREAK.match(raw, here, end)
        escape = _ESCAPE.match(raw, here, end) if quote == '"' else None
        if broken:
            yield from _folded(broken[0].count("\n"), here)
            here = broken.end()
        elif escape:
            yield from _unescaped(escape[1], here)
            here = escape.end()
        else:
            yield raw[here], here
            here += 2 if quote == "'" and raw.startswith("''", here) else 1


def _folded(breaks: int, at: int) -> Iterator[_Char]:
    """One break is a space, more of them one break less."""
    yield from [(" ", at)] if breaks == 1 else [("\n", at)] * (breaks - 1)


def _unescaped(code: str, at: int) -> Iterator[_Char]:
    if code[0] in "xuU" and len(code) > 1:
        yield chr(int(code[1:], 16)), at
    elif code[0] != "\n":
        yield _ESCAPED.get(code, code), at


def _block(raw: str) -> Iterator[_Char]:
    """A literal or folded block: the indentation of its first line is no part of it."""
    header = _HEADER.match(raw)
    assert header, "a block begins with its header"
    first = next((line for line in raw[header.end() :].split("\n") if line.strip(" ")), "")
    indent = len(first) - len(first.lstrip(" "))
    lines = list(_lines(raw, header.end(), indent))
    while lines and not lines[-1][0]:
        lines.pop()
    if header[1] == "|":
        for text, at in lines:
            yield from ((char, at + index) for index, char in enumerate(text))
            yield "\n", at + len(text)
        return
    yield from _folded_lines(lines)


def _lines(raw: str, start: int, indent: int) -> Iterator[tuple[str, int]]:
    """Each line of a block without its indentation, and where it begins."""
    at = start
    for line in raw[start:].split("\n"):
        yield line[indent:], at + min(indent, len(line))
        at += len(line) + 1


def _folded_lines(lines: list[tuple[str, int]]) -> Iterator[_Char]:
    """Breaks between lines that are not indented further become spaces; empty lines become breaks."""
    blank: list[int] = []
    before: tuple[str, int] | None = None
    for text, at in lines:
        if not text:
            blank.append(at)
            continue
        if before is not None:
            plain = before[0][0] not in " \t" and text[0] not in " \t"
            end = before[1] + len(before[0])
            if not plain:
                yield "\n", end
            elif not blank:
                yield " ", end
        yield from (("\n", where) for where in blank)
        yield from ((char, at + index) for index, char in enumerate(text))
        before, blank = (text, at), []
    if before is not None:
        yield "\n", before[1] + len(before[0])
