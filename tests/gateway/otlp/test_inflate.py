"""gateway.otlp.inflate: gzip bodies of friends and enemies."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import limits
from gateway.errors import MalformedRequestError, TooLargeError
from gateway.otlp import inflate
from gateway.otlp.inflate import gunzip, gzipped


@given(st.lists(st.binary(max_size=3000), min_size=1, max_size=4), st.integers(0, 9))
def test_members_follow_one_another(members: list[bytes], level: int) -> None:
    """A body of several gzip members inflates to all of them, at exactly the bound too."""
    body = b"".join(gzip.compress(member, level) for member in members)
    plain = b"".join(members)
    assert gunzip(body, len(plain)) == plain
    if plain:
        with pytest.raises(TooLargeError, match=f"more than {len(plain) - 1} bytes"):
            gunzip(body, len(plain) - 1)


def test_no_body_is_no_request() -> None:
    """An empty body inflates to nothing."""
    assert gunzip(b"", 10) == b""


@given(st.binary(max_size=300))
def test_a_body_cut_off_anywhere_is_refused(plain: bytes) -> None:
    """A gzip body that ends early, at any byte, is refused and never half a request."""
    body = gzip.compress(plain)
    for length in range(1, len(body)):
        with pytest.raises(MalformedRequestError):
            gunzip(body[:length], 1000)


@given(st.binary(max_size=100), st.binary(min_size=1, max_size=40))
def test_what_follows_the_last_member_must_be_gzip(plain: bytes, rest: bytes) -> None:
    """Bytes after the last member that are no member are refused."""
    try:
        expected = gzip.decompress(gzip.compress(plain) + rest.lstrip(b"\0"))
    except (OSError, EOFError, zlib.error):
        with pytest.raises(MalformedRequestError):
            gunzip(gzip.compress(plain) + rest, 1000)
    else:
        assert expected.startswith(plain)


@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_end_in_an_answer(body: bytes) -> None:
    """Arbitrary bytes are refused or inflated; no other error can come."""
    try:
        gunzip(body, 1000)
    except (MalformedRequestError, TooLargeError) as error:
        assert str(error)


@pytest.mark.parametrize("at", [0, 2, 12, -5, -1])
def test_a_damaged_body_is_refused(at: int) -> None:
    """A flipped byte in header, data, checksum or size is noticed."""
    body = bytearray(gzip.compress(b"span " * 100))
    body[at] ^= 0xFF
    with pytest.raises(MalformedRequestError):
        gunzip(bytes(body), 10_000)


def test_a_bomb_is_refused_within_the_bound() -> None:
    """Of 64 MiB of zeros in 64 KiB no more is inflated than the bound and a little."""
    bomb = gzip.compress(bytes(64 * limits.MIB), 9)
    bound = limits.MIB
    tracemalloc.start()
    try:
        with pytest.raises(TooLargeError):
            gunzip(bomb, bound)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * bound


def test_many_small_members_cost_no_more_than_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A body of very many empty members does not make the rest of the body be copied once a member."""
    handed = 0
    make = inflate._codec.decompressobj

    class Counting:
        """An inflater that counts the bytes it is handed: what it does not use it copies."""

        def __init__(self, wbits: int) -> None:
            self._inflater = make(wbits)

        def __getattr__(self, name: str) -> object:
            return getattr(self._inflater, name)

        def decompress(self, data: bytes, bytes_max: int) -> bytes:
            nonlocal handed
            handed += len(data)
            return self._inflater.decompress(data, bytes_max)

    monkeypatch.setattr(inflate._codec, "decompressobj", Counting)
    body = gzip.compress(b"") * 10_000
    assert gunzip(body, 10) == b""
    assert handed <= 100 * len(body)


@given(st.binary(max_size=5000))
def test_what_is_deflated_is_gzip_to_everybody(plain: bytes) -> None:
    """What is sent compressed is read by zlib, and by ourselves."""
    assert gzip.decompress(gzipped(plain)) == plain
    assert gunzip(gzipped(plain), len(plain)) == plain
