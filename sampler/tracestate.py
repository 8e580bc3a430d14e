"""What a span's tracestate says of sampling: randomness and threshold, read and stated again. Pure; knows no protobuf.

OpenTelemetry's "TraceState: Probability Sampling" and "TraceState Handling", W3C Trace Context Level 2. Randomness R is a number
of 56 bits, a threshold T one of 0 to 2^56; R >= T is kept. A span with threshold T stands for 2^56 / (2^56 - T) spans.

A value that breaks the grammar says nothing, whether all of it does or its `ot` member alone; so does a sub-key that is there
twice. What says nothing is left out when a threshold is written, as W3C allows: the threshold has to be readable.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

from gateway.kernel.names import SPAN, Look, Values
from sampler.policy.marks import NO, YES

NEVER = 2**56
"""The threshold that no randomness reaches. No span can carry it."""

_RANDOMNESS_BYTES = 7
_DIGITS = 14
_MEMBERS_MAX = 32
_OT_CHARS_MAX = 256
_LEAST = 2.0**-56  # a smaller probability cannot be stated and means never
_HALF = Fraction(1, 2)

_MEMBER = re.compile(
    rb"([a-z0-9][a-z0-9_*/@-]{0,255})=([\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e])"
)
_SUB_KEY = re.compile(rb"([a-z][a-z0-9]*):([A-Za-z0-9._-]*)")
_THRESHOLD = re.compile(r"[0-9A-Fa-f]{1,14}")
_RANDOMNESS = re.compile(rb"[0-9A-Fa-f]{14}")


# ---------------------------------------------------------------- numbers


def threshold_of(percentage: float) -> int:
    """The threshold that keeps this percentage: 0 from 100 on, NEVER from 0 down and below 2^-56.

    percentage / 100 in double precision, times 2^56, rounded half up to a number of kept values: what the Collector's
    ProbabilityToThreshold gives at full precision.
    """
    share = percentage / 100
    if share >= 1:
        return 0
    return NEVER - int(Fraction(share) * NEVER + _HALF) if share >= _LEAST else NEVER


def encode_threshold(threshold: int) -> str:
    """The value of `th`: hexadecimal digits without the trailing zeros, "0" for the one that keeps all."""
    assert 0 <= threshold < NEVER, threshold
    return f"{threshold:0{_DIGITS}x}".rstrip("0") or "0"


def parse_threshold(text: str) -> int | None:
    """The threshold that a value of `th` states; None unless it is 1 to 14 hexadecimal digits."""
    return int(text.ljust(_DIGITS, "0"), 16) if _THRESHOLD.fullmatch(text) else None


# ---------------------------------------------------------------- reading


def randomness_of(trace_id: bytes, tracestates: Iterable[str | bytes]) -> int:
    """A trace's randomness: the `rv` of its first span that has a usable one, or else the low 56 bits of its id."""
    for tracestate in tracestates:
        raw = tracestate if isinstance(tracestate, bytes) else tracestate.encode("utf-8", "surrogatepass")
        randomness = _randomness_in(raw)
        if randomness is not None:
            return randomness
    return int.from_bytes(trace_id[-_RANDOMNESS_BYTES:], "big")


def has_randomness(raw: bytes) -> bool:
    """Whether this tracestate has a usable `rv`."""
    return _randomness_in(raw) is not None


def threshold_in(raw: bytes) -> int | None:
    """The threshold that this tracestate states; None if it states none."""
    return _usable_threshold(_read(raw).ot) if b"th:" in raw else None


@dataclass(frozen=True, slots=True)
class HasRandomness:
    """Whether a span has a usable `rv`: a predicate for sampler.policy.marks."""

    @property
    def looks(self) -> tuple[Look, ...]:
        """The span's trace_state."""
        return (Look(SPAN, 3),)

    def __call__(self, values: Values) -> int:
        """YES or NO."""
        (raw,) = values
        return YES if raw is not None and has_randomness(raw) else NO


def _randomness_in(raw: bytes) -> int | None:
    if b"rv:" not in raw:  # nearly every one there is
        return None
    text = _read(raw).ot.get(b"rv", b"")
    return int(text, 16) if _RANDOMNESS.fullmatch(text) else None


def _usable_threshold(ot: dict[bytes, bytes]) -> int | None:
    return parse_threshold(ot[b"th"].decode()) if b"th" in ot else None


# ---------------------------------------------------------------- writing


def with_threshold(raw: bytes, threshold: int) -> bytes:
    """The tracestate of a span that was kept at this threshold: the larger of it and what `raw` states. The caller appends it.

    `raw` itself if that states as much already. Else the `ot` member comes first, `rv` and the other sub-keys kept as they are,
    other vendors' members behind it in their order. Where there is no room (256 characters for `ot`, 32 members) the last of
    the others are left out.
    """
    state = _read(raw)
    stated = _usable_threshold(state.ot)
    if stated is not None and stated >= threshold:
        return raw
    return b",".join([b"ot=" + _ot(state.ot, threshold), *state.others][:_MEMBERS_MAX])


def _ot(was: dict[bytes, bytes], threshold: int) -> bytes:
    """The value of the `ot` member: rv, th, then the rest as far as it fits."""
    items = [b"th:" + encode_threshold(threshold).encode()]
    if _RANDOMNESS.fullmatch(was.get(b"rv", b"")):
        items.insert(0, b"rv:" + was[b"rv"])
    items += [key + b":" + value for key, value in was.items() if key not in (b"rv", b"th")]
    while len(value := b";".join(items)) > _OT_CHARS_MAX:
        items.pop()
    return value


# ---------------------------------------------------------------- the grammar


class _State(NamedTuple):
    """A tracestate taken apart: the sub-keys of its `ot` member, and the other members as they stand there."""

    ot: dict[bytes, bytes]
    others: list[bytes]


def _read(raw: bytes) -> _State:
    """Empty if `raw` is no tracestate. Takes time in proportion to its length."""
    others: list[bytes] = []
    ot: bytes | None = None
    keys: dict[bytes, None] = {}
    for piece in raw.split(b","):
        member = piece.strip(b" \t")
        if not member:
            continue  # W3C: members may be empty
        match = _MEMBER.fullmatch(member)
        if match is None or match[1] in keys or len(keys) == _MEMBERS_MAX:
            return _State({}, [])
        keys[match[1]] = None
        if match[1] == b"ot":
            ot = match[2]
        else:
            others.append(member)
    return _State(_sub_keys(ot) if ot is not None else {}, others)


def _sub_keys(ot: bytes) -> dict[bytes, bytes]:
    """The sub-keys in their order; none if the value breaks the grammar."""
    found: dict[bytes, bytes] = {}
    for item in ot.split(b";"):
        match = _SUB_KEY.fullmatch(item)
        if match is None or match[1] in found:
            return {}
        found[match[1]] = match[2]
    return found
