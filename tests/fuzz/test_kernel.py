"""A short run of the kernel's fuzzer, the same each time; `python -m tests.fuzz.kernel SECONDS SEED` runs as long as you like."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.kernel import CORPUS, Subject, built, check, run

FILES = sorted(CORPUS.glob("*.bin"))


@pytest.fixture(scope="module")
def subjects() -> list[Subject]:
    return built()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_corpus(path: Path, subjects: list[Subject]) -> None:
    """Of every request in the corpus the forms of the kernel say the same; the sound ones are taken, the broken ones refused."""
    taken = check(path.read_bytes(), subjects)
    assert taken == (not path.stem.startswith("broken_"))


@pytest.mark.parametrize("path", [path for path in FILES if path.stat().st_size < 400], ids=lambda path: path.stem)
def test_corpus_cut_off(path: Path, subjects: list[Subject]) -> None:
    """The same of every beginning of every small one."""
    request = path.read_bytes()
    outcomes = [check(request[:length], subjects) for length in range(len(request))]
    assert all(outcomes[:1]), "no bytes at all are a request"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_mutated_requests(seed: int, subjects: list[Subject]) -> None:
    """Of thousands of damaged requests each is refused as malformed or read as the official classes read it."""
    count, taken = run(iter(range(700)), seed, subjects)
    assert count == 700
    assert 50 < taken < 650, "neither all nor none: the fuzzer reaches both sides"
