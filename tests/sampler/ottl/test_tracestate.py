"""sampler.ottl.tracestate: members of a tracestate."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampler.ottl.tracestate import member


@pytest.mark.parametrize(
    ("raw", "found"),
    [
        (b"", b""),
        (b"a=1,b=2", b"1"),
        (b" \ta=1 \t, b=2", b"1"),
        (b",,a=1,,", b"1"),
        (b"b=2", b""),
        (b"t@v=x,a=~", b"~"),
        (b"a", None),
        (b"A=1", None),
        (b"a=", None),
        (b"a=1=2", None),
        (b"a=1,a=1", None),
        (b"a=\x7f", None),
        (b"a=1,b", None),
        (b"a=" + b"v" * 256, b"v" * 256),
        (b"a=" + b"v" * 257, None),
        (b"a=1," + b",".join(b"k%d=1" % n for n in range(31)), b"1"),
        (b"a=1," + b",".join(b"k%d=1" % n for n in range(32)), None),
    ],
)
def test_members(raw: bytes, found: bytes | None) -> None:
    """A member that is not there is empty; what is no tracestate as a whole has none."""
    assert member(raw, b"a") == found


@given(st.binary(max_size=20))
def test_any_bytes_are_read(raw: bytes) -> None:
    """Nothing raises."""
    assert member(raw, b"a") is None or isinstance(member(raw, b"a"), bytes)
