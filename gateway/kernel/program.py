"""Policies as the kernel evaluates them on a trace's row, and what comes of their votes.

A program is the policies' nodes, flattened; limiters keep their tokens here. Every policy is asked about every trace, those that
can veto first, so that limiters are charged as the OpenTelemetry Collector charges them. Time is given, never taken.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import cython

from gateway.kernel import names
from gateway.kernel.journal import HEAD_BYTES, Journal
from gateway.kernel.names import Node, Rules

if cython.compiled:
    from cython.cimports.libc.string import memcpy

_NO = cython.declare(cython.int, 0)
_KEEP = cython.declare(cython.int, 1)
_DROP = cython.declare(cython.int, 2)
_ERROR = cython.declare(cython.int, 3)
_SKIPPED = cython.declare(cython.int, 4)
_VOTES = cython.declare(cython.int, 5)
assert (_NO, _KEEP, _DROP, _ERROR, _SKIPPED) == (names.NO, names.KEEP, names.DROP, names.ERROR, names.SKIPPED)

_ALWAYS = cython.declare(cython.int, 0)
_STATUS_IN = cython.declare(cython.int, 1)
_LONGER_THAN = cython.declare(cython.int, 2)
_MARKED = cython.declare(cython.int, 3)
_HASH_UPTO = cython.declare(cython.int, 4)
_LASTED = cython.declare(cython.int, 5)
_SPANS_WITHIN = cython.declare(cython.int, 6)
_JUDGED = cython.declare(cython.int, 7)
_SPAN_TOKENS = cython.declare(cython.int, 8)
_BYTE_TOKENS = cython.declare(cython.int, 9)
_RANDOM_FROM = cython.declare(cython.int, 10)
_AND = cython.declare(cython.int, 11)
_NOT = cython.declare(cython.int, 12)
_VETO = cython.declare(cython.int, 13)
_COMPOSITE = cython.declare(cython.int, 14)
_SHARE = cython.declare(cython.int, 15)
assert (_ALWAYS, _STATUS_IN, _LONGER_THAN, _MARKED) == (
    names.ALWAYS,
    names.STATUS_IN,
    names.LONGER_THAN,
    names.MARKED,
)
assert (_HASH_UPTO, _LASTED, _SPANS_WITHIN, _JUDGED) == (
    names.HASH_UPTO,
    names.LASTED,
    names.SPANS_WITHIN,
    names.JUDGED,
)
assert (_SPAN_TOKENS, _BYTE_TOKENS, _RANDOM_FROM, _AND) == (
    names.SPAN_TOKENS,
    names.BYTE_TOKENS,
    names.RANDOM_FROM,
    names.AND,
)
assert (_NOT, _VETO, _COMPOSITE, _SHARE) == (names.NOT, names.VETO, names.COMPOSITE, names.SHARE)
_LIMITERS = (names.SPAN_TOKENS, names.BYTE_TOKENS, names.COMPOSITE)

# The words of a row that are read here: gateway.kernel.traces has them all, and compares these on joining.
_LOW = cython.declare(cython.int, 0)
_HIGH = cython.declare(cython.int, 1)
_START_MIN = cython.declare(cython.int, 2)
_END_MAX = cython.declare(cython.int, 3)
_DURATION_MAX = cython.declare(cython.int, 4)
_MARKS = cython.declare(cython.int, 5)
_SPANS = cython.declare(cython.int, 7)
_STATUSES = cython.declare(cython.int, 9)
_BYTES = cython.declare(cython.int, 13)
_ROW = cython.declare(cython.Py_ssize_t, 16)  # where the further words of marks begin
LAYOUT = (0, 1, 2, 3, 4, 5, 7, 9, 13, 16)

_MS = cython.declare(cython.ulonglong, 1_000_000)  # nanoseconds
_MASK = cython.declare(cython.ulonglong, 0xFFFFFFFFFFFFFFFF)
_FNV_PRIME = cython.declare(cython.ulonglong, 0x100000001B3)
_NANOSECOND = cython.declare(cython.double, 1e-9)
_HEAD = cython.declare(cython.Py_ssize_t, 40)
assert _HEAD == HEAD_BYTES
_UINT_MAX = cython.declare(cython.ulonglong, 0xFFFFFFFF)
_CUT_NONE = cython.declare(cython.longlong, -1)
_RANDOMNESS = cython.declare(cython.double, 2.0**56)
_DEMAND_OVER = cython.declare(cython.double, 0.5)  # seconds over which demand is averaged
_ROUND = cython.declare(
    cython.double, 0.05
)  # seconds from one round to the next, as a first guess: a bucket of the buffer
_HALVED_IN = cython.declare(cython.double, 1.0)  # seconds in which a bucket should be half full again
USUAL = Rules()


@cython.cclass
class Program:
    """The policies in force, `nodes` in the order of the configuration, and how often they voted what.

    Rows are those of the Traces that it is joined to; decisions are noted in `journal`, if there is one.
    """

    policies: cython.int
    _consistent: cython.bint
    _random_mark: cython.int
    _child: cython.int
    _threshold: cython.longlong
    _first_match: cython.bint
    _frugal: cython.bint
    _overflow: cython.bint
    _ingest: cython.int
    _can_veto: cython.bint
    _rows: cython.ulonglong[::1]
    # the nodes
    _op: cython.int[::1]
    _a: cython.longlong[::1]
    _b: cython.longlong[::1]
    _state: cython.ulonglong[::1]  # of HASH_UPTO: the hash after the salt, the largest hash
    _first: cython.int[::1]  # the first child; -1: none
    _next: cython.int[::1]  # the next child of the same parent; -1: none
    _roots: cython.int[::1]
    _order: cython.int[::1]  # the policies as they are asked
    _limited: cython.int[::1]  # by policy: whether it holds a limiter
    # what limiters remember, by node
    _tokens: cython.double[::1]
    _filled_at: cython.double[::1]
    _used: cython.longlong[::1]  # of a SHARE, or of all of a COMPOSITE: spans in this second
    _second: cython.longlong[::1]
    # of limiters in consistent rounds
    _floor: cython.longlong[::1]  # the least randomness that may pass in this round, known before anybody was asked
    _cut: cython.longlong[::1]  # that for which there were tokens; -1: for all so far
    _wanted: cython.double[::1]  # tokens that were asked for in this round
    _demand: cython.double[::1]  # tokens asked for in a second, on average; -1: not known yet
    _round_at: cython.double
    # one evaluation
    _now: cython.double
    _randomness: cython.longlong
    _settled: cython.bint  # in a consistent round: the cuts are known, nothing is charged
    _reached: cython.longlong  # the threshold of the node that kept last
    _answered: cython.int  # the composite's child that did
    _votes: cython.uchar[::1]
    _children: cython.int[::1]
    _thresholds: cython.longlong[::1]
    _hashed_with: cython.ulonglong
    _hashed_is_known: cython.bint
    _hashed: cython.ulonglong
    _counts: cython.longlong[::1]
    _journal: object
    _ring: cython.uchar[::1]
    _written: cython.longlong[::1]
    _record: cython.Py_ssize_t

    def __init__(self, nodes: Sequence[Node], rules: Rules = USUAL, journal: Journal | None = None) -> None:
        flat = _Flat()
        roots = [flat.add(node) for node in nodes]
        vetoes = [policy for policy, node in enumerate(nodes) if node.op == names.VETO]
        others = [policy for policy in range(len(nodes)) if policy not in set(vetoes)]
        limited = [int(_has_limiter(node)) for node in nodes]
        frugal = rules.frugal and not rules.consistent  # a limiter that is not asked says nothing of how far it reaches
        if frugal:
            others.sort(key=limited.__getitem__)
        size = len(flat.ops) or 1
        self.policies = len(nodes)
        self._consistent, self._random_mark = rules.consistent, rules.random_mark
        self._first_match, self._frugal, self._overflow = rules.first_match, frugal, rules.overflow
        self._ingest = rules.ingest
        self._can_veto = bool(vetoes)
        self._op = array("i", flat.ops or [0])
        self._a, self._b = array("q", flat.a or [0]), array("q", flat.b or [0])
        self._state = array("Q", flat.state or [0])
        self._first, self._next = array("i", flat.first or [0]), array("i", flat.next or [0])
        self._roots, self._order = array("i", roots or [0]), array("i", [*vetoes, *others] or [0])
        self._limited = array("i", limited or [0])
        self._tokens = array("d", [float(b) for b in flat.b] or [0.0])  # buckets begin full
        self._filled_at = array("d", [0.0] * size)
        self._used, self._second = array("q", [0] * size), array("q", [-1] * size)
        self._cut, self._floor = array("q", [-1] * size), array("q", [0] * size)
        self._wanted, self._demand = array("d", [0.0] * size), array("d", [-1.0] * size)
        self._round_at = 0.0
        self._votes = bytearray(len(nodes) or 1)
        self._children = array("i", [-1] * (len(nodes) or 1))
        self._thresholds = array("q", [0] * (len(nodes) or 1))
        self._counts = array("q", [0] * (5 * len(nodes) or 1))
        self._rows = array("Q", [0])
        self._journal, self._record = journal, journal.record_bytes if journal else 0
        self._ring, self._written = bytearray(1), journal.state if journal else array("q", [0])
        self._child, self._threshold, self._settled, self._now = -1, 0, False, 0.0
        self._hashed_is_known = False

    @property
    def consistent(self) -> bool:
        """Whether traces are to be decided by falling randomness: see Rules."""
        return self._consistent

    @property
    def random_mark(self) -> int:
        """The mark of traces that bring randomness of their own; -1: none does."""
        return self._random_mark

    @property
    def child(self) -> int:
        """Of the policy that decided last: which of a composite's children answered; -1: it is none."""
        return self._child

    @property
    def threshold(self) -> int:
        """Of what was kept last: the least randomness that would have done. Only if it is consistent."""
        return self._threshold

    def join(self, rows: object, layout: tuple[int, ...]) -> None:
        """These are the rows that places will be given of."""
        assert layout == LAYOUT, "program and traces do not agree on what a row is"
        self._rows = rows

    def counts(self) -> list[list[int]]:
        """By policy: how many traces got which vote of it, in the order of the votes."""
        return [list(self._counts[5 * policy : 5 * policy + 5]) for policy in range(self.policies)]

    def dropped(self, policy: int) -> int:
        """How many traces this policy has dropped."""
        return self._counts[5 * policy + names.DROP]

    def votes(self) -> list[int]:
        """The votes on the trace evaluated last."""
        return [self._votes[policy] for policy in range(self.policies)]

    # ------------------------------------------------------------ one trace

    def begin(self, now: cython.double) -> None:
        """What follows happens now."""
        self._now = now

    def evaluate(self, place: cython.Py_ssize_t) -> cython.int:
        """Ask everybody about the row at `place`, whose time is over: the index of the policy that keeps the trace, -1 if none
        does, -2 - index of the one that drops it. HOT: once per trace."""
        if self._ingest == 1:  # what no span has settled is not kept, as the Collector has it
            self._skip_all()
            return -1
        return self._decide(place)

    def evaluate_early(self, place: cython.Py_ssize_t) -> cython.int:
        """The same of a trace that more spans may come for: -1 means that nothing is settled yet."""
        decider: cython.int = self._decide(place)
        return -1 if decider >= 0 and self._can_veto else decider

    def skip(self) -> None:
        """Nobody is asked about a trace."""
        self._skip_all()

    @cython.cfunc
    @cython.exceptval(check=False)
    def _skip_all(self) -> cython.void:
        policy: cython.int
        self._child = -1
        for policy in range(self.policies):
            self._votes[policy] = _SKIPPED

    @cython.cfunc
    @cython.exceptval(-1000)
    def _decide(self, place: cython.Py_ssize_t) -> cython.int:
        k: cython.int
        policy: cython.int
        vote: cython.int
        keeper: cython.int = -1
        asking: cython.bint = True
        self._hashed_is_known = False
        self._child = -1
        for k in range(self.policies):
            policy = self._order[k]
            if not asking or (self._frugal and keeper >= 0 and self._limited[policy]):
                self._votes[policy] = _SKIPPED
                continue
            self._answered = -1
            vote = self._vote(self._roots[policy], place)
            self._votes[policy] = vote
            if vote == _DROP:
                asking, keeper = False, -2 - policy
            elif vote == _KEEP:
                self._children[policy] = self._answered
                self._thresholds[policy] = self._reached
                if keeper == -1:
                    keeper = policy
                    self._child = self._answered
                    asking = not self._first_match
        if keeper >= 0 and self._consistent:
            self._state_threshold()
        return keeper

    @cython.cfunc
    @cython.exceptval(check=False)
    def _state_threshold(self) -> cython.void:
        """The smallest threshold among the policies that voted keep."""
        policy: cython.int
        least: cython.longlong = -1
        for policy in range(self.policies):
            if self._votes[policy] == _KEEP and (least < 0 or self._thresholds[policy] < least):
                least = self._thresholds[policy]
        self._threshold = max(least, 0)

    @cython.cfunc
    @cython.exceptval(-1000)
    def _vote(self, node: cython.int, place: cython.Py_ssize_t) -> cython.int:
        """What a node says of the row. HOT."""
        op: cython.int = self._op[node]
        a: cython.longlong = self._a[node]
        start: cython.ulonglong
        end: cython.ulonglong
        lasted: cython.longlong
        self._reached = 0
        if op == _MARKED:
            return _KEEP if self._has_mark(place, a) else _NO
        if op == _LONGER_THAN:
            lasted = self._rows[place + _DURATION_MAX] // _MS
            return _KEEP if lasted > a else _NO
        if op == _STATUS_IN:
            return _KEEP if self._rows[place + _STATUSES] & 7 & a else _NO
        if op == _HASH_UPTO:
            return self._hash(node, place)
        if op == _SPANS_WITHIN:
            lasted = self._rows[place + _SPANS]
            return _KEEP if a <= lasted <= self._b[node] else _NO
        if op == _LASTED:
            start, end = self._rows[place + _START_MIN], self._rows[place + _END_MAX]
            lasted = (end - start) // _MS if end > start else 0
            return _KEEP if a < lasted <= self._b[node] else _NO
        if op == _JUDGED:
            if self._has_mark(place, a):
                return _KEEP
            return _ERROR if self._has_mark(place, a + 1) else _NO
        if op == _RANDOM_FROM:
            self._reached = a
            return _KEEP if self._randomness >= a else _NO
        if op == _ALWAYS:
            return _KEEP
        if op == _SPAN_TOKENS:
            return self._limit(node, self._rows[place + _SPANS])
        if op == _BYTE_TOKENS:
            return self._limit(node, self._rows[place + _BYTES])
        return self._combine(node, place)

    @cython.cfunc
    @cython.exceptval(-1)
    def _has_mark(self, place: cython.Py_ssize_t, mark: cython.longlong) -> cython.int:
        word: cython.Py_ssize_t = mark >> 6
        at: cython.Py_ssize_t = place + _MARKS if word == 0 else place + _ROW + word - 1
        return self._rows[at] >> (mark & 63) & 1

    @cython.cfunc
    @cython.exceptval(-1000)
    def _hash(self, node: cython.int, place: cython.Py_ssize_t) -> cython.int:
        if not self._hashed_is_known or self._hashed_with != self._state[2 * node]:  # one salt, one hash
            self._hashed_with = self._state[2 * node]
            self._hashed_is_known = True
            self._hashed = _fnv1a(_fnv1a(self._hashed_with, self._rows[place + _LOW]), self._rows[place + _HIGH])
        return _KEEP if self._hashed <= self._state[2 * node + 1] else _NO

    @cython.cfunc
    @cython.exceptval(-1000)
    def _combine(self, node: cython.int, place: cython.Py_ssize_t) -> cython.int:
        """A node with children."""
        op: cython.int = self._op[node]
        child: cython.int = self._first[node]
        vote: cython.int = _KEEP
        reached: cython.longlong = 0
        if op == _COMPOSITE:
            return self._share_out(node, place)
        if op == _NOT:
            vote = self._vote(child, place)
            self._reached = 0
            return _KEEP if vote == _NO else _NO if vote == _KEEP else vote
        while child >= 0:
            vote = self._vote(child, place)
            if vote != _KEEP:
                return vote
            reached = max(reached, self._reached)
            child = self._next[child]
        self._reached = reached
        return _KEEP if op == _AND else _DROP

    # ------------------------------------------------------------ limiters

    @cython.cfunc
    @cython.exceptval(-1000)
    def _limit(self, node: cython.int, cost: cython.ulonglong) -> cython.int:
        """Take `cost` tokens, or none if there are not so many. Like golang.org/x/time/rate: less than a nanosecond's worth
        too few is enough."""
        rate: cython.double = self._a[node]
        burst: cython.double = self._b[node]
        wanted: cython.double = cost
        left: cython.double
        if wanted > burst:  # never, whatever its randomness: it says nothing of the others
            return _NO
        if self._consistent:
            self._reached = max(self._cut[node], self._floor[node])
            if self._settled:
                return _KEEP if self._randomness >= self._reached else _NO
            self._wanted[node] += wanted
            if self._randomness < self._reached or self._cut[node] != _CUT_NONE:
                return _NO
        left = min(burst, self._tokens[node] + max(0.0, self._now - self._filled_at[node]) * rate) - wanted
        if left >= 0 or (rate > 0 and -left < rate * _NANOSECOND):
            self._tokens[node] = left
            self._filled_at[node] = self._now
            return _KEEP
        if self._consistent:
            self._cut[node] = self._randomness + 1
        return _NO

    @cython.cfunc
    @cython.exceptval(-1000)
    def _share_out(self, node: cython.int, place: cython.Py_ssize_t) -> cython.int:
        """A composite: the first child that keeps answers, if the trace fits in what is left of its share in this second."""
        child: cython.int = self._first[node]
        spans: cython.longlong = self._rows[place + _SPANS]
        second: cython.longlong = cython.cast(cython.longlong, self._now)
        vote: cython.int
        index: cython.int = 0
        fits: cython.bint
        if second != self._second[node]:
            self._begin_second(node, second)
        while child >= 0:
            vote = self._vote(self._first[child], place)
            if vote == _KEEP:
                fits = self._used[child] + spans <= self._a[child]
                # the Collector compares the total with what this one child has used
                if self._overflow:
                    fits = fits and self._used[node] + spans <= self._a[node]
                else:
                    fits = fits and self._used[child] + spans <= self._a[node]
                if fits:
                    self._used[child] += spans
                    self._used[node] += spans
                    self._answered = index
                    return _KEEP
                if not self._overflow:
                    return _NO
            elif vote != _NO:
                return vote
            child = self._next[child]
            index += 1
        return _NO

    @cython.cfunc
    @cython.exceptval(-1)
    def _begin_second(self, node: cython.int, second: cython.longlong) -> cython.int:
        child: cython.int = self._first[node]
        self._second[node], self._used[node] = second, 0
        while child >= 0:
            self._used[child] = 0
            child = self._next[child]
        return 0

    # ------------------------------------------------------------ a consistent round

    def begin_round(self, settled: cython.bint) -> None:
        """Traces come by falling randomness from here on, with nothing `settled` to find how far the limiters reach, and once
        more with all of it settled.

        A cut found by looking at a round favours the rounds in which little was wanted, and estimates from it come out too
        low: 30 % where two in three traces are refused. So each limiter begins a round with a floor from what was wanted before,
        such that its bucket stays half full; only what is above the floor and finds no tokens all the same is cut.
        """
        node: cython.Py_ssize_t
        passed: cython.double = max(0.0, self._now - self._round_at)
        self._settled = settled
        for node in range(len(self._cut)):
            if self._op[node] != _SPAN_TOKENS and self._op[node] != _BYTE_TOKENS:
                continue
            if settled and self._demand[node] < 0:
                self._demand[node] = self._wanted[node] / _ROUND
            elif settled:
                self._demand[node] += (self._wanted[node] - self._demand[node] * passed) / (passed + _DEMAND_OVER)
            else:
                self._cut[node], self._wanted[node] = _CUT_NONE, 0.0
                self._floor[node] = self._floor_of(node)
        if settled:
            self._round_at = self._now

    @cython.cfunc
    @cython.exceptval(check=False)
    def _floor_of(self, node: cython.Py_ssize_t) -> cython.longlong:
        rate: cython.double = self._a[node]
        burst: cython.double = self._b[node]
        tokens: cython.double = min(burst, self._tokens[node] + max(0.0, self._now - self._filled_at[node]) * rate)
        aim: cython.double = max(0.0, rate + (tokens - burst / 2) / _HALVED_IN)
        if self._demand[node] <= aim:
            return 0
        return cython.cast(cython.longlong, (1.0 - aim / self._demand[node]) * _RANDOMNESS)

    def evaluate_random(self, place: cython.Py_ssize_t, randomness: cython.longlong) -> cython.int:
        """As evaluate, of a trace with these 56 bits of randomness."""
        self._randomness = randomness
        return self._decide(place)

    # ------------------------------------------------------------ what was decided

    def note(self, place: cython.Py_ssize_t, decider: cython.int, cause: cython.int) -> None:
        """The trace of this row was decided for good, as evaluated last: count the votes, and write a record. HOT."""
        policy: cython.int
        for policy in range(self.policies):
            self._counts[_VOTES * policy + self._votes[policy]] += 1
        if self._record:
            self._write(place, decider, cause)
        self._written[0] += 1

    @cython.cfunc
    @cython.exceptval(-1)
    def _write(self, place: cython.Py_ssize_t, decider: cython.int, cause: cython.int) -> cython.int:
        rows: cython.ulonglong[::1] = self._rows
        at: cython.Py_ssize_t = self._written[0] * self._record
        micros: cython.ulonglong = cython.cast(cython.ulonglong, self._now * 1e6 + 0.5)
        spans: cython.ulonglong = min(rows[place + _SPANS], _UINT_MAX)
        size: cython.ulonglong = min(rows[place + _BYTES], _UINT_MAX)
        policy: cython.int = decider if decider >= -1 else -2 - decider
        word: cython.ulonglong
        ring: cython.uchar[::1] = self._ring
        if at + self._record > len(ring):
            if self._journal.capacity * self._record > len(ring):
                ring = self._ring = self._journal.make_room()
            at = self._written[0] % (len(ring) // self._record) * self._record
        _put64(ring, at, rows[place + _LOW])
        _put64(ring, at + 8, rows[place + _HIGH])
        _put64(ring, at + 16, micros)
        _put64(ring, at + 24, spans | size << 32)
        child: cython.ulonglong = self._child & 0xFFFF if decider >= 0 else 0xFFFF
        word = policy & 0xFFFF
        word |= child << 16
        if decider >= 0:
            word |= _UINT_MAX + 1
        _put64(ring, at + 32, word)
        ring[at + 37] = cause
        _put(ring, at + _HEAD, self._votes, self.policies)
        return 0


class _Flat:
    """Trees of nodes, laid out side by side."""

    def __init__(self) -> None:
        self.ops: list[int] = []
        self.a: list[int] = []
        self.b: list[int] = []
        self.state: list[int] = []
        self.first: list[int] = []
        self.next: list[int] = []

    def add(self, node: Node) -> int:
        """The number of a node; its children follow it."""
        op, a, b, children = node
        number = len(self.ops)
        hashes = op == names.HASH_UPTO
        self.ops.append(op)
        self.a.append(0 if hashes else a)
        self.b.append(0 if hashes else b)
        self.state += [a, b] if hashes else [0, 0]
        self.first.append(-1)
        self.next.append(-1)
        before = -1
        for child in children:
            added = self.add(child)
            if before < 0:
                self.first[number] = added
            else:
                self.next[before] = added
            before = added
        return number


def _has_limiter(node: Node) -> bool:
    return node.op in _LIMITERS or any(_has_limiter(child) for child in node.children)


@cython.cfunc
@cython.inline
@cython.overflowcheck(False)
@cython.exceptval(check=False)
def _fnv1a(state: cython.ulonglong, word: cython.ulonglong) -> cython.ulonglong:
    """FNV-1a (64 bits) going on over the eight bytes of a word, least significant first."""
    for _ in range(8):
        state = (state ^ word & 0xFF) * _FNV_PRIME & _MASK
        word >>= 8
    return state


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _put64(data: cython.uchar[::1], at: cython.Py_ssize_t, value: cython.ulonglong) -> cython.int:
    if at < 0 or at + 8 > len(data):
        raise IndexError("the kernel would reach past the end of its memory")
    if cython.compiled:
        memcpy(cython.address(data[at]), cython.address(value), 8)
    else:
        data[at : at + 8] = value.to_bytes(8, "little")
    return 0


@cython.cfunc
@cython.inline
@cython.exceptval(-1)
def _put(data: cython.uchar[::1], at: cython.Py_ssize_t, value: cython.uchar[::1], size: cython.int) -> cython.int:
    if at < 0 or at + size > len(data) or size > len(value):
        raise IndexError("the kernel would reach past the end of its memory")
    if size == 0:
        return 0
    if cython.compiled:
        memcpy(cython.address(data[at]), cython.address(value[0]), size)
    else:
        data[at : at + size] = value[:size]
    return 0
