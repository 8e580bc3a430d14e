"""sampler.w3c: what a tracestate is, for the policy and for conditions alike."""

from __future__ import annotations

import pytest

from sampler.policy.marks import NO
from sampler.policy.trace_state import HasMember
from sampler.w3c import parse


@pytest.mark.parametrize(
    ("tracestate", "members"),
    [
        (b"a=1", {b"a": b"1"}),
        (b"a=1,b=2", {b"a": b"1", b"b": b"2"}),
        (b" \ta=1 \t,\tb= 2 ", {b"a": b"1", b"b": b" 2"}),  # blanks before a key and behind a value are none of theirs
        (b",,a=1,,", {b"a": b"1"}),
        (b",", {}),
        (b"a-_*/9=~!", {b"a-_*/9": b"~!"}),
        (b"9t@s=1", {b"9t@s": b"1"}),
        (b"a" * 256 + b"=" + b"v" * 256, {b"a" * 256: b"v" * 256}),
        (b"t" * 241 + b"@" + b"s" * 14 + b"=1", {b"t" * 241 + b"@" + b"s" * 14: b"1"}),
        (b",".join(b"k%d=v" % n for n in range(32)), {b"k%d" % n: b"v" for n in range(32)}),
    ],
)
def test_members(tracestate: bytes, members: dict[bytes, bytes]) -> None:
    """A valid tracestate has at most 32 members, each a key and a value of W3C Trace Context."""
    assert parse(tracestate) == members


@pytest.mark.parametrize(
    "tracestate",
    [
        b"a",
        b" ",
        b"a=1, ,b=2",
        b"=1",
        b"a=",
        b"a= ",
        b"a =1",
        b"A=1",
        b"9=1",
        b"a=1=2",
        b"a=\x7f",
        b"a=1\t2",
        b"a=\xc3\xa9",
        b"\xc3\xa9=a",
        b"a=1,a=1",
        b"a@9=1",
        b"a@b@c=1",
        b"@a=1",
        b"a@=1",
        b"a" * 257 + b"=1",
        b"a=" + b"v" * 257,
        b"t" * 242 + b"@s=1",
        b"t@" + b"s" * 15 + b"=1",
        b",".join(b"k%d=v" % n for n in range(33)),
    ],
)
def test_what_breaks_a_rule_is_no_tracestate(tracestate: bytes) -> None:
    """One bad member makes the whole tracestate say nothing."""
    assert parse(tracestate) is None
    assert HasMember(b"a", frozenset({b"1"}))((b"a=1," + tracestate,)) == NO
