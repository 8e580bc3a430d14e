"""Gzip bodies of every kind, and how much memory something took."""

from __future__ import annotations

import gzip
import re
import zlib
from pathlib import Path

MIB = 1024 * 1024


def zeros(size: int) -> bytes:
    """`size` zero bytes as gzip, made without holding them: a bomb."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    out = [packer.compress(b"\0" * min(MIB, size - at)) for at in range(0, size, MIB)]
    return b"".join([*out, packer.flush()])


def broken(body: bytes) -> dict[str, bytes]:
    """Bodies that claim to be the gzip of `body` and are not."""
    good = gzip.compress(body)
    return {
        "plain": body or b"x",
        "cut off": good[: len(good) // 2],
        "cut in the header": good[:5],
        "no trailer": good[:-8],
        "wrong checksum": good[:-8] + b"\xff\xff\xff\xff" + good[-4:],
        "wrong length": good[:-4] + b"\xff\xff\xff\x7f",
        "zlib instead": zlib.compress(body),
        "garbage behind": good + b"garbage",
        "magic only": b"\x1f\x8b",
    }


class Peak:
    """How far the memory of this process rises above where it is now. Linux only."""

    def __init__(self) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self._before = self._read("VmRSS")

    def bytes(self) -> int:
        return self._read("VmHWM") - self._before

    def _read(self, key: str) -> int:
        found = re.search(rf"{key}:\s+(\d+) kB", Path("/proc/self/status").read_text())
        assert found, key
        return int(found[1]) * 1024
