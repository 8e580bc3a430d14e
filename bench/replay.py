"""How many recorded spans a second does `tailgate replay` take, reading their JSON included?

    .venv/bin/python -m bench.replay [--spans 512] [--json FILE] [--tiny]

One process, lines as the Collector's file exporter writes them, three policies that keep 6 %. Beside the whole command its parts
by turns: reading a line to protobuf (gateway.otlp.transcode), and what else could have done that: orjson alone, which is only
the first half of the work, and protobuf's own reader of JSON, which needs the ids put right first. All readers must come to the
same request. Goal: 50,000 spans of 350 bytes a second. The checksum counts the spans read and the traces decided.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import orjson
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench import micro, report, workload
from gateway import kernel
from gateway.config.settings import OtlpClient, OtlpExporter, PolicySettings, SamplerConfig, TailSampling, Telemetry
from gateway.net import replay
from gateway.otlp.otlp_json import spans_of, to_json_line
from gateway.otlp.transcode import to_protobuf
from sampler.replay import Replay

SPANS = 512  # a line
LINES = 256
GOAL = 50_000
ROUNDS = 5
POLICIES = (
    PolicySettings("errors", "status_code", (("status_codes", ("ERROR",)),)),
    PolicySettings("slow", "latency", (("threshold_ms", 5000),)),
    PolicySettings("some", "probabilistic", (("sampling_percentage", 5.0),)),
)
_IDS = ("traceId", "spanId", "parentSpanId")


@dataclass(frozen=True)
class Result:
    """One form of the work. `ns` is CPU a span."""

    form: str
    spans: int  # a line
    ns: float
    checksum: int


def official(line: bytes) -> bytes:
    """The same by protobuf's own reader of JSON."""
    document = orjson.loads(line)
    for span in spans_of(document):
        for key in _IDS:
            if key in span:
                span[key] = base64.b64encode(bytes.fromhex(span[key])).decode()
    return ParseDict(document, ExportTraceServiceRequest()).SerializeToString()


def check(line: bytes) -> None:
    """Raises DisagreementError unless both readers make the same request of it."""
    made = {read.__name__: ExportTraceServiceRequest.FromString(read(line)) for read in (to_protobuf, official)}
    micro.agreed({name: crc32(message.SerializeToString(deterministic=True)) for name, message in made.items()})


def parts(lines: Sequence[bytes], spans: int, asked: object) -> list[Result]:
    """What reading costs, form by form."""
    works = {
        "to_protobuf": micro.over(lines, lambda line: len(to_protobuf(line)) and spans),
        "orjson, to dicts only": micro.over(lines, lambda line: len(orjson.loads(line)) and spans),
        "protobuf's reader": micro.over(lines[:1], lambda line: len(official(line)) and spans),
    }
    costs = micro.cost(works, asked.rounds, asked.slice)
    return [Result(form, spans, ns, spans * len(lines)) for form, ns in costs.items()]


def whole(file: Path, spans: int, rounds: int) -> tuple[Result, float]:
    """The command on this file; and how many spans a second of the clock it took at best."""
    backend = OtlpExporter("backend", OtlpClient())
    config = SamplerConfig((), TailSampling(POLICIES, decision_wait=10.0), (backend,), Telemetry())
    best, fastest, decided = float("inf"), float("inf"), 0
    for _ in range(rounds):
        out = io.BytesIO()
        cpu, clock = time.process_time_ns(), time.perf_counter_ns()
        status = replay.run(Replay(config, 2**30), replay.Plan([str(file)]), out, lambda words: None)
        best = min(best, (time.process_time_ns() - cpu) / spans)
        fastest = min(fastest, (time.perf_counter_ns() - clock) / spans)
        decided = out.getvalue().count(b"\n")
        assert status == 0 and decided == spans // workload.SPANS_A_TRACE, f"{decided} traces decided, status {status}"
    return Result("the whole command", 0, best, decided), 1e9 / fastest


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print."""
    asked = micro.arguments("speed of a replay", argv, ("--spans", int, SPANS, f"a line; {SPANS}"), rounds=ROUNDS)
    told = f"{report.header()} · kernel {kernel.FORM}"
    print(told, flush=True)
    count = 4 if asked.tiny else LINES * SPANS // asked.spans
    lines = [to_json_line(request) for request in micro.requests_of(asked.spans, count)]
    check(lines[0])
    results = parts(lines, asked.spans, asked)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "recording.jsonl")
        file.write_bytes(b"".join(lines))
        result, rate = whole(file, asked.spans * count, asked.rounds)
    results.append(result)
    rows = [[one.form, f"{one.ns / 1000:.1f}", f"{1e9 / one.ns:,.0f}"] for one in results]
    print("", report.markdown(["", "µs of CPU a span", "spans/s of CPU"], rows), "", sep="\n")
    reached = "" if asked.tiny else f", goal {GOAL:,}: {'reached' if rate >= GOAL else 'NOT reached'}"
    print(f"{rate:,.0f} spans/s by the clock{reached}")
    print(f"checksum {sum(one.checksum for one in results)}")
    report.write(asked.json, "replay", told, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
