"""Processors `memory_limiter` and `batch`: what stands beside tail_sampling in nearly every file.

Owns their keys and what they mean here: the budget of the buffer, and the size of export requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from gateway import limits
from gateway.config import settings
from gateway.config.block import Block, Flaw
from gateway.config.durations import Duration
from gateway.config.scalars import Number, Unbuilt, Whole

_NO_COLLECTOR = "refused: bytes are counted, no garbage collection is forced"


class MemoryLimiter(Block):
    """The budget, in bytes: of the buffer of a sampler, of the requests a load balancer holds.

    What is used is the Collector's soft limit: the limit less the spike limit. At it a sampler decides its oldest traces early
    and a load balancer asks agents to come back later.
    """

    refused: ClassVar[Mapping[str, str]] = {
        "min_gc_interval_when_soft_limited": _NO_COLLECTOR,
        "min_gc_interval_when_hard_limited": _NO_COLLECTOR,
        "ballast_size_mib": _NO_COLLECTOR,
    }

    check_interval: Annotated[float, Duration(above=0)] = Field(
        1.0, description="Has no effect, by design: bytes are counted exactly as they come and go."
    )
    limit_mib: Annotated[int | None, Whole(1, 1 << 30)] = Field(None, description="The limit in MiB.")
    spike_limit_mib: Annotated[int | None, Whole(0, 1 << 30)] = Field(
        None, description="Taken off limit_mib; a fifth of it if unset or 0."
    )
    limit_percentage: Annotated[float | None, Number(0.01, 100)] = Field(
        None, description="The limit as a percentage of the memory of the cgroup or host."
    )
    spike_limit_percentage: Annotated[float | None, Number(0, 100)] = Field(
        None, description="Taken off limit_percentage; a fifth of it if unset or 0."
    )

    def flaws(self) -> Iterator[Flaw]:
        """One limit, and a spike of the same unit below it."""
        if self.limit_mib is None and self.limit_percentage is None:
            yield Flaw((), "one of limit_mib and limit_percentage must be set")
        if self.limit_mib is not None and self.limit_percentage is not None:
            yield Flaw(("limit_percentage",), "stands beside limit_mib; only one of the two can count")
        for unit in ("mib", "percentage"):
            limit, spike = getattr(self, f"limit_{unit}"), getattr(self, f"spike_limit_{unit}")
            if spike is not None and limit is None:
                yield Flaw((f"spike_limit_{unit}",), f"has no effect without limit_{unit}")
            elif spike is not None and spike >= limit:
                yield Flaw((f"spike_limit_{unit}",), f"must be smaller than limit_{unit}")

    def settings(self) -> settings.MemoryLimiter:
        """The settings."""
        if self.limit_mib is not None:
            limit = self.limit_mib * limits.MIB
            return settings.MemoryLimiter(limit_bytes=limit - ((self.spike_limit_mib or 0) * limits.MIB or limit // 5))
        assert self.limit_percentage is not None
        share = self.limit_percentage - (self.spike_limit_percentage or self.limit_percentage / 5)
        return settings.MemoryLimiter(limit_share=share / 100)


class Batch(Block):
    """How kept spans are put together for export."""

    unbuilt: ClassVar[Unbuilt] = {"metadata_keys": "", "metadata_cardinality_limit": ""}

    timeout: Annotated[float, Duration()] = Field(
        limits.EXPORT_LINGER, description="The longest that a kept span waits for others."
    )
    send_batch_size: Annotated[int, Whole(1, why="to send at once, set timeout to 0s")] = Field(
        limits.EXPORT_REQUEST_SPANS, description="So many spans leave without waiting longer."
    )
    send_batch_max_size: Annotated[int, Whole(0)] = Field(
        0, description="The most spans in a request; `0` means no bound but the 4 MiB of a request."
    )

    def flaws(self) -> Iterator[Flaw]:
        """A request can hold what makes it leave."""
        if 0 < self.send_batch_max_size < self.send_batch_size:
            yield Flaw(("send_batch_max_size",), f"must be 0 or at least send_batch_size ({self.send_batch_size})")

    def settings(self) -> settings.Batch:
        """The settings."""
        return settings.Batch(self.timeout, self.send_batch_size, self.send_batch_max_size)
