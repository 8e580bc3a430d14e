"""The load balancer's core: routes requests, gathers the samplers' answers, and answers the agents. Stateless but for what it
has not yet acknowledged. Does no I/O, reads no clock.

An agent's request becomes parts, one or more for each owner; parts for one member leave together while earlier ones are in
flight (gateway.outbox). The agent is acknowledged when every part is. A part that fails is routed again by the newest view until
AGENT_DEADLINE_SHARE of the agent's deadline has passed; only then is the agent told to send everything again.

Direct evidence (connection refused, or SILENCE_MAX seconds without any answer) takes a member off the ring at once; it is asked
every PROBE_INTERVAL whether it is back, with an empty request, which every OTLP server answers.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

from gateway import limits, metrics
from gateway.core import (
    Accepted,
    Action,
    Cancel,
    Delivered,
    Draining,
    Event,
    Failed,
    Failure,
    Finished,
    Invalid,
    Level,
    Note,
    Overloaded,
    ReadView,
    Received,
    Reply,
    Send,
    ViewChanged,
)
from gateway.errors import MalformedRequestError, TooLargeError
from gateway.membership import Member, View, ViewStamp
from gateway.metrics import Tally
from gateway.outbox import Attempt, Outbox, Part
from gateway.ring import Ring
from loadbalancer.route import Piece, Routed, Router

_ACCEPTED = Accepted()  # of every request without a fault: making a frozen value costs a microsecond
_WATCH_INTERVAL = 0.1  # how often silence is looked for while anything is in flight


@dataclass(slots=True, eq=False)
class _Request:
    """One agent's request until it is answered."""

    token: object
    open_parts: int
    spans: int  # valid ones
    rejected: int = 0  # by us: their ids are invalid
    refused: int = 0  # by samplers
    message: str = ""
    answered: bool = False

    @property
    def total(self) -> int:
        """How many spans were in it."""
        return self.spans + self.rejected


@dataclass(slots=True, eq=False)
class _Owner:
    """What the outbox carries for a part: whose it is and how often it was tried."""

    request: _Request
    tries: int = 0


_Part = Part[_Owner]


@dataclass(slots=True, eq=False)
class _Link:
    """One member as this balancer knows it."""

    member: Member
    outbox: Outbox[_Owner]
    heard_at: float = 0.0  # when it last answered, or when the oldest wait for an answer began
    unanswered_at: float = -math.inf  # when an attempt last ended without an answer: the wait goes on with the next one
    avoided: bool = False
    probe_at: float = 0.0
    send_at: float = 0.0  # not before: parts gather meanwhile
    resting: int = 0  # bytes of its parts that wait to be routed again: they are its share too
    flying: list[int] = field(default_factory=list)


class Balancer:
    """Events in, actions out; see gateway.core."""

    def __init__(
        self,
        tally: Tally,
        *,
        bytes_max: int = limits.BALANCER_BYTES_MAX,
        request_bytes_max: int = limits.FORWARD_REQUEST_BYTES_MAX,
        in_flight_max: int = limits.FORWARD_IN_FLIGHT_MAX,
        timeout: float = limits.FORWARD_TIMEOUT,
        pace: float = limits.FORWARD_PACE,
    ) -> None:
        self._tally = tally
        self._router = Router()
        self._bytes_max = bytes_max
        self._member_bytes_max = int(bytes_max * limits.BALANCER_MEMBER_SHARE)
        self._request_bytes_max = request_bytes_max
        self._in_flight_max = in_flight_max
        self._timeout = timeout
        self._pace = pace
        self._view: View | None = None
        self._whole_ring: Ring | None = None  # of the view
        self._ring: Ring | None = None  # of the view without the members that are avoided
        self._owners: frozenset[str] = frozenset()  # the ids of that ring's members
        self._links: dict[str, _Link] = {}  # by member id
        self._links_by_attempt: dict[int, _Link] = {}
        self._probes: dict[int, _Link] = {}
        self._gathering: dict[str, _Link] = {}  # links that hold parts until their send_at
        self._number = 0
        self._held = 0  # bytes of all parts not yet settled
        self._unanswered = 0
        self._deadlines: list[tuple[float, int, _Request]] = []  # heap: (resend_until, sequence, request)
        self._resting: list[tuple[float, int, _Link, _Part]] = []  # heap: parts to be routed again, and who failed them
        self._sequence = 0
        self._watch_at: float | None = None
        self._asked_for: ViewStamp | None = None
        self._finish_at: float | None = None
        self._finished = False
        tally.set(metrics.BALANCER_BYTES_MAX, bytes_max)

    # ------------------------------------------------------------ the core's three calls

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in one event."""
        out: list[Action] = []
        match event:
            case Received():
                self._receive(event, now, out)
            case Delivered():
                self._delivered(event, now, out)
            case Failed():
                self._failed(event, now, out)
            case ViewChanged(view):
                self._change_view(view, now, out)
            case Draining(finish_at):
                self._finish_at = finish_at
        self._finish(now, out)
        return out

    def tick(self, now: float) -> list[Action]:
        """Route again what is due, give up what is overdue, notice silence, probe."""
        out: list[Action] = []
        self._give_up_overdue(now, out)
        self._resend_due(now, out)
        for link in [link for link in self._gathering.values() if link.send_at <= now]:
            self._pump(link, now, out)
        if self._watch_at is not None and self._watch_at <= now:
            self._watch(now, out)
        self._finish(now, out)
        return out

    def next_deadline(self) -> float | None:
        """When tick wants to be called."""
        soonest = self._deadlines[0][0] if self._deadlines else math.inf
        if self._resting:
            soonest = min(soonest, self._resting[0][0])
        for at in (self._watch_at, self._finish_at):
            if at is not None and at < soonest and not self._finished:
                soonest = at
        for link in self._gathering.values():
            if link.send_at < soonest:
                soonest = link.send_at
        return None if soonest == math.inf else soonest

    def publish(self) -> None:
        """Bring the gauges up to date."""
        self._tally.set(metrics.BALANCER_BYTES, self._held)
        self._tally.set(metrics.MEMBERS_AVOIDED, sum(link.avoided for link in self._links.values()))
        for gauge in (metrics.OUTBOX_BYTES, metrics.OUTBOX_SPANS, metrics.OUTBOX_IN_FLIGHT):
            self._tally.clear(gauge)
        for link in self._links.values():
            name = link.member.name
            self._tally.set(metrics.OUTBOX_BYTES, link.outbox.bytes, name)
            self._tally.set(metrics.OUTBOX_SPANS, link.outbox.spans, name)
            self._tally.set(metrics.OUTBOX_IN_FLIGHT, link.outbox.in_flight, name)

    # ------------------------------------------------------------ an agent's request

    def _receive(self, event: Received, now: float, out: list[Action]) -> None:
        self._tally.add(metrics.REQUESTS_RECEIVED)
        if self._held and self._held + len(event.request) > self._bytes_max:
            self._refuse(event.token, "bytes", f"the load balancer holds {self._held} of {self._bytes_max} bytes", out)
            return
        if self._ring is None or self._ring.empty:
            self._refuse(event.token, "no_sampler", "no sampler is reachable", out)
            return
        try:
            routed = self._router.route(event.request, self._ring, self._request_bytes_max)
        except MalformedRequestError as error:
            self._tally.add(metrics.REQUESTS_REJECTED, 1, "malformed")
            out.append(Reply(event.token, Invalid(f"not an ExportTraceServiceRequest: {error}")))
            return
        except TooLargeError as error:
            self._tally.add(metrics.REQUESTS_REJECTED, 1, "too_large")
            out.append(Reply(event.token, Invalid(f"the request is too large: {error}")))
            return
        full = self._what_is_full(routed.pieces)
        if full is not None:
            self._refuse(event.token, *full, out, routed.spans + routed.rejected)
            return
        self._tally.add(metrics.SPANS_RECEIVED, routed.spans + routed.rejected)
        if routed.rejected:
            self._tally.add(metrics.SPANS_REJECTED, routed.rejected, "invalid_id")
        if not routed.pieces:
            out.append(Reply(event.token, Accepted(routed.rejected, routed.reason), routed.rejected))
            return
        request = self._open(event, routed, now)
        self._put(routed.pieces, request, 0, now, out)

    def _open(self, event: Received, routed: Routed, now: float) -> _Request:
        patience = limits.AGENT_DEADLINE if event.deadline_at is None else event.deadline_at - now
        resend_until = now + min(patience * limits.AGENT_DEADLINE_SHARE, limits.RESEND_MAX)
        request = _Request(event.token, 0, routed.spans, routed.rejected, message=routed.reason)
        while self._deadlines and self._deadlines[0][2].answered:
            heapq.heappop(self._deadlines)
        self._unanswered += 1
        self._sequence += 1
        heapq.heappush(self._deadlines, (resend_until, self._sequence, request))
        return request

    def _refuse(self, token: object, reason: str, message: str, out: list[Action], spans: int = 0) -> None:
        self._tally.add(metrics.REQUESTS_REJECTED, 1, reason)
        out.append(Reply(token, Overloaded(message, limits.RETRY_AFTER), spans))

    def _give_up(self, request: _Request, reason: str, message: str, out: list[Action]) -> None:
        """Tell the agent to send everything again."""
        self._close(request)
        self._refuse(request.token, reason, message, out, request.total)

    def _what_is_full(self, pieces: list[Piece]) -> tuple[str, str] | None:
        """(reason, message) of the bound that these pieces would break; None if there is room for all."""
        sizes: dict[str, int] = {}
        for member, body, _ in pieces:
            sizes[member.id] = sizes.get(member.id, 0) + len(body)
        if self._held and self._held + sum(sizes.values()) > self._bytes_max:
            return "bytes", f"the load balancer holds {self._held} of {self._bytes_max} bytes"
        for id, size in sizes.items():
            link = self._links.get(id)
            waiting = 0 if link is None else link.outbox.bytes + link.resting
            if link is not None and waiting and waiting + size > self._member_bytes_max:
                return "member_bytes", f"too much waits for sampler {link.member.endpoint}"
        return None

    def _put(self, pieces: list[Piece], request: _Request, tries: int, now: float, out: list[Action]) -> None:
        for member, body, spans in pieces:
            link = self._link(member)
            request.open_parts += 1
            self._held += len(body)
            link.outbox.put(Part(body, spans, _Owner(request, tries)), now)
            self._pump(link, now, out)

    # ------------------------------------------------------------ forwarding

    def _link(self, member: Member) -> _Link:
        link = self._links.get(member.id)
        if link is None:
            outbox: Outbox[_Owner] = Outbox(
                member.name, in_flight_max=self._in_flight_max, request_bytes_max=self._request_bytes_max
            )
            link = self._links[member.id] = _Link(member, outbox)
        return link

    def _pump(self, link: _Link, now: float, out: list[Action]) -> None:
        """Send what may leave. A link that has sent just now lets parts gather first: an idle one sends at once."""
        if now < link.send_at:
            self._gathering[link.member.id] = link
            return
        self._gathering.pop(link.member.id, None)
        while (attempt := link.outbox.take(now, self._number + 1)) is not None:
            self._number += 1
            link.send_at = now + self._pace
            if not link.flying and now - link.unanswered_at > limits.FORWARD_RETRY_MAX:
                link.heard_at = now
            link.flying.append(attempt.number)
            self._links_by_attempt[attempt.number] = link
            stamp = self._view.stamp if self._view is not None else None
            request = attempt.request
            out.append(Send(attempt.number, link.member.endpoint, request, attempt.spans, self._timeout, stamp))
            if self._watch_at is None:
                self._watch_at = now + _WATCH_INTERVAL

    def _delivered(self, event: Delivered, now: float, out: list[Action]) -> None:
        self._look_at_view(event.peer_view, out)
        if event.attempt in self._probes:
            self._welcome_back(self._probes.pop(event.attempt), now, out)
            return
        link, attempt = self._answered(event.attempt, now)
        if link is None or attempt is None:
            return
        rejected = min(event.rejected_spans, attempt.spans)  # a number from outside
        self._tally.add(metrics.SPANS_FORWARDED, attempt.spans - rejected, link.member.name)
        self._tally.observe(metrics.FORWARD_SECONDS, now - attempt.sent_at, link.member.name, "accepted")
        alone = len(attempt.parts) == 1
        if rejected:
            self._tally.add(metrics.SPANS_REJECTED, rejected, "sampler")
            fields: dict[str, object] = {"member": link.member.endpoint, "spans": rejected}
            out.append(Note(Level.WARNING, "sampler_rejected_spans", fields | {"reason": event.message}))
        for part in attempt.parts:
            request = part.owner.request
            if rejected or event.message:
                request.message = request.message or f"sampler {link.member.endpoint}: {event.message}"
                request.refused += rejected if alone else 0
            self._settle(part)
            self._answer_if_complete(request, out)
        self._pump(link, now, out)

    def _answered(self, number: int, now: float) -> tuple[_Link | None, Attempt[_Owner] | None]:
        link = self._links_by_attempt.pop(number, None)
        if link is None:
            return None, None
        link.heard_at, link.unanswered_at = now, -math.inf
        link.flying.remove(number)
        return link, link.outbox.withdraw(number)

    def _settle(self, part: _Part) -> None:
        self._held -= len(part.body)
        part.owner.request.open_parts -= 1

    def _answer_if_complete(self, request: _Request, out: list[Action]) -> None:
        if request.open_parts or request.answered:
            return
        self._close(request)
        self._tally.add(metrics.SPANS_ACCEPTED, request.spans - request.refused)
        if request.refused >= request.spans:
            out.append(Reply(request.token, Invalid(request.message), request.total))
        else:
            flawless = not (request.rejected or request.refused or request.message)
            outcome = _ACCEPTED if flawless else Accepted(request.rejected + request.refused, request.message)
            out.append(Reply(request.token, outcome, request.total))

    def _close(self, request: _Request) -> None:
        request.answered = True
        self._unanswered -= 1

    # ------------------------------------------------------------ failure

    def _failed(self, event: Failed, now: float, out: list[Action]) -> None:
        self._look_at_view(event.peer_view, out)
        if event.attempt in self._probes:
            self._probe_failed(self._probes.pop(event.attempt), event.failure, now, out)
            return
        heard_at = self._links_by_attempt[event.attempt].heard_at if event.attempt in self._links_by_attempt else now
        link, attempt = self._answered(event.attempt, now)
        if link is None or attempt is None:
            return
        self._tally.add(metrics.FORWARDS_FAILED, 1, link.member.name, event.failure.value)
        self._tally.observe(metrics.FORWARD_SECONDS, now - attempt.sent_at, link.member.name, "failed")
        match event.failure:
            case Failure.UNREACHABLE:
                self._avoid(link, event.reason, attempt.parts, now, out)
                return
            case Failure.REFUSED:
                self._refused(link, attempt, event.reason, out, now)
            case Failure.NO_ANSWER:
                link.heard_at, link.unanswered_at = heard_at, now  # a timeout is no answer
                self._rest(link, attempt.parts, event.retry_after, now)
            case Failure.RETRYABLE:
                self._rest(link, attempt.parts, event.retry_after, now)
        self._pump(link, now, out)

    def _refused(self, link: _Link, attempt: Attempt[_Owner], reason: str, out: list[Action], now: float) -> None:
        """Refused for good. Once more, each agent's part by itself, so that nobody's mistake costs another's data."""
        if len(attempt.parts) > 1:
            if self._owns(link):
                link.outbox.requeue_apart([[part] for part in attempt.parts], now)
            else:  # it has left meanwhile: the others may see it otherwise, and if not, they cut it apart
                self._reroute(attempt.parts, now, out)
            return
        part = attempt.parts[0]
        fields: dict[str, object] = {"member": link.member.endpoint, "spans": part.spans, "reason": reason}
        out.append(Note(Level.WARNING, "sampler_refused_request", fields))
        self._tally.add(metrics.SPANS_REJECTED, part.spans, "sampler")
        request = part.owner.request
        request.refused += part.spans
        request.message = request.message or f"sampler {link.member.endpoint} refused: {reason}"
        self._settle(part)
        self._answer_if_complete(request, out)

    def _rest(self, link: _Link, parts: list[_Part], retry_after: float | None, now: float) -> None:
        """Let these parts wait before they are routed again."""
        asked = min(retry_after or 0.0, limits.RETRY_AFTER_MAX)
        for part in parts:
            owner = part.owner
            pause = min(limits.FORWARD_RETRY_INITIAL * 2**owner.tries, limits.FORWARD_RETRY_MAX)
            owner.tries += 1
            self._sequence += 1
            link.resting += len(part.body)
            heapq.heappush(self._resting, (now + max(pause, asked), self._sequence, link, part))

    def _resend_due(self, now: float, out: list[Action]) -> None:
        parts = []
        while self._resting and self._resting[0][0] <= now:
            _, _, link, part = heapq.heappop(self._resting)
            link.resting -= len(part.body)
            parts.append(part)
        self._reroute(parts, now, out)

    def _reroute(self, parts: list[_Part], now: float, out: list[Action]) -> None:
        """Route these parts by the ring as it is now; whoever waits for none of them any more is left in peace."""
        for part in parts:
            request = part.owner.request
            self._settle(part)
            if request.answered:
                continue
            if self._ring is None or self._ring.empty:
                self._give_up(request, "no_sampler", "no sampler is reachable", out)
                continue
            self._tally.add(metrics.PARTS_REROUTED)
            try:
                pieces = self._router.route(part.body, self._ring, self._request_bytes_max).pieces
            except TooLargeError as error:  # it fitted the smaller ring; now its envelopes would be repeated too often
                self._give_up(request, "too_large", f"the request cannot be split any further: {error}", out)
                continue
            self._put(pieces, request, part.owner.tries, now, out)

    def _give_up_overdue(self, now: float, out: list[Action]) -> None:
        overdue = False
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].answered):
            request = heapq.heappop(self._deadlines)[2]
            if not request.answered:
                overdue = True
                self._give_up(request, "no_answer", "a sampler has not taken its part in time; send it again", out)
        if overdue:
            for link in self._links.values():
                for part in link.outbox.discard(_is_answered):
                    self._settle(part)

    # ------------------------------------------------------------ members, views

    def _change_view(self, view: View, now: float, out: list[Action]) -> None:
        self._view = view
        self._tally.add(metrics.VIEWS_CHANGED)
        self._whole_ring = Ring(view)
        active = {member.id for member in view.active}
        for link in self._links.values():
            link.avoided = link.avoided and link.member.id in active
        self._rebuild_ring()
        gone = [link for link in self._links.values() if not link.avoided and not self._owns(link)]
        moved: list[_Part] = []
        for link in gone:
            moved += link.outbox.discard(_always)
            if not link.flying:
                del self._links[link.member.id]
        self._resting = [(now, sequence, link, part) for _, sequence, link, part in self._resting]
        heapq.heapify(self._resting)
        self._reroute(moved, now, out)
        self._resend_due(now, out)

    def _rebuild_ring(self) -> None:
        assert self._whole_ring is not None
        avoided = [link.member.id for link in self._links.values() if link.avoided]
        self._ring = self._whole_ring.without(avoided) if avoided else self._whole_ring
        self._owners = frozenset(member.id for member in self._ring.members)

    def _avoid(self, link: _Link, reason: str, parts: list[_Part], now: float, out: list[Action]) -> None:
        """Route around this member from now on, and with it everything that was on its way there."""
        out.extend(Cancel(number) for number in link.flying)
        for number in link.flying:
            del self._links_by_attempt[number]
        link.flying.clear()
        link.unanswered_at = -math.inf
        parts = parts + link.outbox.empty()
        if not link.avoided and self._owns(link):
            link.avoided = True
            link.probe_at = now + limits.PROBE_INTERVAL
            self._watch_at = self._watch_at or now + _WATCH_INTERVAL
            fields: dict[str, object] = {"member": link.member.endpoint, "reason": reason}
            out.append(Note(Level.WARNING, "member_avoided", fields))
            self._rebuild_ring()
        self._reroute(parts, now, out)

    def _owns(self, link: _Link) -> bool:
        """Whether the ring in use sends it anything."""
        return link.member.id in self._owners

    def _watch(self, now: float, out: list[Action]) -> None:
        assert self._watch_at is not None, "tick looks"
        late = now - self._watch_at
        if late > limits.STALL_MIN:  # it was this process that was away: answers may be there, unread
            for link in self._links.values():
                link.heard_at = min(now, link.heard_at + late)
        for link in list(self._links.values()):
            if link.flying and now - link.heard_at >= limits.SILENCE_MAX:
                self._avoid(link, f"no answer for {limits.SILENCE_MAX:g} s", [], now, out)
            if link.avoided and link.probe_at <= now:
                self._probe(link, now, out)
            if not link.flying and not link.avoided and not self._owns(link):
                del self._links[link.member.id]
        busy = any(link.flying or link.avoided for link in self._links.values())
        self._watch_at = now + _WATCH_INTERVAL if busy else None

    def _probe(self, link: _Link, now: float, out: list[Action]) -> None:
        self._number += 1
        self._probes[self._number] = link
        link.probe_at = now + 2 * limits.PROBE_INTERVAL  # the answer or its absence comes before
        stamp = self._view.stamp if self._view is not None else None
        out.append(Send(self._number, link.member.endpoint, b"", 0, limits.PROBE_INTERVAL, stamp))

    def _probe_failed(self, link: _Link, failure: Failure, now: float, out: list[Action]) -> None:
        if failure in (Failure.UNREACHABLE, Failure.NO_ANSWER):
            link.probe_at = now + limits.PROBE_INTERVAL
        else:
            self._welcome_back(link, now, out)

    def _welcome_back(self, link: _Link, now: float, out: list[Action]) -> None:
        if not link.avoided:
            return
        link.avoided = False
        self._rebuild_ring()
        out.append(Note(Level.INFO, "member_back", {"member": link.member.endpoint}))

    def _look_at_view(self, stamp: ViewStamp | None, out: list[Action]) -> None:
        """A member with a newer view, or another one of the same epoch, knows something that should be read now."""
        if stamp is None or self._view is None or stamp.epoch < self._view.epoch:
            return
        if stamp in (self._view.stamp, self._asked_for):
            return
        self._asked_for = stamp
        out.append(ReadView())

    def _finish(self, now: float, out: list[Action]) -> None:
        if self._finish_at is None or self._finished or (self._unanswered and now < self._finish_at):
            return
        self._give_up_overdue(math.inf, out)  # who still waits is told to send it again, elsewhere
        self._finished = True
        out.append(Finished())


def _is_answered(owner: _Owner) -> bool:
    return owner.request.answered


def _always(owner: _Owner) -> bool:
    return True
