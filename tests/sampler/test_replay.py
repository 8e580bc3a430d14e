"""sampler.replay: the core in virtual time, what is said of each trace, and what all came to.

The stories in tests/golden/replay go through the whole command. Commands: `send` adds a request to the input, whose spans are
words (A1 is span 1 of trace A; ! an error; ~700 took 700 ms; /health its path), at=S its arrival; `line` adds a line as it
stands; `replay FILE` and `compare FILE OTHER` (timed, kept) run the command on all lines, and tell stdout, stderr (behind |),
what was kept (behind >) and the status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway import cli, limits
from gateway.config.settings import (
    Batch,
    OtlpClient,
    OtlpExporter,
    PolicySettings,
    SamplerConfig,
    TailSampling,
    Telemetry,
)
from gateway.otlp.otlp_json import spans_of as spans_of_line
from gateway.otlp.otlp_json import to_json_line
from sampler.replay import Came, Comparison, Replay
from tests.support.samplers import drive
from tests.support.spans import ERROR, UNSET, padded, request, span, spans_of
from tests.support.transcript import play

STORIES = sorted((Path(__file__).parent.parent / "golden" / "replay").glob("*.txt"))
WORD = re.compile(r"([A-Z])(\d)(!?)(?:~(\d+))?(/\w+)?")
MIB = 1 << 20
ERRORS = PolicySettings("errors", "status_code", (("status_codes", ("ERROR",)),))
SLOW = PolicySettings("slow", "latency", (("threshold_ms", 1000),))
ALL = PolicySettings("all", "always_sample")
NEVER = PolicySettings("never", "span_count", (("min_spans", 1000),))


def of_word(word: str) -> Span:
    found = WORD.fullmatch(word)
    assert found, word
    trace, number, error, lasting, path = found.groups()
    status = ERROR if error else UNSET
    values = {"path": path} if path else None
    return span(trace, int(number), status=status, start_ms=1000, end_ms=1000 + int(lasting or 1), values=values)


def config(*policies: PolicySettings, **options: Any) -> SamplerConfig:
    settings = {"decision_wait": 10.0, "num_traces": 1000, **options}
    backend = OtlpExporter("backend", OtlpClient())
    return SamplerConfig((), TailSampling(policies, **settings), (backend,), Telemetry(), Batch())


def all_of(steps: Iterable[Came]) -> tuple[list[dict[str, Any]], list[bytes], list[str]]:
    """Rows, kept requests and problems of these steps."""
    came = list(steps)
    rows = [json.loads(line) for each in came for line in each.lines]
    return rows, [kept for each in came for kept in each.kept], [each.problem for each in came if each.problem]


def replayed(
    replay: Replay | Comparison, *requests: tuple[float, bytes]
) -> tuple[list[dict[str, Any]], list[bytes], list[str]]:
    """All that comes of these requests, (arrival, protobuf)."""

    def steps() -> Iterable[Came]:
        for at, body in requests:
            yield from replay.take(body, at)
        yield from replay.finish()

    return all_of(steps())


def named(row: dict[str, Any]) -> str:
    return bytes.fromhex(row["trace_id"])[:1].decode()


# ---------------------------------------------------------------- the stories


class Stage:
    """An input that grows, and the command on it."""

    def __init__(self, folder: Path, output: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.output = output
        self.lines: list[tuple[str, str]] = []  # arrival, request

    def do(self, verb: str, words: list[str], settings: dict[str, str]) -> list[str]:
        match verb:
            case "send":
                body = to_json_line(request(*map(of_word, words))).decode().rstrip("\n")
                self.lines.append((settings.get("at", ""), body))
                return []
            case "line":
                self.lines.append(("", " ".join(words)))
                return []
            case "replay":
                return self.run(["--config", words[0]], words[1:])
            case "compare":
                return self.run(["--config", words[0], "--compare", words[1]], words[2:])
        raise AssertionError(f"unknown command {verb}")

    def run(self, arguments: list[str], how: list[str]) -> list[str]:
        source, kept = self.folder / "input.jsonl", self.folder / "kept.jsonl"
        lines = [f'{{"at":{at},"request":{body}}}' if at else body for at, body in self.lines]
        source.write_text("".join(f"{line}\n" for line in lines))
        arguments = [str(STORIES[0].parent / word) if word.endswith(".yaml") else word for word in arguments]
        extra = [f"--{word}" if word == "timed" else f"--kept={kept}" for word in how]
        status = cli.main(["replay", *arguments, *extra, str(source)])
        out, err = self.output.readouterr()
        told = out.splitlines() + [
            f"| {line}".rstrip() for line in err.replace(str(source), "input.jsonl").splitlines()
        ]
        if "kept" in how:
            told += [
                f"> {' '.join(each['traceId'][:2] + '…' + each['spanId'][-1] for each in spans_of_line(json.loads(line)))}"
                for line in kept.read_text().splitlines()
            ]
        return [*told, f"status {status}"]


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_story(story: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> None:
    """A replay prints what its stories tell, word for word."""
    came = play(story, Stage(tmp_path, capsys).do, rewrite=bool(request.config.getoption("--rewrite")))
    assert came == story.read_text(), "it tells another story now; if it is right: pytest --rewrite"


def test_there_are_stories() -> None:
    """The stories of a replay are there."""
    assert len(STORIES) >= 5


# ---------------------------------------------------------------- rows


def test_a_row_has_its_keys_in_their_order() -> None:
    """A decided trace is one object: id in hex, decision, policy or null, time, spans, the vote of each policy."""
    rows, _, problems = replayed(Replay(config(ERRORS, SLOW), MIB), (0.0, request(of_word("A1"), of_word("A2!"))))
    assert list(rows[0]) == ["trace_id", "decision", "policy", "decided_at", "spans", "votes"]
    assert rows == [
        {
            "trace_id": of_word("A1").trace_id.hex(),
            "decision": "keep",
            "policy": "errors",
            "decided_at": 10.0,
            "spans": 2,
            "votes": {"errors": "keep", "slow": "no"},
        }
    ]
    assert problems == []


def test_votes_that_were_not_asked_are_skipped() -> None:
    """With sample_on_first_match nobody is asked after the first that keeps."""
    rows, _, _ = replayed(Replay(config(ALL, SLOW, sample_on_first_match=True), MIB), (0.0, request(of_word("A1"))))
    assert rows[0]["votes"] == {"all": "keep", "slow": "skipped"}


def test_time_goes_on_between_requests() -> None:
    """Traces are decided at their deadlines, before what arrives then; what came later is late and changes nothing."""
    requests = [(0.0, request(of_word("A1"))), (10.0, request(of_word("A2!"), of_word("B1!")))]
    rows, _, _ = replayed(Replay(config(ERRORS), MIB), *requests)
    assert [(named(row), row["decision"], row["decided_at"]) for row in rows] == [
        ("A", "drop", 10.0),
        ("B", "keep", 20.0),
    ]


def test_what_is_kept_is_what_a_serving_sampler_exports() -> None:
    """The spans that a replay keeps are those that the core sends to its backend, late ones too, each once."""
    requests = [
        (0.0, request(of_word("A1!"), of_word("B1"))),
        (1.0, request(of_word("A1!"), of_word("A2"))),
        (12.0, request(of_word("A3"), of_word("B2"), of_word("C1!"))),
    ]
    _, kept, _ = replayed(Replay(config(ERRORS), MIB), *requests)
    world = drive((ERRORS,), decision_wait=10.0)
    for at, body in requests:
        world.advance(at)
        world.receive(body)
    world.advance(60.0)
    served = [each for send in world.delivered for each in spans_of(send.request)]
    assert [each for body in kept for each in spans_of(body)] == served
    assert len(served) == 4


def test_more_traces_than_num_traces_are_decided_early() -> None:
    """The configuration's own bound holds: the oldest are decided when it is passed, at that time."""
    rows, _, _ = replayed(
        Replay(config(ALL, num_traces=1), MIB), *((at, request(of_word(f"{t}1"))) for at, t in enumerate("ABC"))
    )
    assert [(named(row), row["decided_at"]) for row in rows] == [("A", 1.0), ("B", 2.0), ("C", 12.0)]


def test_a_budget_that_is_full_decides_early_and_loses_nothing() -> None:
    """Every trace comes out once, however small the budget, and the summary counts the early ones."""
    large = [(0.0, request(*padded([span(name, 1)], 20_000))) for name in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    replay = Replay(config(ALL), 200_000)
    rows, kept, problems = replayed(replay, *large)
    assert sorted(map(named, rows)) == sorted("ABCDEFGHIJKLMNOPQRSTUVWXYZ") and problems == []
    assert sum(len(spans_of(body)) for body in kept) == 26
    evicted = re.search(r"to stay within the budget: (\d+)", replay.summary())
    assert evicted and int(evicted[1]) > 0


def test_what_the_sampler_would_have_sent_again_waits() -> None:
    """With block_on_overflow a request beyond num_traces is taken in as soon as there is room, and nothing is lost."""
    replay = Replay(config(ALL, num_traces=1, block_on_overflow=True), MIB)
    rows, _, problems = replayed(replay, *((0.0, request(of_word(f"{name}1"))) for name in "ABC"))
    assert [(named(row), row["decided_at"]) for row in rows] == [("A", 10.0), ("B", 20.0), ("C", 30.0)]
    assert problems == []


def test_a_request_that_can_never_be_taken_in_is_a_problem() -> None:
    """A request larger than the whole budget is named, and the others go on."""
    huge = request(*padded([span("A", 1)], 300_000))
    rows, _, problems = replayed(Replay(config(ALL), 200_000), (0.0, huge), (0.0, request(of_word("B1"))))
    assert [named(row) for row in rows] == ["B"]
    assert len(problems) == 1 and problems[0].startswith("refused: the request needs")


def test_spans_with_bad_ids_are_a_problem_and_the_others_count() -> None:
    """A span without a valid id is named and left out, as a client would be told."""
    rows, _, problems = replayed(Replay(config(ALL), MIB), (0.0, request(of_word("A1"), span("B", 0), span(b"", 1))))
    assert [(named(row), row["spans"]) for row in rows] == [("A", 1)]
    assert problems == ["2 spans rejected: span id is zero"]


def test_decisions_beyond_the_journal_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one request has more traces decided than the journal holds, the replay says how many it cannot show."""
    monkeypatch.setattr(limits, "DECISION_RECORDS_BYTES", 200)
    body = request(*map(of_word, (f"{name}1" for name in "ABCDEFGHIJ")))
    rows, _, problems = replayed(Replay(config(ALL, num_traces=1), MIB), (0.0, body))
    missing = 10 - len(rows)
    assert missing > 0 and problems == [f"{missing} traces were decided and are not shown: too many at once"]


# ---------------------------------------------------------------- the summary


def test_the_summary_counts_what_policies_said() -> None:
    """Decisive, agreeing and other votes are told apart, and who never mattered is marked."""
    replay = Replay(config(ERRORS, SLOW, NEVER), MIB)
    replayed(replay, (0.0, request(*map(of_word, ["A1!~2000", "B1!", "C1~3000", "D1"]))))
    rows = {line.split()[0]: line.split()[1:] for line in replay.summary().splitlines() if line}
    assert rows["traces"] == ["3", "1", "4", "75.0", "%"]
    assert rows["errors"] == ["2", "0", "0", "0"]
    assert rows["slow"] == ["1", "1", "0", "0"]
    assert rows["never"] == ["0", "0", "0", "0", "never", "matched"]


def test_policies_behind_a_catch_all_are_never_asked() -> None:
    """With sample_on_first_match a policy that is not reached is marked so."""
    replay = Replay(config(ALL, SLOW, sample_on_first_match=True), MIB)
    replayed(replay, (0.0, request(of_word("A1~3000"))))
    assert re.search(r"^slow .* never asked$", replay.summary(), re.MULTILINE)


def test_an_empty_recording_has_a_summary() -> None:
    """Nothing in: no rows, and a summary of zeros."""
    replay = Replay(config(ALL), MIB)
    assert replayed(replay) == ([], [], [])
    assert "traces     0        0      0     -" in replay.summary()


def test_ways_to_vote_are_counted_however_many_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is remembered of votes is bounded; the counts are not."""
    monkeypatch.setattr("sampler.replay._FOLDED_MAX", 1)
    replay = Replay(config(ERRORS, SLOW), MIB)
    rows, _, _ = replayed(replay, (0.0, request(*map(of_word, ["A1!", "B1~2000", "C1!~2000", "D1", "E1!"]))))
    assert [row["votes"] for row in rows][:2] == [{"errors": "keep", "slow": "no"}, {"errors": "no", "slow": "keep"}]
    assert re.search(r"^errors +3 +0", replay.summary(), re.MULTILINE)


# ---------------------------------------------------------------- two configurations


def test_only_different_decisions_are_told() -> None:
    """A trace that both keep, if for another reason, is no difference; one that only one of them keeps is."""
    requests = (0.0, request(*map(of_word, ["A1!~2000", "B1~2000", "C1!", "D1"])))
    rows, kept, problems = replayed(Comparison((config(ERRORS), MIB), (config(SLOW), MIB)), requests)
    assert rows == [
        {
            "trace_id": of_word("B1").trace_id.hex(),
            "spans": 1,
            "before": {"decision": "drop", "policy": None},
            "after": {"decision": "keep", "policy": "slow"},
        },
        {
            "trace_id": of_word("C1").trace_id.hex(),
            "spans": 1,
            "before": {"decision": "keep", "policy": "errors"},
            "after": {"decision": "drop", "policy": None},
        },
    ]
    assert (kept, problems) == ([], [])


def test_each_configuration_has_its_own_time() -> None:
    """Decisions are compared trace by trace, whenever each configuration comes to them."""
    requests = [(0.0, request(of_word("A1"))), (20.0, request(of_word("A2!"))), (21.0, request(of_word("B1")))]
    patient = config(ERRORS, decision_wait=30.0)
    comparison = Comparison((config(ERRORS), MIB), (patient, MIB))
    rows, _, _ = replayed(comparison, *requests)
    assert [(named(row), row["before"]["decision"], row["after"]["decision"]) for row in rows] == [
        ("A", "drop", "keep")
    ]
    assert comparison.summary().endswith("decided differently: 1 kept instead, 0 dropped instead\n")


def test_what_one_side_never_decides_is_null_there() -> None:
    """A request that one configuration refuses is a problem, told once, and its trace has no decision on that side."""
    huge = request(*padded([span("A", 1)], 300_000))
    rows, _, problems = replayed(Comparison((config(ALL), MIB), (config(ALL), 200_000)), (0.0, huge))
    assert [(named(row), row["before"], row["after"]) for row in rows] == [
        ("A", {"decision": "keep", "policy": "all"}, None)
    ]
    assert len(problems) == 1
    both = Comparison((config(ALL), 200_000), (config(ALL), 200_000))
    assert len(replayed(both, (0.0, huge))[2]) == 1


def test_a_trace_that_is_decided_twice_is_compared_twice() -> None:
    """Where decisions are forgotten, late spans make a trace anew: its decisions are compared in their order."""
    forgetful = {"sampled_cache_size": 1, "non_sampled_cache_size": 1}
    names = "ABCDEFGH"
    requests = [
        (0.0, request(*(of_word(f"{name}1") for name in names))),
        (20.0, request(*(of_word(f"{name}2!") for name in names))),
    ]
    sides = [(config(policy, **forgetful), MIB) for policy in (ERRORS, SLOW)]
    rows, _, _ = replayed(Comparison(sides[0], sides[1]), *requests)
    assert {(row["before"]["decision"], row["after"]["decision"]) for row in rows} == {("keep", "drop")}


def test_summaries_stand_side_by_side() -> None:
    """Counts of both and their difference; a policy that only one of them has is there too."""
    comparison = Comparison((config(ERRORS, NEVER), MIB), (config(ERRORS, SLOW), MIB))
    replayed(comparison, (0.0, request(*map(of_word, ["A1!", "B1~2000", "C1"]))))
    lines = comparison.summary().splitlines()
    assert next(line.split() for line in lines if line.startswith("traces kept")) == ["traces", "kept", "1", "2", "+1"]
    assert next(line.split() for line in lines if line.startswith("slow")) == [
        *("slow", "-", "→", "1", "-", "→", "0", "-", "→", "0", "-", "→", "0")
    ]
