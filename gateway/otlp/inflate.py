"""Inflate request bodies without ever allocating more than the bound."""

from __future__ import annotations

import zlib

from gateway.errors import MalformedRequestError, TooLargeError

_GZIP = 16 + zlib.MAX_WBITS
_FIRST_BITE = (
    1024  # bytes of input given to a member at first; doubling, so that no member copies the whole rest of the body
)


def gunzip(body: bytes, bytes_max: int) -> bytes:
    """The gzip body inflated. Raises MalformedRequestError if it is not gzip or cut off, TooLargeError beyond `bytes_max`."""
    out: list[bytes] = []
    left = bytes_max
    at = 0
    while at < len(body):  # members may follow one another (RFC 1952, section 2.2)
        inflater = zlib.decompressobj(_GZIP)
        bite = _FIRST_BITE
        while not inflater.eof:
            if at == len(body):
                raise MalformedRequestError("the gzip body is cut off", at)
            piece = body[at : at + bite]
            try:
                data = inflater.decompress(piece, left + 1)
            except zlib.error as error:
                raise MalformedRequestError(f"not gzip as Content-Encoding says ({error})", at) from error
            if len(data) > left:
                raise TooLargeError(f"the request inflates to more than {bytes_max} bytes")
            out.append(data)
            left -= len(data)
            at += len(piece) - len(inflater.unused_data)
            bite *= 2
    return b"".join(out)
