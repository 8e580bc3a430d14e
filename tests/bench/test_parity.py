"""The comparison with a running Collector: what it calls a difference, and that it runs."""

from __future__ import annotations

import pytest

from bench import parity, subjects
from gateway.config.settings import PolicySettings, TailSampling
from tests.support import generated
from tests.support.spans import request, span

ALL = parity.Case("all", TailSampling((PolicySettings("all", "always_sample"),)))
SMALL = parity.Case(
    "small",
    TailSampling(
        (PolicySettings("bytes", "bytes_limiting", (("bytes_per_second", generated.PLENTY), ("burst_capacity", 120))),)
    ),
)
REFUSED = parity.Case("none", TailSampling((PolicySettings("none", "and", (("and_sub_policy", ()),)),)))
TRACE = span("A", 1)
REQUESTS = [request(TRACE)]


def test_what_differs_is_found() -> None:
    """A trace that only one of the two keeps, or for another policy, is a difference; one that nobody keeps is none."""
    kept = {b"a": "p", b"b": "p", b"c": "p"}
    judged = {b"a": "p", b"b": "q", b"d": "p"}
    found = parity.compare(ALL, "core", kept, judged, [b"a", b"b", b"c", b"d", b"e"])
    assert [(each.trace_id, each.collector, each.judged) for each in found] == [
        (b"b", "p", "q"),
        (b"c", "p", ""),
        (b"d", "", "p"),
    ]


def test_the_core_decides_what_a_file_says() -> None:
    """The core is given the block as our configuration reads it; what that refuses is counted and no difference."""
    found = parity.core_found([ALL, REFUSED], REQUESTS, {"all": {TRACE.trace_id: "all"}, "none": {}})
    assert (found.differences, found.by_size) == ([], 0)
    (refused,) = found.refused
    assert refused.startswith("none: ") and "names no policy" in refused


def test_what_only_the_size_explains_is_counted_apart() -> None:
    """A trace that is over a bound in one measure and not in the other is no difference; with another reason it is one."""
    found = parity.core_found([SMALL], REQUESTS, {"small": {TRACE.trace_id: "bytes"}})
    assert (found.differences, found.by_size) == ([], 1)
    found = parity.core_found([ALL], REQUESTS, {"all": {}})
    assert len(found.differences) == 1
    assert "under all: the Collector says no, it says all" in parity.show(found.differences[0], REQUESTS)


def test_without_a_collector_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Where there is no Collector there is nothing to compare, and the reason is given."""
    monkeypatch.setattr(subjects, "collector", lambda: None)
    assert parity.main(["--tiny"]) == 0
    assert subjects.COLLECTOR_VARIABLE in capsys.readouterr().out


@pytest.mark.integration
@pytest.mark.skipif(
    subjects.collector() is None, reason=f"no Collector: {subjects.COLLECTOR_VARIABLE} names none, nor is it on PATH"
)
def test_both_agree_with_the_collector(capsys: pytest.CaptureFixture[str]) -> None:
    """A few configurations and traces, and no difference."""
    assert parity.main(["--tiny"]) == 0
    assert "naive: 80 of 80 agree" in capsys.readouterr().out
