"""gateway.kernel.names: one vocabulary for all forms."""

from __future__ import annotations

from gateway.kernel import Kernel
from gateway.kernel.names import ALWAYS, HASH_UPTO, LONGER_THAN, MARKED, STATUS_IN, Added, Kept
from tests.support.wire import plain_request, plain_span


def test_all_forms_answer_in_these_words(kernel: Kernel) -> None:
    """Every form says what it took in and what is kept in the same types, so that a caller need not know which one it has."""
    spans = kernel.Spans(facts=True)
    traces = kernel.Traces(spans, bytes_max=1 << 20, traces_max=10)
    body = plain_request(plain_span(b"A" * 16, b"a" * 8))
    spans.read(body)
    assert traces.add(body, 3, lambda _: None) == Added(spans=1, traces=1, duplicates=0, late_dropped=0, late=[])
    *_, (kept,) = traces.decide(kernel.Program([(ALWAYS, 0, 0)]), 3, 1, lambda *_: None, [0])
    assert kept == Kept(trace_id=b"A" * 16, request=body, spans=1, span_ids=b"a" * 8, policy=0)
    assert isinstance(kept, Kept)


def test_the_tests_are_told_apart() -> None:
    """No two kinds of test have one number."""
    assert len({ALWAYS, STATUS_IN, LONGER_THAN, MARKED, HASH_UPTO}) == 5
