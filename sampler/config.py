"""A sampler's file: what its pipeline may hold, in which order, and the settings it becomes.

Owns the rules of this tier. The keys of each component are gateway.config's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gateway import limits
from gateway.config import Document, settings
from gateway.config.balancing import LoadBalancing
from gateway.config.block import Block
from gateway.config.document import text_of
from gateway.config.exporters import DebugExporter, FileExporter
from gateway.config.extensions import RedisMembership
from gateway.config.otlp import OtlpExporter, OtlpHttpExporter
from gateway.config.processors import Batch, MemoryLimiter
from gateway.config.reading import Reading, Reference, health, needs, read, receivers
from gateway.config.receivers import OtlpReceiver
from gateway.config.settings import PolicySettings
from gateway.config.tail_sampling import TailSampling, right_policies
from gateway.config.tree import Path, Scalar, dotted, find, value_mark
from gateway.config.within import place
from gateway.errors import Mistake
from sampler.lint import lint
from sampler.policy import BadPolicyError
from sampler.policy.build import build
from sampler.policy.restrictions import subs


def parse(document: Document) -> settings.SamplerConfig:
    """The settings of a sampler. Raises ConfigError with every mistake in the document."""
    reading = read(document)
    needs(reading, "receivers", "a receiver")
    _processors(reading)
    _exporters(reading)
    membership = _membership(reading)
    _policies(reading)
    reading.close()
    assert reading.telemetry is not None, "anything missing was a mistake"
    ((_, tail_sampling),) = reading.blocks("processors", TailSampling)
    batch = [block.settings() for _, block in reading.blocks("processors", Batch)]
    memory = [block.settings() for _, block in reading.blocks("processors", MemoryLimiter)]
    return settings.SamplerConfig(
        receivers=receivers(reading),
        tail_sampling=tail_sampling.settings(),
        exporters=_exporter_settings(reading),
        telemetry=reading.telemetry.settings(),
        batch=batch[0] if batch else settings.Batch(),
        memory=memory[0] if memory else None,
        health=health(reading),
        membership=membership.settings() if membership else None,
    )


def remarks(document: Document) -> list[Mistake]:
    """What is allowed in a sampler's file and probably not meant: its message begins with `warning: ` or `note: `.

    Raises ConfigError as `parse` does.
    """
    tail_sampling = parse(document).tail_sampling
    reading = read(document)
    (name,) = (reference.id for reference in reading.references("processors") if reference.is_a(TailSampling))
    base = reading.components["processors"][name].path
    found = lint(tail_sampling)
    marked = ((value_mark(document.root, (*base, *remark.path)), remark) for remark in found)
    return [Mistake(*mark, f"{remark.kind}: {remark.message}") for mark, remark in marked]


# ---------------------------------------------------------------- policies that only their own module can judge


def _policies(reading: Reading) -> None:
    """Every policy can be built; all that cannot are noted, in every tail_sampling that is defined."""
    for component in list(reading.components["processors"].values()):
        if component.model is not TailSampling:
            continue
        block = component.block.settings() if isinstance(component.block, TailSampling) else None
        right = right_policies(reading.document.root, component.path)
        given = _given(reading, component.path) if block is None else block
        found = [(index, error) for index, policy in right for error in _bad_leaves(given, policy)]
        for index, error in found:
            _note(reading, (*component.path, "policies", index, *error.path), error)
        if block is not None and not found:
            _whole(reading, component.path, block)


def _given(reading: Reading, path: Path) -> settings.TailSampling:
    """What a tail_sampling with mistakes says of what its policies mean."""
    node = find(reading.document.root, (*path, "semantics"))
    strict = isinstance(node, Scalar) and text_of(node) == "strict"
    return settings.TailSampling((), semantics="strict" if strict else "parity")


def _bad_leaves(given: settings.TailSampling, policy: PolicySettings) -> Iterator[BadPolicyError]:
    """What is wrong with a policy, or with each of those inside it, by itself. A bound that means something only under other
    semantics has been judged already."""
    inside = subs(policy)
    for path, sub in inside:
        for error in _bad_leaves(given, sub):
            error.path = (*path, *error.path)
            yield error
    if not inside:
        yield from _bad_entries(given, policy)


def _bad_entries(given: settings.TailSampling, policy: PolicySettings) -> Iterator[BadPolicyError]:
    """What is wrong with a policy that holds no others: where it is an entry of a list, with each of those that follow too."""
    first = _mistake(given, policy)
    if first is None:
        return
    yield first
    if len(first.path) > 1 and isinstance(first.path[-1], int):
        *start, key, index = first.path
        alike = tuple(each for each in policy.values if not isinstance(each[1], tuple))
        for name, at, entry in _entries(policy):
            further = _mistake(given, replace(policy, values=(*alike, (name, (entry,)))))
            if further is not None and further.path == (*start, name, 0) and (name, at) != (key, index):
                further.path = (*start, name, at)
                yield further


def _entries(policy: PolicySettings) -> Iterator[tuple[str, int, object]]:
    """(key, index, entry) of all that stands in its lists."""
    for name, entries in policy.values:
        if isinstance(entries, tuple):
            yield from ((name, at, entry) for at, entry in enumerate(entries))


def _mistake(given: settings.TailSampling, policy: PolicySettings) -> BadPolicyError | None:
    try:
        build(settings.TailSampling((policy,), semantics=given.semantics))
    except BadPolicyError as error:
        return error
    return None


def _whole(reading: Reading, path: Path, block: settings.TailSampling) -> None:
    """The policies one by one with all options, and if each is right, all of them together."""
    alone = [replace(block, policies=(policy,)) for policy in block.policies]
    bad = False
    for index, one in enumerate(alone):
        try:
            build(one)
        except BadPolicyError as error:
            bad = True
            _note(reading, (*path, "policies", index, *error.path), error)
    if not bad:
        try:
            build(block)
        except BadPolicyError as error:
            _note(reading, (*path, "policies"), error)


def _note(reading: Reading, path: Path, error: BadPolicyError) -> None:
    """A mistake at its place within a value, unless the language has found one there already."""
    node = find(reading.document.root, path)
    mark = (
        place(node, error.line, error.column) if isinstance(node, Scalar) else value_mark(reading.document.root, path)
    )
    if not any((found.file, found.line, found.column) == mark for found in reading.mistakes):
        reading.mistakes.append(Mistake(*mark, str(error), dotted(path)))


def _processors(reading: Reading) -> None:
    """One tail_sampling; one memory_limiter at most, before it; one batch at most, behind it."""
    named = reading.references("processors")
    sampling = _one(reading, named, TailSampling, "tail_sampling")
    limiter = _one(reading, named, MemoryLimiter, "memory_limiter")
    batch = _one(reading, named, Batch, "batch")
    undefined = any(reference.component is None or reference.component.model is None for reference in named)
    if reading.pipeline and sampling is None and not undefined:
        pipeline = ("service", "pipelines", reading.pipeline)
        reading.note(
            (*pipeline, "processors") if named else pipeline, "a sampler's pipeline needs tail_sampling", at_key=True
        )
    if sampling is None:
        return
    if limiter is not None and named.index(limiter) > named.index(sampling):
        reading.note(limiter.path, "memory_limiter bounds what tail_sampling holds: it must come before it")
    if batch is not None and named.index(batch) < named.index(sampling):
        reading.note(batch.path, "batch sets the size of export requests: it must come after tail_sampling")


def _one(reading: Reading, named: list[Reference], model: type[Block], kind: str) -> Reference | None:
    """The first of a kind; any further one is noted."""
    found = [reference for reference in named if reference.is_a(model)]
    for reference in found[1:]:
        if reference.id != found[0].id:
            reading.note(reference.path, f"a second {kind}; {found[0].id} is there, and a sampler has one")
    return found[0] if found else None


def _exporters(reading: Reading) -> None:
    needs(reading, "exporters", "an exporter")
    for reference in reading.references("exporters"):
        if reference.is_a(LoadBalancing):
            reading.note(
                reference.path, "load_balancing is for load balancers: put it in their file (tailgate loadbalancer)"
            )


def _exporter_settings(reading: Reading) -> tuple[settings.Exporter, ...]:
    """The settings of the pipeline's exporters, in its order."""
    blocks = reading.blocks("exporters", Block)
    return tuple(
        block.settings(name)
        for name, block in blocks
        if isinstance(block, (OtlpExporter, OtlpHttpExporter, DebugExporter, FileExporter))
    )


def _membership(reading: Reading) -> RedisMembership | None:
    """The membership, if the sampler is to be a member; balancers must then be able to forward to it."""
    named = [reference for reference in reading.references("extensions") if reference.is_a(RedisMembership)]
    if not named:
        return None
    servers = [block.protocols.grpc for _, block in reading.blocks("receivers", OtlpReceiver) if reading.pipeline]
    broken = any(
        reference.component is None or reference.component.block is None
        for reference in reading.references("receivers")
    )
    least = limits.FORWARD_REQUEST_BYTES_MAX // limits.MIB
    if not broken and not any(servers):
        reading.note(named[0].path, "a member needs a receiver with protocols.grpc: load balancers forward to it")
    elif not broken and all(server is None or server.max_recv_msg_size_mib < least for server in servers):
        reading.note(
            named[0].path,
            f"a member needs max_recv_msg_size_mib of at least {least}: load balancers forward so much at once",
        )
    blocks = reading.blocks("extensions", RedisMembership)
    return blocks[0][1] if blocks else None
