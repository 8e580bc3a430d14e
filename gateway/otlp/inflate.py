"""Inflate request bodies without ever allocating more than the bound, and deflate them. Knows gzip and no protocol.

isal does the same as zlib in a third of the time on bodies of 180 KB and more, and deflates ten times faster at the size that
zlib's level 1 reaches; where there is no wheel of it (it needs x86-64 or 64-bit ARM) zlib does the work.
"""

from __future__ import annotations

import zlib
from typing import cast

from gateway.errors import MalformedRequestError, TooLargeError

try:
    from isal import isal_zlib as _codec

    _ERRORS: tuple[type[Exception], ...] = (
        cast("type[Exception]", _codec.error),
        zlib.error,
    )  # the stub says it is a value
    _LEVEL = 2
except ImportError:  # pragma: no cover -- other machines
    import zlib as _codec  # type: ignore[no-redef]

    _ERRORS = (zlib.error,)
    _LEVEL = 1

_GZIP = 16 + zlib.MAX_WBITS
_FIRST_BITE = 1024  # bytes given to a further member at first; doubling, so that no member copies the whole rest


def gunzip(body: bytes, bytes_max: int) -> bytes:
    """The gzip body inflated. Raises MalformedRequestError if it is not gzip or cut off, TooLargeError beyond `bytes_max`."""
    out: list[bytes] = []
    left = bytes_max
    at = 0
    bite = len(body)  # nearly every body is one member
    while at < len(body):  # members may follow one another (RFC 1952, section 2.2)
        inflater = _codec.decompressobj(_GZIP)
        while not inflater.eof:
            if at == len(body):
                raise MalformedRequestError("the gzip body is cut off", at)
            piece = body[at : at + bite]
            try:
                data = inflater.decompress(piece, left + 1)
            except _ERRORS as error:
                raise MalformedRequestError(f"not gzip as Content-Encoding says ({error})", at) from error
            if len(data) > left:
                raise TooLargeError(f"the request inflates to more than {bytes_max} bytes")
            out.append(data)
            left -= len(data)
            at += len(piece) - len(inflater.unused_data)
            bite *= 2
        bite = _FIRST_BITE
    return out[0] if len(out) == 1 else b"".join(out)


def gzipped(body: bytes) -> bytes:
    """The body as gzip, quickly rather than small."""
    packer = _codec.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)
    return packer.compress(body) + packer.flush()
