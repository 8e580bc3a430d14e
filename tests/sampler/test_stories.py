"""The sampler's stories: transcripts in tests/golden/sampler, each played against a real core.

Commands: `sampler` makes one (policy=all|errors|none, wait, traces, budget, linger, alone=yes; root=…s waits so long after the
root, largest=… bounds a trace, strategy, overflow=block, pending=drop); `send` hands in a request whose spans are words: A1 is
span 1 of trace A, A2! one with status error, A3^ one with a parent (view=N stamps it with a view); `explain A` tells what is
known of a trace; `view epoch=N`; `backend up|down|silent`; `advance to=…s`; `drain grace=…s`. Below the rule stands what the
core wanted done, with the time, then the counters that moved, then what is held.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway import metrics
from gateway.config.settings import Batch
from gateway.core import Accepted, Action, Cancel, Finished, Invalid, Level, Note, Overloaded, ReadView, Reply, Send
from gateway.membership import ViewStamp
from tests.support.samplers import KEEP_ALL, KEEP_ERRORS, KEEP_NONE, Driven, drive
from tests.support.spans import ERROR, UNSET, Span, padded, request, span, spans_of, trace_id
from tests.support.transcript import play, seconds

STORIES = sorted((Path(__file__).parent.parent / "golden" / "sampler").glob("*.txt"))
POLICIES = {"all": KEEP_ALL, "errors": KEEP_ERRORS, "none": KEEP_NONE}
COUNTED = (
    metrics.TRACES_DECIDED,
    metrics.TRACES_EVICTED,
    metrics.SPANS_DROPPED,
    metrics.SPANS_LATE,
    metrics.SPANS_DUPLICATE,
    metrics.SPANS_EXPORTED,
    metrics.SPANS_LOST,
)

NOTHING = "0 undecided, 0 undelivered"


class Stage:
    """One sampler on stage, and what was already told of it."""

    def __init__(self) -> None:
        self.world: Driven = drive()
        self.told = 0
        self.counts: dict[str, int] = {}
        self.held = NOTHING
        self.stamps: dict[int, ViewStamp] = {}

    def do(self, verb: str, words: list[str], settings: dict[str, str]) -> list[str]:
        match verb:
            case "sampler":
                self.make(**settings)
            case "send":
                self.world.receive(body(words, int(settings.get("bytes", 0))), self.stamp(settings.get("view")))
            case "view":
                self.stamps[int(settings["epoch"])] = self.world.view(int(settings["epoch"]), *words)
            case "backend":
                self.world.backend = words[0]
                self.world.answer()
            case "advance":
                self.world.advance(seconds(settings["to"]))
            case "explain":
                return self.known(words[0])
            case "drain":
                self.world.drain(self.world.now + seconds(settings["grace"]))
            case _:
                raise AssertionError(f"unknown command {verb}")
        return self.came()

    def stamp(self, epoch: str | None) -> ViewStamp | None:
        """The stamp of the view of this epoch, whether it was in force here or not."""
        return None if epoch is None else self.stamps.get(int(epoch), ViewStamp(int(epoch), "elsewhere"))

    def make(
        self,
        policy: str = "all",
        wait: str = "10s",
        traces: str = "50000",
        budget: str = "1000000",
        alone: str = "no",
        root: str = "0s",
        largest: str = "0",
        strategy: str = "trace-complete",
        overflow: str = "evict",
        pending: str = "decide",
    ) -> None:
        self.world = drive(
            POLICIES[policy],
            decision_wait=seconds(wait),
            num_traces=int(traces),
            budget=int(budget),
            alone=alone == "yes",
            batch=Batch(linger=0.2),
            decision_wait_after_root_received=seconds(root),
            maximum_trace_size_bytes=int(largest),
            sampling_strategy=strategy,
            block_on_overflow=overflow == "block",
            drop_pending_traces_on_shutdown=pending == "drop",
        )
        self.told, self.counts, self.held = 0, {}, NOTHING

    def known(self, trace: str) -> list[str]:
        """What is known of a trace, in words."""
        found = self.world.sampler.explain(trace_id(trace), self.world.now)
        return [f"{name}: {value:g}" if type(value) is float else f"{name}: {value}" for name, value in found.items()]

    def came(self) -> list[str]:
        lines = [f"{at:g}s {what(action)}" for at, action in self.world.actions[self.told :]]
        self.told = len(self.world.actions)
        return lines + self.moved() + self.holds()

    def moved(self) -> list[str]:
        now = {
            f"{instrument.name.removeprefix('tailgate_').removesuffix('_total')} {' '.join(labels)}".strip(): int(value)
            for instrument, labels, value in self.world.tally
            if instrument in COUNTED and value
        }
        lines = [f"  + {name}: {value - self.counts.get(name, 0)}" for name, value in sorted(now.items())]
        lines = [
            line
            for line, (name, value) in zip(lines, sorted(now.items()), strict=True)
            if value != self.counts.get(name)
        ]
        self.counts = now
        return lines

    def holds(self) -> list[str]:
        self.world.sampler.publish()
        get = self.world.tally.get
        held = f"{get(metrics.BUFFER_SPANS):g} undecided, {get(metrics.OUTBOX_SPANS, 'backend'):g} undelivered"
        changed, self.held = held != self.held, held
        return [f"  = spans: {held}"] if changed else []


def body(words: list[str], size: int) -> bytes:
    """The request of these words; with a size, spans of about so many bytes."""
    if words == ["garbage"]:
        return b"\x0a\xff"
    spans = [span(word[0], int(word[1:].rstrip("!^")), status=ERROR if "!" in word else UNSET) for word in words]
    for each, word in zip(spans, words, strict=True):
        each.parent_span_id = b"parent!!" if "^" in word else b""
    return request(*padded(spans, size) if size else spans)


def word(each: Span) -> str:
    """The word of a span."""
    return chr(each.trace_id[0]) + str(int.from_bytes(each.span_id, "big")) + ("!" if each.status.code == ERROR else "")


def what(action: Action) -> str:
    """An action in words."""
    match action:
        case Reply(outcome=Accepted(rejected_spans=0)):
            return "answers: accepted"
        case Reply(outcome=Accepted(rejected_spans=rejected, message=message)):
            return f"answers: accepted but for {rejected} spans: {message}"
        case Reply(outcome=Invalid(message=message)):
            return f"answers: invalid: {message}"
        case Reply(outcome=Overloaded(message=message, retry_after=after)):
            return f"answers: overloaded: {message}; again after {after:g}s"
        case Send():
            return f"exports {' '.join(word(each) for each in spans_of(action.request))} to {action.destination}"
        case Note(level=Level() as level, event=event, fields=fields):
            return f"notes {level.value}: {event} " + " ".join(f"{key}={value}" for key, value in fields.items())
        case ReadView():
            return "reads the view again"
        case Cancel():
            return "gives up the attempt in flight"
        case Finished(lost_spans=lost):
            return f"finished, {lost} spans lost"


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_story(story: Path, request: pytest.FixtureRequest) -> None:
    """The sampler does what its stories tell, word for word."""
    came = play(story, Stage().do, rewrite=bool(request.config.getoption("--rewrite")))
    assert came == story.read_text(), "it tells another story now; if it is right: pytest --rewrite"


def test_there_are_stories() -> None:
    """The stories of a sampler's life are there."""
    assert len(STORIES) >= 14
