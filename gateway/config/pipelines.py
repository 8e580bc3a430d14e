"""Section `service`: which components run, in which pipeline, and what the process says of itself.

Owns the keys of the section. How components may stand together is reading's and the tiers' business.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import Field

from gateway.config import settings
from gateway.config.addresses import Listen
from gateway.config.block import LIST, Block, Flaw
from gateway.config.scalars import Choice, Only, Text, Unbuilt, Whole
from gateway.config.settings import Endpoint

METRICS = Endpoint("localhost", 8888)
Ids = Annotated[list[Annotated[str, Text("the id of a component")]], LIST]


class Logs(Block):
    """What the process writes to its log."""

    unbuilt: ClassVar[Unbuilt] = dict.fromkeys(
        (
            "development",
            "disable_caller",
            "disable_stacktrace",
            "disable_zap_resource",
            "error_output_paths",
            "initial_fields",
            "output_paths",
            "processors",
            "sampling",
        ),
        "",
    )

    level: Annotated[str, Choice(("debug", "info", "warn", "error"), fold=True)] = Field(
        "info", description="The least that is written."
    )
    encoding: Annotated[str, Choice(("auto", "json", "console"))] = Field(
        "auto", description="`auto` writes for people on a terminal and JSON elsewhere."
    )


_UNITS = "the names of metrics are fixed and carry their units and types"


class PrometheusExporter(Block):
    """Where Prometheus finds the metrics."""

    unbuilt: ClassVar[Unbuilt] = {
        "resource_constant_labels": "",
        "translation_strategy": _UNITS,
        "with_resource_constant_labels": "",
        "without_type_suffix": _UNITS,
        "without_units": _UNITS,
    }

    host: Annotated[str, Text("a host", r"[A-Za-z0-9_.:\-]{1,253}")] = Field(
        METRICS.host, description="Where to listen."
    )
    port: Annotated[int, Whole(0, 65535)] = Field(METRICS.port, description="And on which port.")
    without_scope_info: Annotated[bool, Only(True, "metrics have no scope")] = Field(
        True, description="Always `true`: metrics have no scope."
    )


class PullExporter(Block):
    """How metrics are pulled."""

    prometheus: PrometheusExporter = Field(description="By Prometheus.")


class Pull(Block):
    """A reader that is asked for metrics."""

    unbuilt: ClassVar[Unbuilt] = {"cardinality_limits": "", "producers": ""}

    exporter: PullExporter = Field(description="In which form.")


class Reader(Block):
    """One way to read the metrics."""

    unbuilt: ClassVar[Unbuilt] = {"periodic": "metrics are pulled, not pushed"}

    pull: Pull = Field(description="The reader that is asked.")


class Metrics(Block):
    """Where the process's own metrics are served, on /metrics. Give either `address` or `readers`."""

    unbuilt: ClassVar[Unbuilt] = {"views": ""}

    level: Annotated[str, Choice(("none", "basic", "normal", "detailed"), fold=True)] = Field(
        "normal", description="`none` serves no metrics; the others all serve the same."
    )
    address: Annotated[Endpoint | None, Listen()] = Field(
        None, description=f"Where to listen; {METRICS} if nothing is said."
    )
    readers: list[Reader] | None = Field(None, description="The same in the Collector's newer form: one pull reader.")

    def flaws(self) -> Iterator[Flaw]:
        """There is one place to serve."""
        readers = self.readers or []
        if self.address is not None and self.readers is not None:
            yield Flaw(("readers",), "stands beside address; only one of the two can count")
        if self.readers == []:
            yield Flaw(("readers",), "names no reader; level: none turns metrics off")
        for index in range(1, len(readers)):
            yield Flaw(("readers", index), "a second reader is not built yet")

    def settings(self) -> Endpoint | None:
        """Where to serve, None for not at all."""
        if self.level == "none":
            return None
        for reader in self.readers or []:
            prometheus = reader.pull.exporter.prometheus
            return Endpoint(prometheus.host, prometheus.port)
        return self.address or METRICS

    def where(self) -> tuple[str | int, ...]:
        """The path, below this block, of what names the endpoint."""
        return ("readers", 0, "pull", "exporter", "prometheus") if self.readers else ("address",)


class Telemetry(Block):
    """What the process says of itself."""

    unbuilt: ClassVar[Unbuilt] = {"resource": "", "traces": ""}

    logs: Logs = Field(Logs(), description="Its log.")
    metrics: Metrics = Field(Metrics(), description="Its metrics.")

    def settings(self) -> settings.Telemetry:
        """The settings."""
        return settings.Telemetry(self.logs.level, self.logs.encoding, self.metrics.settings())


class Pipeline(Block):
    """What traces pass through, each by id."""

    receivers: Ids = Field([], description="Where traces come in.")
    processors: Ids = Field([], description="What they pass, in order.")
    exporters: Ids = Field([], description="Where they go.")


class Service(Block):
    """Which of the components run. What is defined above and not named here stays out of the way."""

    extensions: Ids = Field([], description="The extensions that run.")
    telemetry: Telemetry = Field(Telemetry(), description="What the process says of itself.")
    pipelines: dict[str, Pipeline] = Field(description="One pipeline, `traces` or `traces/name`.")
