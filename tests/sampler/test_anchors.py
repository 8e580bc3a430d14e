"""sampler.anchors"""

from __future__ import annotations

import pytest

from sampler.anchors import anchored


@pytest.mark.parametrize(
    ("pattern", "sides"),
    [
        ("^a$", (True, True)),
        ("a", (False, False)),
        (r"\Aa\z", (True, True)),
        ("^a", (True, False)),
        ("a$", (False, True)),
        (r"a\$", (False, False)),
        (r"\^a$", (False, True)),
        ("^a|b$", (False, False)),
        ("^a$|^b$", (True, True)),
        ("(^a$|^b$)", (True, True)),
        ("(?:^a$)", (True, True)),
        ("(?P<x>^a)", (True, False)),
        ("^(a|b)$", (True, True)),
        ("(a)|(b)", (False, False)),
        ("(?i)^a$", (True, True)),
        ("(?i:^a$)", (True, True)),
        (".*a.*", (True, True)),
        ("a.*", (False, True)),
        ("[$]", (False, False)),
        ("[a|b]", (False, False)),
        ("^[]|)]$", (True, True)),
        (r"\Q^a$\E", (False, False)),
        ("", (False, False)),
        ("()", (False, False)),
    ],
)
def test_anchors_are_found(pattern: str, sides: tuple[bool, bool]) -> None:
    """An expression is anchored on a side if every alternative is, brackets and escapes considered."""
    assert anchored(pattern) == sides
