"""What is said about one trace: the id as people type it, and the answer in words. Pure.

Who is asked, and how, is gateway.net.explain's subject; what is known of a trace is the sampler's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime

TRACE_ID_BYTES = 16
_HEX = re.compile(r"[0-9A-Fa-f]{32}")

Answer = Mapping[str, object]
"""As /debug/trace/ID gives it; docs/OPERATING.md names the keys."""


def parse_trace_id(text: str) -> bytes | None:
    """The id of 32 hexadecimal digits in any case; None if it is none, or the one that means nothing: all zero."""
    if not _HEX.fullmatch(text):
        return None
    trace_id = bytes.fromhex(text)
    return trace_id if any(trace_id) else None


def words(answer: Answer) -> str:
    """The answer in a few lines for people."""
    rows = [_headline(answer)]
    for label, value in _facts(answer):
        if value:
            rows.append(f"  {label:<12}{value}")
    return "\n".join(rows)


def _headline(answer: Answer) -> str:
    trace = f"trace {answer.get('trace_id')}"
    match answer.get("state"):
        case "undecided":
            return f"{trace} is not decided yet"
        case "decided":
            kept = _decision(answer) == "keep"
            policy = (
                f" by policy {answer['policy']}" if answer.get("policy") else "" if kept else ": no policy wanted it"
            )
            child = f" ({answer['child']})" if answer.get("child") else ""
            vague = "" if "decision" in answer else ", as far as is remembered"
            if vague and not answer.get("policy"):
                policy = ""
            return f"{trace} was {'kept' if kept else 'dropped'}{policy}{child}{vague}"
        case _:
            return f"{trace} is not known"


def _decision(answer: Answer) -> object:
    return answer.get("decision", answer.get("remembered_as"))


def _facts(answer: Answer) -> list[tuple[str, str]]:
    return [
        ("decided", " ".join(filter(None, (_instant(answer.get("decided_at")), _cause(answer.get("cause")))))),
        ("due in", _seconds(answer.get("due_in"))),
        ("spans", _spans(answer)),
        ("votes", _votes(answer.get("votes"))),
        ("owner", str(answer.get("owner") or "")),
        ("answered by", str(answer.get("answered_by") or "")),
        ("asked", str(answer.get("asked") or "")),
        ("not asked", _reasons(answer.get("not_asked"))),
        ("error", str(answer.get("error") or "")),
    ]


def _instant(value: object) -> str:
    if not isinstance(value, (int, float)):
        return ""
    return datetime.fromtimestamp(value, UTC).isoformat(" ", "milliseconds").replace("+00:00", " UTC")


def _cause(value: object) -> str:
    return f"({value})" if value else ""


def _seconds(value: object) -> str:
    return f"{value:.1f} s" if isinstance(value, (int, float)) else ""


def _spans(answer: Answer) -> str:
    spans, size, late = answer.get("spans"), answer.get("bytes"), answer.get("late_spans")
    parts = [] if spans is None else [f"{spans}" if size is None else f"{spans} ({size} bytes)"]
    if late:
        parts.append(f"{late} late")
    return ", ".join(parts)


def _votes(value: object) -> str:
    return ", ".join(f"{name}: {vote}" for name, vote in value.items()) if isinstance(value, Mapping) else ""


def _reasons(value: object) -> str:
    return "; ".join(f"{who}: {why}" for who, why in value.items()) if isinstance(value, Mapping) else ""
