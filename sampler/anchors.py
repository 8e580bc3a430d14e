"""Whether a regular expression is anchored: must a match begin and end where the value does?

Owns just enough of RE2's syntax to tell alternatives, groups, classes and escapes apart. Compiles nothing and judges nothing.
"""

from __future__ import annotations

import re

_ATOM = re.compile(r"\\Q.*?(?:\\E|$)|\\.|\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]|.", re.DOTALL)
_GROUP = re.compile(r"\((\?(P?<\w+>|[a-zA-Z]*(-[a-zA-Z]+)?:))?")
_FLAGS = re.compile(r"\(\?[a-zA-Z-]+\)")
_STARTS, _ENDS = ("^", r"\A"), ("$", r"\z")


def anchored(pattern: str) -> tuple[bool, bool]:
    """Whether a match must begin where the value begins, and end where it ends. What spans anything, as `.*`, counts."""
    atoms = _ATOM.findall(_FLAGS.sub("", pattern, count=1) if _FLAGS.match(pattern) else pattern)
    sides = [_alternative(part) for part in _alternatives(atoms)]
    return all(start for start, _ in sides), all(end for _, end in sides)


def _alternatives(atoms: list[str]) -> list[list[str]]:
    """The alternatives at the top of an expression, group brackets being atoms."""
    parts: list[list[str]] = [[]]
    depth = 0
    for atom in atoms:
        depth += (atom == "(") - (atom == ")")
        if atom == "|" and depth == 0:
            parts.append([])
        else:
            parts[-1].append(atom)
    return parts


def _alternative(atoms: list[str]) -> tuple[bool, bool]:
    if _is_one_group(atoms):
        inner = "".join(atoms)
        opened = _GROUP.match(inner)
        assert opened, "a group begins with a bracket"
        return anchored(inner[opened.end() : -1])
    start = atoms[:1] and (atoms[0] in _STARTS or _anything(atoms[:2]))
    end = atoms[-1:] and (atoms[-1] in _ENDS or _anything(atoms[-2:]))
    return bool(start), bool(end)


def _anything(atoms: list[str]) -> bool:
    return atoms == [".", "*"]


def _is_one_group(atoms: list[str]) -> bool:
    """Whether one pair of brackets holds all of it."""
    if len(atoms) < 2 or atoms[0] != "(" or atoms[-1] != ")":
        return False
    depth = 0
    for index, atom in enumerate(atoms):
        depth += (atom == "(") - (atom == ")")
        if depth == 0:
            return index == len(atoms) - 1
    return False
