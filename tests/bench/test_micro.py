"""The benches of one part of the program run, and every form comes to the same result."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from bench import decide, facts, growth, match, micro, ring, split


@pytest.mark.parametrize("bench", [split, facts, match, decide, ring, growth], ids=lambda bench: bench.__name__)
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
    """Every type's policies say no to every trace but one that a limiter has tokens for, so that 50 of them are 50 questions."""
    (request,) = micro.requests_of(512, 1)
    buffered = decide.fill(micro.kernels()[-1], [decide.TYPES[type_](number) for number in range(3)], [request])
    done, dropped, kept = buffered.decide()
    passed = type_ == "rate_limiting"
    assert (done, dropped, len(kept)) == (64, 504 if passed else 512, passed)
    votes = [64 - passed, int(passed), 0, 0, 0]  # no and keep; none drops, errs or is skipped
    assert buffered.program.counts() == [votes] * 3


@pytest.mark.parametrize("kind", match.KINDS)
def test_every_kind_of_question_marks_something(kind: str) -> None:
    """What is asked of spans in the bench is not answered no throughout, so that the forms have something to agree on."""
    masks = match.marked(micro.kernels()[-1], kind, 5, next(match.requests()))
    assert len(masks) == match.SPANS and any(masks)


def test_many_values_never_come_twice() -> None:
    """No request repeats a value of the attribute that is different on every span, so that no answer on it is remembered."""
    made = match.requests()
    seen = [value for request in (next(made), next(made)) for value in match.USER.findall(request)]
    assert len(set(seen)) == 2 * match.SPANS
