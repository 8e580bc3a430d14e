"""Recorded requests through a sampler's core in virtual time: what each trace would have become, and what all came to.

The core is the one that serves (sampler.sampler), told of arrivals and asked at its deadlines; whoever it sends to takes
everything at once. A request that it would have a client send again waits until it is taken in. Reads no file, knows no JSON
but the lines it gives, and no clock at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import NamedTuple

import orjson

from gateway import limits, metrics
from gateway.config.settings import OtlpClient, OtlpExporter, SamplerConfig
from gateway.core import Accepted, Action, Delivered, Invalid, Outcome, Overloaded, Received, Reply, Send
from gateway.kernel.names import DROP, ERROR, EVICTED_BYTES, EVICTED_TRACES, KEEP, SKIPPED, Record
from gateway.metrics import Tally
from sampler.sampler import CAUSES, VOTES, Sampler

_BACKEND = OtlpExporter("replay", OtlpClient())
_FOLDED_MAX = 4096  # different ways to vote that are remembered; real policies have a few dozen


class Came(NamedTuple):
    """What came of a step: lines for the reader, the requests that would have been exported, and what was wrong ("": nothing)."""

    lines: Sequence[bytes] = ()
    kept: Sequence[bytes] = ()
    problem: str = ""


class Step(NamedTuple):
    """The same, the decisions not yet said in words."""

    records: list[Record]
    kept: list[bytes]
    problem: str = ""


class Run:
    """One configuration at work on the requests of a recording. `budget` is in bytes, as the service's."""

    def __init__(self, config: SamplerConfig, budget: int) -> None:
        self.tally = Tally()
        membership = config.membership
        self._core = Sampler(
            config.tail_sampling,
            [_BACKEND],
            replace(config.batch, linger=0.0),
            self.tally,
            budget=budget,
            alone=True,
            duplicate_window=limits.DUPLICATE_WINDOW if membership is None else membership.duplicate_window,
        )
        self.policies = [policy.name for policy in self._core.policies]
        self._now = 0.0
        self._told = 0  # records of the journal
        self._answer: Outcome = Accepted()

    def take(self, request: bytes, at: float) -> Iterator[Step]:
        """A request arrives at `at` virtual seconds, not before the last one; first what is due by then is done."""
        yield from self._advance(at)
        self._now = max(self._now, at)
        while True:
            step = self._perform(self._core.handle(Received(None, request), self._now))
            if not isinstance(self._answer, Overloaded):
                yield step._replace(problem=" · ".join(filter(None, (step.problem, _problem(self._answer)))))
                return
            due_at = self._core.next_deadline()
            if due_at is None and not step.kept:
                yield step._replace(problem=f"refused: {self._answer.message}")
                return
            yield step
            if due_at is not None and not step.kept:  # what was kept has made room already
                yield self._tick(due_at)

    def finish(self) -> Iterator[Step]:
        """No more comes: the time goes on until everything is decided."""
        return self._advance(math.inf)

    def _advance(self, to: float) -> Iterator[Step]:
        while (due_at := self._core.next_deadline()) is not None and due_at <= to:
            yield self._tick(due_at)

    def _tick(self, due_at: float) -> Step:
        self._now = max(self._now, due_at)
        return self._perform(self._core.tick(self._now))

    def _perform(self, actions: list[Action]) -> Step:
        kept: list[bytes] = []
        for action in actions:
            match action:
                case Send(attempt, _, request):
                    kept.append(request)
                    actions += self._core.handle(Delivered(attempt), self._now)  # the loop comes to these too
                case Reply(_, outcome):
                    self._answer = outcome
        records, missing = self._decided()
        return Step(
            records, kept, f"{missing} traces were decided and are not shown: too many at once" if missing else ""
        )

    def _decided(self) -> tuple[list[Record], int]:
        """The decisions since the last time, and how many of them the journal could not hold: one request can evict a lot."""
        journal = self._core.journal
        made = journal.written - self._told
        if not made:
            return [], 0
        records = journal.since(self._told)
        self._told = journal.written
        return records, made - len(records)


def _problem(outcome: Outcome) -> str:
    match outcome:
        case Accepted(0):
            return ""
        case Accepted(spans, message):
            return f"{spans} {'span' if spans == 1 else 'spans'} rejected: {message}"
        case Invalid(message) | Overloaded(message):
            return f"refused: {message}"


# ---------------------------------------------------------------- counting


class Amount(NamedTuple):
    """How much was decided one way."""

    traces: int = 0
    spans: int = 0
    bytes: int = 0


@dataclass(slots=True)
class PolicyCount:
    """What one policy has said. `agreeing` votes were for keeping, and another policy decided."""

    name: str
    decisive: int = 0
    agreeing: int = 0
    drops: int = 0
    errors: int = 0
    keeps: int = 0
    asked: int = 0

    @property
    def remark(self) -> str:
        """What the operator should know of it."""
        if not self.asked:
            return "never asked"
        return "" if self.keeps or self.drops else "never matched"


@dataclass(frozen=True, slots=True)
class Summary:
    """What a recording came to under one configuration. `spans` counts those of traces when they were decided."""

    kept: Amount
    dropped: Amount
    evicted: tuple[int, int]  # to stay within the bytes, within num_traces
    rejected: int
    duplicate: int
    late: tuple[int, int]  # kept, dropped
    lost: int
    policies: tuple[PolicyCount, ...]


class Count:
    """Counts the decisions of one run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._amounts = {True: Amount(), False: Amount()}
        self._causes = [0] * len(CAUSES)
        self._policies = [PolicyCount(name) for name in run.policies]
        self._ways: dict[tuple[int, bytes], int] = {}  # (deciding policy, votes), not folded into _policies yet

    def add(self, records: list[Record]) -> None:
        """Count these."""
        for record in records:
            traces, spans, size = self._amounts[record.keep]
            self._amounts[record.keep] = Amount(traces + 1, spans + record.spans, size + record.size)
            self._causes[record.cause] += 1
            way = record.policy, record.votes
            self._ways[way] = self._ways.get(way, 0) + 1
        if len(self._ways) > _FOLDED_MAX:
            self._fold()

    def _fold(self) -> None:
        for (decisive, votes), traces in self._ways.items():
            for index, (policy, vote) in enumerate(zip(self._policies, votes, strict=True)):
                policy.decisive += traces if index == decisive else 0
                policy.agreeing += traces if vote == KEEP and index != decisive else 0
                policy.keeps += traces if vote == KEEP else 0
                policy.drops += traces if vote == DROP else 0
                policy.errors += traces if vote == ERROR else 0
                policy.asked += traces if vote != SKIPPED else 0
        self._ways.clear()

    def summary(self) -> Summary:
        """All that was counted so far."""
        self._fold()
        tally = self._run.tally
        return Summary(
            kept=self._amounts[True],
            dropped=self._amounts[False],
            evicted=(self._causes[EVICTED_BYTES], self._causes[EVICTED_TRACES]),
            rejected=round(tally.total(metrics.SPANS_REJECTED)),
            duplicate=round(tally.total(metrics.SPANS_DUPLICATE)),
            late=(round(tally.get(metrics.SPANS_LATE, "keep")), round(tally.get(metrics.SPANS_LATE, "drop"))),
            lost=round(tally.total(metrics.SPANS_LOST)),
            policies=tuple(self._policies),
        )


# ---------------------------------------------------------------- one configuration


class Replay:
    """A recording under one configuration: a line for each trace in the order of their decisions, and a summary."""

    def __init__(self, config: SamplerConfig, budget: int) -> None:
        self._run = Run(config, budget)
        self._count = Count(self._run)
        self._said: dict[bytes, dict[str, str]] = {}  # votes in words

    def take(self, request: bytes, at: float) -> Iterator[Came]:
        """A request (protobuf) arrives at `at` virtual seconds, not before the last one. To be read to its end."""
        return map(self._came, self._run.take(request, at))

    def finish(self) -> Iterator[Came]:
        """No more comes. To be read to its end."""
        return map(self._came, self._run.finish())

    def summary(self) -> str:
        """The whole, for people."""
        return "\n".join(_summary_lines(self._count.summary())) + "\n"

    def _came(self, step: Step) -> Came:
        self._count.add(step.records)
        return Came([self._line(record) for record in step.records], step.kept, step.problem)

    def _line(self, record: Record) -> bytes:
        row = {
            "trace_id": record.trace_id.hex(),
            **_decision(record, self._run.policies),
            "decided_at": record.decided_at,
            "spans": record.spans,
            "votes": self._votes(record.votes),
        }
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)

    def _votes(self, votes: bytes) -> dict[str, str]:
        said = self._said.get(votes)
        if said is None:
            if len(self._said) >= _FOLDED_MAX:
                self._said.clear()
            said = {name: VOTES[vote] for name, vote in zip(self._run.policies, votes, strict=True)}
            self._said[votes] = said
        return said


def _decision(record: Record, policies: Sequence[str]) -> dict[str, str | None]:
    policy = policies[record.policy] if record.policy >= 0 else None
    return {"decision": "keep" if record.keep else "drop", "policy": policy}


# ---------------------------------------------------------------- two configurations


class Comparison:
    """A recording under two configurations: a line for each trace that they decide differently, and both summaries.

    A trace that one of them never decides (it was refused there) is null on that side.
    """

    def __init__(self, before: tuple[SamplerConfig, int], after: tuple[SamplerConfig, int]) -> None:
        self._runs = [Run(*before), Run(*after)]
        self._counts = [Count(run) for run in self._runs]
        self._waiting: tuple[dict[bytes, list[Record]], ...] = ({}, {})  # decided by one, not yet by the other
        self._differing = {True: 0, False: 0}  # by what the second one decided

    def take(self, request: bytes, at: float) -> Iterator[Came]:
        """A request (protobuf) arrives at `at` virtual seconds, not before the last one. To be read to its end."""
        problems = []
        for side, run in enumerate(self._runs):
            for step in run.take(request, at):
                yield Came(self._lines(side, step.records))
                problems += [step.problem] if step.problem else []
        yield Came(problem=" · ".join(dict.fromkeys(problems)))

    def finish(self) -> Iterator[Came]:
        """No more comes. To be read to its end."""
        for side, run in enumerate(self._runs):
            for step in run.finish():
                yield Came(self._lines(side, step.records))
        for side, waiting in enumerate(self._waiting):
            for records in waiting.values():
                yield Came([self._line(side, record, None) for record in records])

    def summary(self) -> str:
        """Both and what is different, for people."""
        kept, dropped = self._differing[True], self._differing[False]
        lines = _both_lines(*(count.summary() for count in self._counts))
        return "\n".join([*lines, "", f"decided differently: {kept} kept instead, {dropped} dropped instead"]) + "\n"

    def _lines(self, side: int, records: list[Record]) -> list[bytes]:
        self._counts[side].add(records)
        own, others = self._waiting[side], self._waiting[1 - side]
        lines = []
        for record in records:
            found = others.get(record.trace_id)
            if found is None:
                own.setdefault(record.trace_id, []).append(record)
                continue
            other = found.pop(0)
            if not found:
                del others[record.trace_id]
            if other.keep != record.keep:
                lines.append(self._line(side, record, other))
        return lines

    def _line(self, side: int, record: Record, other: Record | None) -> bytes:
        sides = (record, other) if side == 0 else (other, record)
        if sides[1] is not None:
            self._differing[sides[1].keep] += 1
        before, after = (found and _decision(found, run.policies) for found, run in zip(sides, self._runs, strict=True))
        spans = (sides[0] or record).spans
        row = {"trace_id": record.trace_id.hex(), "spans": spans, "before": before, "after": after}
        return orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)


# ---------------------------------------------------------------- summaries for people


def _summary_lines(found: Summary) -> list[str]:
    rows = [["", "kept", "dropped", "total", "kept"]]
    for name, kept, dropped in zip(Amount._fields, found.kept, found.dropped, strict=True):
        total = kept + dropped
        share = f"{100 * kept / total:.1f} %" if total else "-"
        rows.append([name, f"{kept:,}", f"{dropped:,}", f"{total:,}", share])
    counts = [["policy", "decisive", "agreeing", "drop", "error", ""]]
    counts += [
        [one.name, *(f"{number:,}" for number in _numbers(one)), one.remark and f"  {one.remark}"]
        for one in found.policies
    ]
    others = [f"{words}: {number:,}" for words, number in _others(found) if number]
    return [*_table(rows), "", *others, *([""] if others else []), *_table(counts, left=(0, 5))]


def _both_lines(before: Summary, after: Summary) -> list[str]:
    rows = [["", "before", "after", "difference"]]
    for what in ("kept", "dropped"):
        for name in Amount._fields:
            rows.append(_beside(f"{name} {what}", *(getattr(getattr(each, what), name) for each in (before, after))))
    for (words, first), (_, second) in zip(_others(before), _others(after), strict=True):
        rows += [_beside(words, first, second)] if first or second else []
    return [*_table(rows), "", *_table(_policies_beside(before, after))]


def _beside(name: str, before: int, after: int) -> list[str]:
    return [name, f"{before:,}", f"{after:,}", f"{after - before:+,}" if after != before else "="]


def _policies_beside(before: Summary, after: Summary) -> list[list[str]]:
    """A row for each policy of either, those of the second one alone at the end."""
    rows = [["policy", "decisive", "agreeing", "drop", "error"]]
    first, second = ({one.name: one for one in each.policies} for each in (before, after))
    for name in dict.fromkeys([*first, *second]):
        sides = [_numbers(each[name]) if name in each else () for each in (first, second)]
        cells = zip_longest(*sides, fillvalue=None)
        rows.append([name, *(_change(old, new) for old, new in cells)])
    return rows


def _change(before: int | None, after: int | None) -> str:
    old, new = ("-" if number is None else f"{number:,}" for number in (before, after))
    return old if old == new else f"{old} → {new}"


def _numbers(one: PolicyCount) -> tuple[int, ...]:
    return one.decisive, one.agreeing, one.drops, one.errors


def _others(found: Summary) -> list[tuple[str, int]]:
    return [
        ("traces evicted to stay within the budget", found.evicted[0]),
        ("traces evicted to stay within num_traces", found.evicted[1]),
        ("spans rejected for their ids", found.rejected),
        ("spans received twice", found.duplicate),
        ("late spans of kept traces", found.late[0]),
        ("late spans of dropped traces", found.late[1]),
        ("spans that no backend could read", found.lost),
    ]


def _table(rows: list[list[str]], left: Sequence[int] = (0,)) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if index in left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
