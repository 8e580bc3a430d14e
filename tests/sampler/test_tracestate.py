"""sampler.tracestate: what a tracestate says of sampling."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.kernel.names import SPAN, Look
from sampler.policy.marks import NO, YES, Marks
from sampler.tracestate import (
    NEVER,
    HasRandomness,
    encode_threshold,
    has_randomness,
    parse_threshold,
    randomness_of,
    threshold_in,
    threshold_of,
    with_threshold,
)

ID = bytes(range(16))
LOW_56 = int.from_bytes(ID[9:], "big")

thresholds = st.integers(0, NEVER - 1) | st.integers(0, 255).map(lambda top: top << 48)
keys = st.from_regex(r"[a-z0-9][a-z0-9_*/@-]{0,12}", fullmatch=True).filter(lambda key: key != "ot")
values = st.from_regex(r"[ -+\--<>-~]{0,12}[!-+\--<>-~]", fullmatch=True)
sub_keys = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9]{0,3}", fullmatch=True).filter(lambda key: key not in ("rv", "th")),
    st.from_regex(r"[A-Za-z0-9._-]{0,60}", fullmatch=True),
    max_size=6,
)
blanks = st.sampled_from(["", " ", "\t", " \t"])


@st.composite
def members(draw: st.DrawFn) -> tuple[dict[str, str], list[str], bytes]:
    """(sub-keys of ot, other members, the tracestate that holds both, with blanks and empty members between)."""
    ot = draw(sub_keys)
    if draw(st.booleans()):
        ot["rv"] = f"{draw(st.integers(0, NEVER - 1)):014x}"
    if draw(st.booleans()):
        ot["th"] = encode_threshold(draw(thresholds))
    while len(written := ";".join(f"{key}:{value}" for key, value in ot.items())) > 256:
        ot.popitem()
    others = [f"{key}={draw(values)}" for key in draw(st.lists(keys, unique=True, max_size=31))]
    whole = list(others)
    if ot:
        whole.insert(draw(st.integers(0, len(others))), f"ot={written}")
    for _ in range(draw(st.integers(0, 2))):
        whole.insert(draw(st.integers(0, len(whole))), "")
    return ot, others, ",".join(draw(blanks) + each + draw(blanks) for each in whole).encode()


# ---------------------------------------------------------------- thresholds


@pytest.mark.parametrize(
    ("percentage", "stated"),
    [
        (100, "0"),
        (150, "0"),
        (50, "8"),
        (25, "c"),
        (12.5, "e"),
        (100 / 3, "aaaaaaaaaaaaa8"),  # doubles end before 56 bits do
        (10, "e6666666666666"),
        (1, "fd70a3d70a3d71"),
        (100 * (1 - 2.0**-53), "00000000000008"),
        (100 * 2.0**-56, "ffffffffffffff"),
        (100 * 1.5 * 2.0**-56, "fffffffffffffe"),
    ],
)
def test_a_percentage_is_a_threshold(percentage: float, stated: str) -> None:
    """The threshold of a percentage is the Collector's at full precision, halves rounded up."""
    assert encode_threshold(threshold_of(percentage)) == stated


@pytest.mark.parametrize("percentage", [0, -1, -0.0, 1e-17, -math.inf, math.nan])
def test_what_cannot_be_a_probability_keeps_nothing(percentage: float) -> None:
    """A percentage of 0 or less, or of less than 2^-56, has the threshold that no randomness reaches."""
    assert threshold_of(percentage) == NEVER


@given(st.floats(0, 100))
def test_a_threshold_keeps_its_percentage(percentage: float) -> None:
    """Of 2^56 values of randomness, a threshold keeps the percentage's share, within one."""
    kept = NEVER - threshold_of(percentage)
    assert abs(kept - Fraction(percentage / 100) * NEVER) <= 1


@given(st.floats(0, 100), st.floats(0, 100))
def test_a_smaller_percentage_never_has_a_smaller_threshold(one: float, other: float) -> None:
    """What is kept at a percentage is kept at every larger one."""
    assert threshold_of(min(one, other)) >= threshold_of(max(one, other))


@given(thresholds)
def test_a_threshold_is_read_as_it_was_written(threshold: int) -> None:
    """`th` has no more digits than it needs and 14 at most."""
    text = encode_threshold(threshold)
    assert parse_threshold(text) == threshold == parse_threshold(text.upper())
    assert text == "0" or (len(text) <= 14 and not text.endswith("0"))


def test_trailing_zeros_mean_nothing() -> None:
    """`c`, `c0` and `c0000000000000` are one threshold."""
    assert {parse_threshold(text) for text in ("c", "c0", "c0000000000000")} == {0xC << 52}


@pytest.mark.parametrize("text", ["", "g", "0x8", "-1", "+1", " 8", "8\n", "1_0", "14.5", "100000000000000", "٣"])
def test_what_is_no_threshold(text: str) -> None:
    """A `th` is 1 to 14 hexadecimal digits and nothing else."""
    assert parse_threshold(text) is None


# ---------------------------------------------------------------- randomness


def test_the_first_usable_rv_is_the_randomness() -> None:
    """A trace's randomness is the rv of its first span that has one, over its id."""
    states = ["", "other=rv:11111111111111", b"ot=rv:3", "a=b, ot=th:8;rv:00000000000abC", "ot=rv:22222222222222"]
    assert randomness_of(ID, states) == 0xABC


def test_without_rv_the_id_is_the_randomness() -> None:
    """The low 56 bits of a trace id are random; the byte before them does not count."""
    assert randomness_of(ID, []) == LOW_56 == randomness_of(ID[:8] + b"\xff" + ID[9:], ["ot=th:8", b"a=b"])


@pytest.mark.parametrize(
    ("raw", "usable"),
    [
        (b"ot=rv:abcdefabcdefab", True),
        (b"ot=RV:abcdefabcdefab", False),
        (b"ot=rv:ABCDEFABCDEFAB", True),
        (b" x=1 ,\tot=th:c;rv:d29d6a7215ced0;pn:abc , ,zz=vendor content", True),
        (b"2@x=1,ot=rv:abcdefabcdefab", True),
        (b"", False),
        (b"ot=th:8", False),
        (b"ot=rv:abcdefabcdefa", False),
        (b"ot=rv:abcdefabcdefab0", False),
        (b"ot=rv:abcdefabcdefax", False),
        (b"ot=rv:abcdefabcdefab;", False),
        (b"ot=rv:abcdefabcdefab;rv:abcdefabcdefab", False),
        (b"ot=rv:abcdefabcdefab;P:1", False),
        (b"ot=rv:abcdefabcdefab,ot=th:8", False),
        (b"ot=rv:abcdefabcdefab,a=1,a=2", False),
        (b"ot=rv:abcdefabcdefab,A=1", False),
        (b"ot=rv:abcdefabcdefab,a=", False),
        (b"ot=rv:abcdefabcdefab,a", False),
        (b"ot=rv:abcdefabcdefab,a=\xc3\xa9", False),
        (b"xot=rv:abcdefabcdefab", False),
        (b"ot=rv:abcdefabcdefab" + b"".join(b",k%d=1" % n for n in range(31)), True),
        (b"ot=rv:abcdefabcdefab" + b"".join(b",k%d=1" % n for n in range(32)), False),
        (b"ot=rv:abcdefabcdefab,a=" + b"v" * 256, True),
        (b"ot=rv:abcdefabcdefab,a=" + b"v" * 257, False),
        (b"ot=rv:abcdefabcdefab," + b"k" * 257 + b"=v", False),
    ],
)
def test_an_rv_is_usable_in_a_whole_tracestate_only(raw: bytes, usable: bool) -> None:
    """An rv counts with its 14 digits, in an ot member by OpenTelemetry's grammar, in a tracestate by W3C's."""
    assert has_randomness(raw) is usable
    assert (randomness_of(ID, [raw]) != LOW_56) is usable


def test_text_that_is_no_text_has_no_rv() -> None:
    """A string with half a surrogate pair in it, which no protobuf gives, is no tracestate rather than an error."""
    assert randomness_of(ID, ["ot=rv:abcdefabcdefab,a=\ud800"]) == LOW_56


def test_the_predicate_is_asked_for_as_a_mark() -> None:
    """A policy that needs randomness asks by one mark whether a trace has any of its own; equal predicates share it."""
    marks = Marks()
    mark = marks.any_span(HasRandomness())
    assert mark == marks.any_span(HasRandomness())
    (probe,) = marks.plan().probes
    assert probe.looks == (Look(SPAN, 3),) and probe.memo
    assert probe.judge((b"ot=rv:abcdefabcdefab",)) == 1 << mark and probe.judge((None,)) == 0
    assert HasRandomness()((b"ot=th:8",)) == NO and HasRandomness()((b"ot=rv:abcdefabcdefab",)) == YES


# ---------------------------------------------------------------- writing a threshold


@pytest.mark.parametrize(
    ("raw", "threshold", "written"),
    [
        (b"", 0, b"ot=th:0"),
        (b"", 0xC << 52, b"ot=th:c"),
        (b"a=b, c=d", 0xC << 52, b"ot=th:c,a=b,c=d"),
        (b"a=b,ot=pn:abc;rv:d29d6a7215ced0,c=d", 0xC << 52, b"ot=rv:d29d6a7215ced0;th:c;pn:abc,a=b,c=d"),
        (b"ot=th:8", 0xC << 52, b"ot=th:c"),
        (b"a=b,ot=th:c", 0x8 << 52, b"a=b,ot=th:c"),
        (b"a=b,ot=th:c00", 0xC << 52, b"a=b,ot=th:c00"),
        (b"ot=th:0", 0, b"ot=th:0"),
        (b"ot=th:nonsense;x:1,a=b", 0x8 << 52, b"ot=th:8;x:1,a=b"),
        (b"ot=rv:3;p:2", 0x8 << 52, b"ot=th:8;p:2"),
        (b"ot=???,a=b", 0x8 << 52, b"ot=th:8,a=b"),
        (b"ot=th:c,A=1,b=2", 0x8 << 52, b"ot=th:8"),
        (b"\xff", 0x8 << 52, b"ot=th:8"),
    ],
)
def test_a_threshold_is_written_in_front(raw: bytes, threshold: int, written: bytes) -> None:
    """The changed member moves to the front, others stay in their order; what breaks the grammar is left out."""
    assert with_threshold(raw, threshold) == written


@given(members(), thresholds)
def test_nothing_but_the_threshold_is_changed(state: tuple[dict[str, str], list[str], bytes], threshold: int) -> None:
    """The larger threshold wins; rv, other sub-keys and other members survive; what says enough stays as it is."""
    ot, others, raw = state
    was = parse_threshold(ot["th"]) if "th" in ot else None
    assert threshold_in(raw) == was
    new = with_threshold(raw, threshold)
    if was is not None and was >= threshold:
        assert new == raw
        return
    assert threshold_in(new) == threshold
    assert randomness_of(ID, [new]) == randomness_of(ID, [raw])
    first, *rest = new.decode().split(",")
    assert rest == [each.strip(" \t") for each in others]
    kept = dict(item.split(":") for item in first.removeprefix("ot=").split(";"))
    dropped = [key for key in ot if key not in kept]
    assert {**ot, "th": encode_threshold(threshold)} == kept | {key: ot[key] for key in dropped}
    assert not dropped or len(first) + 1 + sum(len(key) + 1 + len(ot[key]) for key in dropped) > 256 + len("ot=")


@given(st.binary(max_size=60) | st.text("ot=rvh:;,abc018 \t").map(str.encode) | members().map(lambda state: state[2]))
@example(b"ot=" + b"x:" + b"y" * 254)
@example(b",".join(b"k%d=1" % n for n in range(32)))
def test_a_span_always_states_its_threshold_afterwards(raw: bytes) -> None:
    """Whatever came, what leaves is a tracestate by the grammar, within its bounds, with the threshold; once is enough."""
    threshold = 0xE << 52
    new = with_threshold(raw, threshold)
    stated = threshold_in(new)
    assert stated is not None and stated == max(threshold, threshold_in(raw) or 0)
    assert with_threshold(new, threshold) == new
    assert len([each for each in new.split(b",") if each.strip()]) <= 32
    assert all(len(each.strip().partition(b"=")[2]) <= 256 for each in new.split(b","))


@given(members(), thresholds, thresholds)
def test_stages_in_any_order_state_the_same(state: tuple[dict[str, str], list[str], bytes], one: int, two: int) -> None:
    """Behind two samplers a span states the larger of their thresholds, whichever came first."""
    raw = state[2]
    stated = threshold_in(with_threshold(with_threshold(raw, one), two))
    assert (
        stated == threshold_in(with_threshold(with_threshold(raw, two), one)) == max(one, two, threshold_in(raw) or 0)
    )


def test_a_full_list_loses_its_last_member() -> None:
    """Where 32 other members leave no room for ot, the one that was changed longest ago gives way."""
    new = with_threshold(b",".join(b"k%d=1" % n for n in range(32)), 0)
    assert new == b",".join([b"ot=th:0", *(b"k%d=1" % n for n in range(31))])


def test_a_full_ot_member_loses_its_last_sub_key() -> None:
    """256 characters are all that ot may have; rv and th always fit."""
    raw = b"ot=a:1;b:%s;rv:d29d6a7215ced0" % (b"x" * 230)
    assert with_threshold(raw, 0x8 << 52) == b"ot=rv:d29d6a7215ced0;th:8;a:1"
