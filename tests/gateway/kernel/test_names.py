"""gateway.kernel.names: one vocabulary for all forms."""

from __future__ import annotations

from gateway.kernel import Kernel
from gateway.kernel.names import ALWAYS, Added, Kept, Node
from tests.support.wire import plain_request, plain_span


def test_all_forms_answer_in_these_words(kernel: Kernel) -> None:
    """Every form says what it took in and what is kept in the same types, so that a caller need not know which one it has."""
    spans = kernel.Spans(facts=True)
    traces = kernel.Traces(spans, bytes_max=1 << 20)
    body = plain_request(plain_span(b"A" * 16, b"a" * 8))
    spans.read(body)
    assert traces.add(body, 3, lambda _: None) == Added(spans=1, traces=1, duplicates=0, late_dropped={}, late=[])
    program = kernel.Program([Node(ALWAYS)])
    traces.join(program)
    *_, (kept,) = traces.decide(program, 3, 1, lambda *_: None)
    assert kept == Kept(trace_id=b"A" * 16, request=body, spans=1, span_ids=b"a" * 8, policy=0)
    assert isinstance(kept, Kept)
