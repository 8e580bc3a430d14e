"""A load balancer's file: what its pipeline may hold, and the settings it becomes.

Owns the rules of this tier. The keys of each component are gateway.config's.
"""

from __future__ import annotations

from gateway.config import Document, settings
from gateway.config.balancing import LoadBalancing
from gateway.config.block import Block
from gateway.config.extensions import RedisMembership
from gateway.config.processors import Batch, MemoryLimiter
from gateway.config.reading import Reading, Reference, health, needs, read, receivers
from gateway.config.tail_sampling import TailSampling

_OUT_OF_PLACE: dict[type[Block], str] = {
    Batch: "batch has no place before load_balancing: a balancer coalesces by itself what goes to one sampler",
    TailSampling: "tail_sampling is done by samplers: put it in their file (tailgate sampler)",
}


def parse(document: Document) -> settings.LoadBalancerConfig:
    """The settings of a load balancer. Raises ConfigError with every mistake in the document."""
    reading = read(document)
    needs(reading, "receivers", "a receiver")
    exporter = _exporter(reading)
    _processors(reading)
    _extensions(reading)
    reading.close()
    assert exporter is not None and reading.telemetry is not None, "anything missing was a mistake"
    memory = [block.settings() for _, block in reading.blocks("processors", MemoryLimiter)]
    return settings.LoadBalancerConfig(
        receivers=receivers(reading),
        client=exporter.protocol.settings(),
        resolver=exporter.resolver_settings(),
        telemetry=reading.telemetry.settings(),
        memory=memory[0] if memory else None,
        health=health(reading),
    )


def _exporter(reading: Reading) -> LoadBalancing | None:
    """The one load_balancing exporter, if it is right."""
    named = reading.references("exporters")
    needs(reading, "exporters", "the exporter load_balancing")
    balancing = [reference for reference in named if reference.is_a(LoadBalancing)]
    for reference in named:
        if reference.component is not None and not reference.is_a(LoadBalancing):
            reading.note(reference.path, "a load balancer exports to load_balancing only; samplers export what is kept")
    for reference in balancing[1:]:
        reading.note(
            reference.path, f"a second load_balancing exporter; {balancing[0].id} is there, and a balancer has one"
        )
    blocks = reading.blocks("exporters", LoadBalancing)
    return blocks[0][1] if blocks else None


def _processors(reading: Reading) -> None:
    limiters: list[Reference] = []
    for reference in reading.references("processors"):
        for model, message in _OUT_OF_PLACE.items():
            if reference.is_a(model):
                reading.note(reference.path, message)
        if reference.is_a(MemoryLimiter):
            limiters.append(reference)
    for reference in limiters[1:]:
        reading.note(reference.path, f"a second memory_limiter; {limiters[0].id} is there")


def _extensions(reading: Reading) -> None:
    for reference in reading.references("extensions"):
        if reference.is_a(RedisMembership):
            reading.note(
                reference.path, "redis_membership is for samplers; a load balancer finds them with resolver.redis"
            )
