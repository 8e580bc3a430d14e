"""Inflate request bodies without ever allocating more than the bound."""

from __future__ import annotations

import zlib

from gateway.errors import MalformedRequestError, TooLargeError

_GZIP = 16 + zlib.MAX_WBITS


def gunzip(body: bytes, bytes_max: int) -> bytes:
    """The gzip body inflated. Raises MalformedRequestError if it is not gzip or cut off, TooLargeError beyond `bytes_max`."""
    out: list[bytes] = []
    left = bytes_max
    while body:  # members may follow one another (RFC 1952, section 2.2)
        inflater = zlib.decompressobj(_GZIP)
        try:
            data = inflater.decompress(body, left + 1)
        except zlib.error as error:
            raise MalformedRequestError(f"not gzip as Content-Encoding says ({error})", 0) from error
        if len(data) > left:
            raise TooLargeError(f"the request inflates to more than {bytes_max} bytes")
        if not inflater.eof:
            raise MalformedRequestError("the gzip body is cut off", len(body))
        out.append(data)
        left -= len(data)
        body = inflater.unused_data
    return b"".join(out)
