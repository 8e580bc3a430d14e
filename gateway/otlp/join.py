"""Join spans in their envelopes back into requests: lengths and slices, never a re-encoded span."""

from __future__ import annotations

from gateway.otlp.split import Envelope


def join(fragments: list[tuple[Envelope, bytes]]) -> bytes:
    """One request holding all fragments in order. A fragment's bytes are span fields with tag and length, back to back.

    Adjacent fragments in equal envelopes share one ResourceSpans. The result of several joins may be concatenated.
    """
    raise NotImplementedError
