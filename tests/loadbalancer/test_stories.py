"""The balancer's stories: transcripts in tests/golden/loadbalancer, each played against a real core.

Commands: `balancer` makes one (bytes, request, in_flight, timeout); `view epoch=N s1 s2` (s1:draining gives a state); `send AGENT
A1 B2` hands in a request whose spans are words: B2 is span 2 of trace B, B0 has an invalid id (patience=…s, bytes=N a span);
`sampler s1 up|silent|down|busy:SECONDS|refuses:WORD|rejects:N|newer:EPOCH`
(once:HOW: one request, then silent); `advance to=…s`; `drain grace=…s`. Below the rule
stands what the core wanted done, with the time, then the counters that moved, then what is held.

With samplers s1 and s2, s1 owns the traces A, G and H and s2 those from B to F; a third sampler s3 takes B and F from s2.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from gateway import metrics
from gateway.core import Accepted, Action, Cancel, Finished, Invalid, Level, Note, Overloaded, ReadView, Reply, Send
from tests.support.balancers import Driven, drive, quick_rings
from tests.support.spans import padded, request, span, spans_of
from tests.support.transcript import play, seconds

STORIES = sorted((Path(__file__).parent.parent / "golden" / "loadbalancer").glob("*.txt"))
COUNTED = (
    metrics.REQUESTS_REJECTED,
    metrics.SPANS_ACCEPTED,
    metrics.SPANS_FORWARDED,
    metrics.SPANS_REJECTED,
    metrics.FORWARDS_FAILED,
    metrics.PARTS_REROUTED,
)


class Stage:
    """One balancer on stage, and what was already told of it."""

    def __init__(self) -> None:
        self.world: Driven = drive()
        self.told = 0
        self.counts: dict[str, int] = {}
        self.held = 0

    def do(self, verb: str, words: list[str], settings: dict[str, str]) -> list[str]:
        match verb:
            case "balancer":
                self.make(**settings)
            case "view":
                self.world.view(int(settings["epoch"]), *words)
            case "send":
                patience = seconds(settings["patience"]) if "patience" in settings else None
                self.world.receive(words[0], body(words[1:], int(settings.get("bytes", 0))), patience)
            case "sampler":
                self.world.mode(*words)
            case "advance":
                self.world.advance(seconds(settings["to"]))
            case "drain":
                self.world.drain(seconds(settings["grace"]))
            case _:
                raise AssertionError(f"unknown command {verb}")
        return self.came()

    def make(
        self,
        bytes: str = "1000000",
        request: str = "100000",
        in_flight: str = "2",
        timeout: str = "5s",
        pace: str = "0s",  # a story that is not about it is easier to read without it
    ) -> None:
        self.world = drive(
            bytes_max=int(bytes),
            request_bytes_max=int(request),
            in_flight_max=int(in_flight),
            timeout=seconds(timeout),
            pace=seconds(pace),
        )
        self.told, self.counts, self.held = 0, {}, 0

    def came(self) -> list[str]:
        lines = [f"{at:g}s {what(action)}" for at, action in self.world.actions[self.told :]]
        self.told = len(self.world.actions)
        return lines + self.moved() + self.holds()

    def moved(self) -> list[str]:
        now = {
            f"{instrument.name.removeprefix('tailgate_').removesuffix('_total')} {' '.join(labels)}".strip(): int(value)
            for instrument, labels, value in self.world.tally
            if instrument in COUNTED
        }
        before, self.counts = self.counts, now
        return [
            f"  + {name}: {now[name] - before.get(name, 0)}" for name in sorted(now) if now[name] != before.get(name, 0)
        ]

    def holds(self) -> list[str]:
        held, self.held = self.held, self.world.held
        return [f"  = holds {self.held} bytes" if self.held else "  = holds nothing"] if held != self.held else []


def body(words: list[str], size: int) -> bytes:
    """The request of these words; with a size, spans of about so many bytes."""
    if words == ["garbage"]:
        return b"\x0a\xff"
    spans = [span(word[0], int(word[1:]), name=word) for word in words]
    return request(*padded(spans, size) if size else spans)


def word(each: Span) -> str:
    """The word of a span."""
    return chr(each.trace_id[0]) + str(int.from_bytes(each.span_id, "big"))


def what(action: Action) -> str:
    """An action in words."""
    match action:
        case Reply(token=token, outcome=Accepted(rejected_spans=0, message="")):
            return f"answers {token}: accepted"
        case Reply(token=token, outcome=Accepted(rejected_spans=rejected, message=message)):
            return f"answers {token}: accepted but for {rejected} spans: {message}"
        case Reply(token=token, outcome=Invalid(message=message)):
            return f"answers {token}: invalid: {message}"
        case Reply(token=token, outcome=Overloaded(message=message, retry_after=after)):
            return f"answers {token}: overloaded: {message}; again after {after:g}s"
        case Send(request=b"", destination=destination):
            return f"asks {destination} whether it is back"
        case Send():
            return f"sends {' '.join(word(each) for each in spans_of(action.request))} to {action.destination}"
        case Note(level=Level() as level, event=event, fields=fields):
            return f"notes {level.value}: {event} " + " ".join(f"{key}={value}" for key, value in fields.items())
        case ReadView():
            return "reads the view again"
        case Cancel(attempt=attempt):
            return f"gives up attempt {attempt}"
        case Finished():
            return "finished"
        case _:
            raise AssertionError(f"no words for {action}")


@pytest.fixture(autouse=True, scope="module")
def _quick() -> Iterator[None]:
    with quick_rings():
        yield


@pytest.mark.parametrize("story", STORIES, ids=lambda path: path.stem)
def test_story(story: Path, request: pytest.FixtureRequest) -> None:
    """The balancer does what its stories tell, word for word."""
    came = play(story, Stage().do, rewrite=bool(request.config.getoption("--rewrite")))
    assert came == story.read_text(), "it tells another story now; if it is right: pytest --rewrite"


def test_there_are_stories() -> None:
    """The stories of a balancer's life are there."""
    assert len(STORIES) >= 15
