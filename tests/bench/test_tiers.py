"""The comparison adds up, and says when it does not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.subjects import Subject
from bench.tiers import LONG, Case, Result, checksum, ratios, table

RESULT = Result(
    tier="balancer",
    name="native",
    case="512 (8)",
    spans=512,
    round=1,
    spans_per_second=1e5,
    cpu_ns=1000.0,
    p50_ms=1.0,
    p99_ms=2.0,
    resident_before=10**7,
    resident=10**8,
    decision_wait=10.0,
    others_share=0.0,
    exported_share=1.0,
    acked=100,
    arrived=100,
    rejected=0,
    errors={},
)
COLLECTOR = replace(RESULT, name="collector", cpu_ns=3000.0)


@pytest.mark.parametrize(("text", "case"), [("512x8", Case(512, 8)), ("512x8z", Case(512, 8, gzip=True))])
def test_a_load_is_written_as_spans_times_requests_in_flight(text: str, case: Case) -> None:
    """512x8z is 512 spans a request, 8 in flight, compressed."""
    assert Case.parse(text) == case


def test_loads_are_told_apart_by_everything_in_them() -> None:
    """A load on a timetable or compressed has another name than the same one without."""
    cases = [Case(128, 64), Case(128, 64, gzip=True), Case(128, 64, rate=40_000)]
    assert list(map(str, cases)) == ["128 (64)", "128 gzip (64)", "128 (64) at 40,000/s"]


def test_a_ratio_is_taken_within_a_round() -> None:
    """The machine being twice as slow in one round changes no ratio, whoever went first in it."""
    slow = [replace(r, round=2, cpu_ns=2 * r.cpu_ns) for r in (COLLECTOR, RESULT)]
    assert "| **3.00** (3.00–3.00) |" in table([RESULT, COLLECTOR, *slow])


def test_a_round_that_lacks_a_side_gives_no_ratio() -> None:
    """A run that ended early is told by the rounds it finished."""
    results = [RESULT, COLLECTOR, replace(RESULT, round=2)]
    peer, mine = Subject("balancer", "collector"), Subject("balancer", "native")
    assert ratios(results, "512 (8)", peer, mine) == [3.0]
    assert ratios(results, "32 (64)", peer, mine) == []


def test_each_front_has_a_row_of_its_own() -> None:
    """Ours with grpcio is compared with the same Collector as ours with native."""
    rows = table([RESULT, COLLECTOR, replace(RESULT, name="grpcio", cpu_ns=1500.0)]).splitlines()[2:]
    assert [row.split(" | ")[:3] for row in rows] == [
        ["| balancer, native", "512 (8)", "**3.00** (3.00–3.00)"],
        ["| balancer, grpcio", "512 (8)", "**2.00** (2.00–2.00)"],
    ]


def test_an_acknowledged_span_that_did_not_arrive_is_lost() -> None:
    """A balancer that acknowledges 100 spans of which 98 arrive has lost 2; one that sends two twice has lost none."""
    assert replace(RESULT, arrived=98).lost == 2
    assert replace(RESULT, arrived=102).lost == 0
    assert replace(RESULT, tier="sampler", arrived=6).lost == 0
    assert checksum([RESULT, replace(RESULT, arrived=98)]).endswith(
        "acknowledged 200, arrived at the samplers 198, lost 2"
    )


def test_a_sampler_holds_the_spans_of_the_last_decision_wait() -> None:
    """At 100,000 spans/s and 10 s a sampler that grew by 90 MB takes 90 bytes a span; a balancer holds none."""
    assert replace(RESULT, tier="sampler").buffered_bytes == 90.0
    assert RESULT.buffered_bytes == 0.0


def test_a_sampler_is_measured_once_it_decides() -> None:
    """The window of a sampler, fed or not, opens after decision_wait."""
    assert LONG.warm_up_of("balancer") == LONG.warm_up
    assert LONG.warm_up_of("sampler") == LONG.warm_up_of("sampler, fed") > LONG.decision_wait
