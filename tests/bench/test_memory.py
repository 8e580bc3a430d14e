"""Memory is divided by the spans that are really held."""

from __future__ import annotations

import pytest

from bench import memory
from bench.memory import Result, table

OURS = Result("native", traces=100, spans=800, before=1_000_000, full=1_320_000, after=1_080_000, exported=40)
THEIRS = Result("collector", traces=100, spans=800, before=1_000_000, full=3_560_000, after=0, exported=0)


def test_what_a_span_takes_is_what_the_process_has_grown_by() -> None:
    """320 kB more with 800 spans are 400 bytes a span; what stays of a decided burst is a share of that growth."""
    assert OURS.a_span == 400.0
    assert OURS.row()[-2:] == ["**400**", "1 MB (25%)"]
    assert table([OURS, THEIRS]).endswith("Collector : ours 8.0, goal 6: reached")


def test_no_more_traces_are_asked_for_than_a_sampler_is_told_to_hold() -> None:
    """With more than num_traces some would be decided early, and the division would be by too many."""
    with pytest.raises(SystemExit):
        memory.main(["--traces", str(memory.TRACES_MAX + 1)])


@pytest.mark.integration
def test_a_tiny_run(capsys: pytest.CaptureFixture[str]) -> None:
    """A sampler is filled, looked at while it holds everything, and again when it has decided and exported."""
    assert memory.main(["--tiny", "--subjects", "native"]) == 0
    assert "checksum: 10,240 spans held" in capsys.readouterr().out
