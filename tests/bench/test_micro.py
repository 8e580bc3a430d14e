"""The benches of one part of the program run, and every form comes to the same result."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from bench import decide, facts, growth, micro, ring, split
from sampler.policy.build import build_policies


@pytest.mark.parametrize("bench", [split, facts, decide, ring, growth], ids=lambda bench: bench.__name__)
def test_a_tiny_run_prints_a_checksum_and_writes_its_results(
    bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bench ends with what it computed, so that it cannot be fast by doing nothing."""
    written = tmp_path / "results.json"
    assert bench.main(["--tiny", "--json", str(written)]) == 0
    assert "\nchecksum" in capsys.readouterr().out
    found = json.loads(written.read_text())
    assert found["bench"] == bench.__name__.partition(".")[2]
    assert all(result["ns"] > 0 and result["checksum"] for result in found["results"])


def test_forms_that_differ_are_a_failure() -> None:
    """A form that is fast and wrong stops the bench."""
    assert micro.agreed({"pure": 7, "compiled": 7}) == 7
    with pytest.raises(micro.DisagreementError, match="compiled"):
        micro.agreed({"pure": 7, "compiled": 8})


def test_a_cost_is_that_of_an_item() -> None:
    """Work on ten items costs a tenth of its time each; the shares of all rounds are counted."""
    done = []
    costs = micro.cost({"ten": micro.over([b"request"] * 2, lambda request: done.append(request) or 5)}, 3, 0.0)
    assert costs["ten"] > 0 and len(done) == 2 * 4, "once to see how long it takes, and three rounds"


@pytest.mark.parametrize("type_", decide.TYPES)
def test_policies_that_never_keep_are_asked_to_the_last(type_: str) -> None:
    """Every type's policies say no to every trace of the workload, so that 50 of them are 50 questions."""
    (request,) = micro.requests_of(512, 1)
    policies = build_policies([decide.TYPES[type_](number) for number in range(3)])
    assert decide.voted(policies, [request]) == []
    assert decide.fill(micro.kernels()[-1], policies, [request]).decide() == (64, 512, [])
