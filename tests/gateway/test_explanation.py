"""gateway.explanation: trace ids as people type them, and answers in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.explanation import parse_trace_id, words

ID = "0af7651916cd43dd8448eb211c80319c"
DECIDED: dict[str, object] = {
    "trace_id": ID,
    "owner": "10.0.0.7:4317",
    "state": "decided",
    "decision": "keep",
    "policy": "errors",
    "child": None,
    "cause": "due",
    "decided_at": 1_700_000_000.25,
    "spans": 12,
    "bytes": 4321,
    "late_spans": 2,
    "votes": {"errors": "keep", "slow": "no"},
    "answered_by": "10.0.0.7:4317",
}


@given(st.binary(min_size=16, max_size=16).filter(any), st.booleans())
def test_ids_in_any_case(trace_id: bytes, upper: bool) -> None:
    """32 hexadecimal digits name a trace, in any case."""
    text = trace_id.hex()
    assert parse_trace_id(text.upper() if upper else text) == trace_id


@pytest.mark.parametrize(
    "text", ["", "0" * 32, ID[:-1], ID + "0", ID[:-1] + "g", f" {ID}", f"{ID}\n", "０" * 32, "0x" + ID[2:]]
)
def test_what_is_no_id(text: str) -> None:
    """Anything else is none: other lengths, other letters, blanks around it, and the id of nothing."""
    assert parse_trace_id(text) is None


def test_a_decision_in_words() -> None:
    """A decision is told with who decided it, when, why then, what was seen and what each policy said."""
    assert words(DECIDED).splitlines() == [
        f"trace {ID} was kept by policy errors",
        "  decided     2023-11-14 22:13:20.250 UTC (due)",
        "  spans       12 (4321 bytes), 2 late",
        "  votes       errors: keep, slow: no",
        "  owner       10.0.0.7:4317",
        "  answered by 10.0.0.7:4317",
    ]


@pytest.mark.parametrize(
    ("answer", "headline"),
    [
        (DECIDED | {"child": "fast"}, "was kept by policy errors (fast)"),
        (DECIDED | {"decision": "drop", "policy": None}, "was dropped: no policy wanted it"),
        (DECIDED | {"decision": "drop", "policy": "health"}, "was dropped by policy health"),
        ({"state": "decided", "remembered_as": "drop"}, "was dropped, as far as is remembered"),
        (
            {"state": "decided", "remembered_as": "keep", "policy": "errors"},
            "was kept by policy errors, as far as is remembered",
        ),
        ({"state": "undecided", "spans": 3, "due_in": 2.04}, "is not decided yet"),
        ({"state": "unknown"}, "is not known"),
        ({"error": "no"}, "is not known"),
    ],
)
def test_headlines(answer: dict[str, object], headline: str) -> None:
    """The first line says what became of the trace, and no more than is known."""
    assert words({"trace_id": ID} | answer).splitlines()[0] == f"trace {ID} {headline}"


def test_what_is_missing_is_not_told() -> None:
    """A line is there only for what is known; who could not be asked is named with the reason."""
    assert words({"trace_id": ID, "state": "undecided", "spans": 3, "due_in": 2.04}).splitlines()[1:] == [
        "  due in      2.0 s",
        "  spans       3",
    ]
    told = words({"trace_id": ID, "state": "unknown", "asked": 2, "not_asked": {"s3:1": "it sleeps", "s4:1": "gone"}})
    assert told.splitlines()[1:] == ["  asked       2", "  not asked   s3:1: it sleeps; s4:1: gone"]
