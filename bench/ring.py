"""What does it cost to find a trace's owner, and to build the table it is found in, against the number of members?

    .venv/bin/python -m bench.ring [--json FILE] [--tiny]

Both methods, and beside them uhashring's own circle with the same hash and points. `kernel` is the slot alone, as the compiled
division of a request computes it for every span. Every look-up goes to a trace id of its own. The checksum holds all owners.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

from uhashring import HashRing
from xxhash import xxh3_64_intdigest

from bench import micro, report
from gateway import limits
from gateway.membership import Member, make_view
from gateway.ring import METHODS, Ring

MEMBERS = (2, 10, 50, 200, 500)
TINY_MEMBERS = (2, 10)
LOOKUPS = 20_000
CIRCLE = "uhashring"


@dataclass(frozen=True)
class Result:
    """One method at one number of members. The checksum is of the owners of the same trace ids."""

    method: str
    members: int
    ns: float  # a look-up
    build_ms: float
    checksum: int


def ring_of(members: int, method: str = "maglev") -> Ring:
    """A ring of so many members."""
    names = [f"sampler-{number}.example:4317" for number in range(members)]
    view = make_view(1, [Member(name, name) for name in names])
    return Ring(replace(view, ring=replace(view.ring, method=method)))


def circle_of(ring: Ring) -> Any:
    """uhashring with the members of this ring."""
    names = [member.name for member in ring.members]
    return HashRing(names, vnodes=limits.CONSISTENT_POINTS, hash_fn=_position)


def _position(key: bytes | str) -> int:
    return xxh3_64_intdigest(key if isinstance(key, bytes) else key.encode())


def ids(count: int) -> list[bytes]:
    """Trace ids."""
    dice = random.Random(1)
    return [dice.randbytes(16) for _ in range(count)]


def built(make: Callable[[], Any], rounds: int) -> tuple[Any, float]:
    """What it makes, and the least milliseconds that took."""
    took = []
    for _ in range(rounds):
        start = time.process_time()
        made = make()
        took.append((time.process_time() - start) * 1e3)
    return made, min(took)


def measure(members: int, traces: list[bytes], rounds: int, seconds: float) -> Iterator[Result]:
    """All methods at this number of members."""
    makers: dict[str, Callable[[], Any]] = {m: lambda m=m: ring_of(members, m) for m in METHODS}
    makers[CIRCLE] = lambda: circle_of(ring_of(members))
    made = {name: built(make, min(3, rounds)) for name, make in makers.items()}
    lookups = {name: _lookup(ring) for name, (ring, _) in made.items()}
    costs = micro.cost({name: _all(lookup, traces) for name, lookup in lookups.items()}, rounds, seconds)
    for name, lookup in lookups.items():
        yield Result(name, members, costs[name], made[name][1], crc32("".join(map(lookup, traces)).encode()))


def kernel_slots(traces: list[bytes], rounds: int, seconds: float) -> Iterator[Result]:
    """The slot alone, in each form: no members are asked, for the table's size does not depend on them."""
    forms = {f"kernel, {kernel.form}": kernel.slot_of for kernel in micro.kernels()}
    works = {
        name: _all(lambda trace, slot=slot: slot(trace, limits.RING_SLOTS), traces) for name, slot in forms.items()
    }
    slots = {name: sum(slot(trace, limits.RING_SLOTS) for trace in traces) for name, slot in forms.items()}
    expected = sum(xxh3_64_intdigest(trace) % limits.RING_SLOTS for trace in traces)
    total = micro.agreed({**slots, "xxhash": expected})
    for name, ns in micro.cost(works, rounds, seconds).items():
        yield Result(name, 0, ns, 0.0, total)


def _lookup(ring: Any) -> Callable[[bytes], str]:
    if isinstance(ring, Ring):
        return lambda trace: ring.owner(trace).name
    get_node: Callable[[bytes], str] = ring.get_node
    return get_node


def _all(lookup: Callable[[bytes], object], traces: list[bytes]) -> micro.Work:
    def work() -> int:
        for trace in traces:
            lookup(trace)
        return len(traces)

    return work


def table(results: list[Result]) -> str:
    """A row a number of members, a column a method."""
    methods = (*METHODS, CIRCLE)
    rows = []
    for members in dict.fromkeys(r.members for r in results if r.members):
        mine = {r.method: r for r in results if r.members == members}
        rows.append([str(members), *(f"{mine[m].ns:,.0f} ns, {mine[m].build_ms:,.0f} ms" for m in methods)])
    kernels = ", ".join(f"{r.method}: {r.ns:,.0f} ns" for r in results if not r.members)
    return report.markdown(["members; a look-up, building", *methods], rows) + f"\n\nslot alone: {kernels}"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    asked = micro.arguments("CPU of a look-up on the ring", argv)
    told = report.header()
    print(told)
    traces = ids(200 if asked.tiny else LOOKUPS)
    results = list(kernel_slots(traces, asked.rounds, asked.slice))
    for members in TINY_MEMBERS if asked.tiny else MEMBERS:
        results += measure(members, traces, asked.rounds, asked.slice)
    print("", table(results), "", f"checksum {sum(r.checksum for r in results) % 2**32:08x}", sep="\n")
    report.write(asked.json, "ring", told, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
