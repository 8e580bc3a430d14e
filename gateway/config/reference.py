"""docs/CONFIGURATION.md, written from the models: `python -m gateway.config.reference > docs/CONFIGURATION.md`.

Owns how models become tables. What a key means stands beside the key, in its model.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic.fields import FieldInfo

from gateway.config.block import Block, inner, keys_of
from gateway.config.catalogue import ALIASES, SHELVES, Shelf
from gateway.config.pipelines import Service
from gateway.config.policies import POLICY_TYPES, Policy, block_of
from gateway.config.scalars import Kind
from gateway.config.words import listed

_TOP = """\
# Configuration

*Written from the models by `python -m gateway.config.reference`. Do not edit by hand.*

The language is the OpenTelemetry Collector's. A file that uses what is built runs unchanged; everything else is refused with
its place and the reason, never ignored:

```
$ tailgate check --config sampler.yaml
sampler.yaml:14:9: processors.tail_sampling.policies[2].latency.treshold_ms: unknown key; did you mean "threshold_ms"?
```

Every mistake is named in one go, and the command exits with 2. What is right and probably not meant is a `warning:`, and every
place where `semantics: strict` would decide differently a `note:`; with these alone the command exits with 0. Working
files to begin with are in `deploy/quickstart/`.

## The file

| Section | What it holds |
|---|---|
| `receivers` | where traces come in |
| `processors` | what they pass |
| `exporters` | where they go |
| `extensions` | what runs beside |
| `service` | which of all these run, and in which pipeline |

A component's id is its type or `type/name`: `otlp`, `otlp/backup`. What is defined but not named under `service` is checked and
not run. One process runs one pipeline, named `traces` or `traces/name`.

**A load balancer** receives with `otlp`, may have one `memory_limiter`, and exports to exactly one `load_balancing`. It
coalesces by itself what goes to one sampler, so `batch` has no place in it.

**A sampler** receives with one or more `otlp`, has exactly one `tail_sampling`, before it at most one `memory_limiter`, behind it
at most one `batch`, and exports to one or more of `otlp_grpc`, `otlp_http`, `debug` and `file`: each gets every kept trace. With
`redis_membership` among `service.extensions` it is a member that load balancers find; without, it stands alone.

**Several files** (`--config a.yaml --config b.yaml`) merge in order: mappings merge, lists and single values replace.

**Variables** stand in values: `${env:VAR}`, `${env:VAR:-default}`, `${VAR}`; `$$` is a dollar. A value that is one variable and
nothing else takes the type its text has as YAML; where text is expected it stays text. A variable that is not set and has no
default is a mistake (the Collector takes it for empty). What a variable holds is taken as it is: `$` means nothing in it. It is
never shown in a message.

**YAML** is read by the rules of version 1.2: `no` and `on` are text, `1e3` is a number. A key that stands twice is a mistake.
Anchors, aliases and `<<` work.

**Durations** are written as in Go: `ns us ms s m h`, also combined and with fractions: `1h30m`, `1.5s`. A number without a unit
is a mistake, except `0`. **Sizes** are a number of bytes or `512KiB`, `20MiB`, `1GiB`.
"""

_POLICIES = """\
### Policies

What each type of policy is told stands in the block that is named after it. A block of another type beside it is a mistake: the
Collector ignores it, and with it what its writer meant. Each of these examples is one entry of `policies`.

`and`, `not`, `drop` and `composite` hold policies of their own. What stands inside a `not` holds no others; inside an `and` or a
`drop` a `not` may stand beside those; inside a `composite` an `and`. Names of policies inside an `and`, `not` or `drop` are for
people only and may be left out.
"""

_DIFFER = """\
### Differences from the Collector

Policies decide as the Collector's do: `bench/parity.py` compares them with a running one on random policies and traces. This is
where they do not, under `semantics: parity`. What `semantics: strict` changes beyond that stands with each policy, and
`tailgate check` names the places in a given file.
"""

_DIFFERENCES = (
    (
        "configurations refused",
        "start: an empty `and` keeps everything, an empty `drop` drops everything, a numeric policy without bounds ends "
        "the process with its first trace, minimums above maximums and empty keys match nothing, a block of another type is "
        "ignored",
        "mistakes, each with its place; so are `num_traces: 0`, negative rates, and names in a `composite` that none of its "
        "policies has",
    ),
    ("policy extensions", "a type may be an extension's id", "refused: the types are those above"),
    (
        "`decision_wait`",
        "whole seconds, looked at once a second: N seconds take up to N + 1",
        "kept within 100 ms, also below one second; the same for `decision_wait_after_root_received`",
    ),
    (
        "past decisions",
        "remembered in `decision_cache`, off unless sized; else a late span opens a new trace, which may be decided otherwise",
        "remembered by default, a million of each kind; late spans follow",
    ),
    (
        "`num_traces`",
        "decided traces count too; beyond it the oldest are thrown away unasked",
        "undecided traces count; beyond it the oldest are decided early, by the policies, on what is there",
    ),
    (
        "`memory_limiter`",
        "requests are refused",
        "the oldest traces are decided early; requests are refused when that no longer helps",
    ),
    (
        "`block_on_overflow`",
        "the receiver stalls",
        "requests are answered UNAVAILABLE, also for traces that wait already",
    ),
    ("spans sent twice", "count twice", "the second is discarded before any policy counts"),
    (
        "`bytes_limiting`, `maximum_trace_size_bytes`",
        "count what the Collector would write: schema URLs left out, empty ids and messages spelled out",
        "count the trace as it came, schema URLs included: a few bytes more or less for each request",
    ),
    (
        "a trace too large",
        "what it has of it stays until its turn comes",
        "dropped and freed at once, its late spans with it",
    ),
    (
        "`span-ingest`",
        "attributes and latency of each batch of spans by itself, counts of the trace",
        "all of the trace so far, for every policy",
    ),
    ("a trace id of zeros", "passes", "spans with a trace id or span id of zeros are rejected, in a partial success"),
    (
        "instants of 2⁶³ ns (year 2262) and later",
        "lie before 1970",
        "are what they are to `latency`; to OTTL they lie before 1970, as there",
    ),
    (
        "traces due together",
        "in random order, which matters to limiters",
        "in the order in which they came; with `tracestate: true` by falling randomness",
    ),
    (
        "the second of a `composite`",
        "of the wall clock",
        "of a clock that is never set",
    ),
    (
        "`tracestate: true`",
        "the gate usetracestate hashes traces that bring no `rv` or `th`, and leaves a span whose tracestate is invalid as it is",
        "the id is the randomness where there is no `rv`; every kept span states its threshold "
        "(docs/decisions/0007-honest-probability.md)",
    ),
    (
        "OTTL",
        "all of it",
        "the part that docs/OTTL.md lists",
    ),
)


class Row(NamedTuple):
    """One line of a table."""

    key: str
    kind: str
    default: str
    meaning: str


def document() -> str:
    """The whole text."""
    parts = [_TOP]
    for shelf in SHELVES:
        parts.append(f"\n## {shelf.section.capitalize()}\n")
        parts += _shelf(shelf)
    parts.append("\n## Service\n")
    parts += [f"\n{Service.__doc__}\n", _table(Service), _refusals(Service)]
    return "".join(parts)


def _shelf(shelf: Shelf) -> Iterator[str]:
    for kind, model in shelf.models.items():
        if ALIASES.get(kind) not in shelf.models:  # an alias of another shelf is a name here: receiver `otlp`
            yield _component(kind, model)
    yield f"\n**Not built yet:** {_codes(sorted(shelf.unbuilt))}.\n"


def _component(kind: str, model: type[Block]) -> str:
    aliases = [alias for alias, name in ALIASES.items() if name == kind]
    also = f" (also `{aliases[0]}`)" if aliases else ""
    doc = _prose(model)
    chapter = "".join(_policies()) if kind == "tail_sampling" else ""
    return f"\n### `{kind}`{also}\n\n{doc}\n" + _table(model) + _refusals(model) + chapter


def _policies() -> Iterator[str]:
    """Every type of policy, with an example."""
    yield f"\n{_POLICIES}"
    yield _table(Policy, ("name", "type"))
    for kind in POLICY_TYPES:
        model = block_of(Policy, kind)
        yield f"\n#### `{kind}`\n\n{_prose(model)}\n\n```yaml\n{_item(model.example)}```\n"
        if keys_of(model):
            yield _table(model)
    yield f"\n{_DIFFER}\n| | Collector v0.161.0 | here |\n|---|---|---|\n"
    yield from (f"| {' | '.join(row)} |\n" for row in _DIFFERENCES)


def _item(example: str) -> str:
    """An example as an item of a list."""
    lines = example.strip().splitlines()
    return "".join(f"{'- ' if index == 0 else '  '}{line}\n" for index, line in enumerate(lines))


def _prose(model: type[Block]) -> str:
    return "\n".join(line.strip() for line in (model.__doc__ or "").strip().splitlines())


def _table(model: type[Block], only: Sequence[str] = ()) -> str:
    lines = ["\n| Key | Value | Default | Meaning |\n|---|---|---|---|\n"]
    found = [row for row in rows(model) if not only or row.key in only]
    lines += [f"| `{row.key}` | {row.kind} | {row.default} | {row.meaning} |\n" for row in found]
    return "".join(lines)


def rows(model: type[Block], prefix: str = "") -> Iterator[Row]:
    """Every key of a block and of the blocks in it, by its dotted path."""
    for name, (_, field) in keys_of(model).items():
        key, held = prefix + name, inner(field.annotation)
        below = _block_in(held)
        if below is None:
            yield Row(key, _kind(field, held), _default(field), field.description or "")
            continue
        path = key + _steps(held)
        if below.apart:
            yield Row(key, _container(held, below.apart), _default(field), field.description or "")
            continue
        if field.is_required() or field.default is None or path != key:
            yield Row(key, _container(held), _default(field), field.description or "")
        yield from rows(below, f"{path}.")


def _block_in(held: Any) -> type[Block] | None:
    """The block that a field holds, by itself or in a list or mapping."""
    if isinstance(held, type) and issubclass(held, Block):
        return held
    return _block_in(get_args(held)[-1]) if get_origin(held) in (list, dict) else None


def _steps(held: Any) -> str:
    """How a path goes on inside a list or mapping of blocks."""
    return {list: "[]", dict: ".NAME"}.get(get_origin(held), "")


def _container(held: Any, one: str = "block") -> str:
    several = f"{one.removesuffix('y')}ies" if one.endswith("y") else f"{one}s"
    return {list: f"list of {several}", dict: f"mapping of {several}"}.get(get_origin(held), one)


def _kinds(held: Sequence[Any]) -> list[Kind]:
    return [part for part in held if isinstance(part, Kind)]


def _kind(field: FieldInfo, held: Any) -> str:
    own = _kinds(field.metadata)
    if own:
        return own[0].name
    assert get_origin(held) is list, f"{field} has no kind"
    (item,) = get_args(held)
    return f"list of: {_kinds(get_args(item) if get_origin(item) is Annotated else ())[0].name}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if field.default is None or field.default == []:
        return "–"
    own = _kinds(field.metadata)
    return f"`{own[0].written(field.default).strip(chr(34))}`" if own and field.default not in ("", ()) else "–"


def _blocks(model: type[Block], prefix: str = "") -> Iterator[tuple[str, type[Block]]]:
    yield prefix, model
    for name, field in model.model_fields.items():
        held = inner(field.annotation)
        below = _block_in(held)
        if below is not None and not below.apart:
            yield from _blocks(below, f"{prefix}{name}{_steps(held)}.")


def _refusals(model: type[Block]) -> str:
    """What the Collector has in these blocks and what is refused by name here."""
    unbuilt = [_under(prefix, tuple(block.unbuilt)) for prefix, block in _blocks(model) if block.unbuilt]
    text = f"\nNot built yet, and refused by name: {', '.join(unbuilt)}.\n" if unbuilt else ""
    for prefix, block in _blocks(model):
        for reason in dict.fromkeys(block.refused.values()):
            keys = tuple(key for key, why in block.refused.items() if why == reason)
            text += f"\n{_under(prefix, keys)}: {reason}.\n"
    return text


def _under(prefix: str, keys: Sequence[str]) -> str:
    """Keys of one block, in one piece of code."""
    if not prefix:
        return ", ".join(f"`{key}`" for key in keys)
    return f"`{prefix}{{{', '.join(keys)}}}`" if len(keys) > 1 else f"`{prefix}{keys[0]}`"


def _codes(words: Sequence[str]) -> str:
    return listed([f"`{word}`" for word in words], "and")


if __name__ == "__main__":
    sys.stdout.write(document())
