"""The product as its users meet it: real processes, a real Redis, real SDK exporters, and failures while traffic runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.membership import Member, RingParameters, make_view
from gateway.ring import Ring
from tests.integration.cluster import Cluster, verdict
from tests.integration.processes import wait_for
from tests.integration.traffic import Trace, Traffic, make_traces

pytestmark = [pytest.mark.integration, pytest.mark.timeout(180)]

TRACES = 2000
LASTING = 10.0  # seconds of traffic
SPREAD = 2.5  # seconds over which the spans of one trace arrive
NOTHING_WRONG = {"missing": 0, "split": 0, "doubled": 0, "altered": 0, "not to be kept": 0, "unknown": 0}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


def traffic(cluster: Cluster, seed: int) -> tuple[list[Trace], Traffic]:
    traces = make_traces(TRACES, seed)
    running = Traffic(traces, cluster.agents(), LASTING, SPREAD, seed)
    running.start()
    return traces, running


def until(running: Traffic, seconds: float) -> None:
    """Wait for this instant of the traffic."""
    time.sleep(max(0.0, running.began_at + seconds - time.monotonic()))


def test_every_trace_arrives_whole_and_once(cluster: Cluster) -> None:
    """Run 1, nothing fails: every trace that must be kept arrives whole and once, byte for byte, and no other arrives."""
    traces, running = traffic(cluster, seed=1)
    running.finish()
    cluster.settle()
    assert verdict(traces, cluster.backend.spans) == NOTHING_WRONG
    spans = sum(len(trace.spans) for trace in traces)
    kept = sum(len(trace.spans) for trace in traces if trace.keep)
    assert cluster.total("tailgate_spans_exported_total") == kept == cluster.backend.count()
    assert cluster.total("tailgate_spans_dropped_total") == spans - kept
    assert cluster.total("tailgate_spans_lost_total") == 0
    assert cluster.total("tailgate_spans_forwarded_total") == spans
    deciding = {cluster.metric(sampler.name, "tailgate_traces_decided_total") > 0 for sampler in cluster.samplers}
    assert deciding == {True}, "every sampler has its share"


def test_redis_stopped_and_started_empty(cluster: Cluster) -> None:
    """Run 2, Redis is stopped and started again empty while traffic runs: the same."""
    traces, running = traffic(cluster, seed=2)
    until(running, 2.0)
    cluster.redis.stop()
    until(running, 5.0)
    cluster.redis.start()
    running.finish()
    cluster.settle()
    assert verdict(traces, cluster.backend.spans) == NOTHING_WRONG
    assert all(process.ready() for process in (*cluster.balancers, *cluster.samplers))


def test_a_balancer_is_killed(cluster: Cluster) -> None:
    """Run 3, a balancer is killed -9 while traffic runs: the same, the agents having gone to the other one."""
    traces, running = traffic(cluster, seed=3)
    until(running, 3.0)
    cluster.balancers[0].kill()
    running.finish()
    cluster.settle()
    assert verdict(traces, cluster.backend.spans) == NOTHING_WRONG
    assert any(agent.failed_over_at for agent in running.agents), "the agents noticed"


def test_a_sampler_is_killed(cluster: Cluster) -> None:
    """Run 4, a sampler is killed -9: the cluster goes on within 3 s, and no trace of the survivors is hurt."""
    names = {sampler.name: cluster.endpoints[sampler.name] for sampler in cluster.samplers}
    before = Ring(
        make_view(1, [Member(name, endpoint) for name, endpoint in names.items()], RingParameters("consistent"))
    )
    traces, running = traffic(cluster, seed=4)
    until(running, 2.0)
    victim = cluster.samplers[0]
    victim.kill()
    killed_at = time.monotonic()
    running.finish()
    cluster.settle()
    survivors = [trace for trace in traces if before.owner(trace.trace_id).id != victim.name]
    afterwards = [trace for trace in traces if min(trace.sent_at) > killed_at + 3]
    assert len(survivors) > TRACES / 2 and len(afterwards) > TRACES / 20
    unhurt = {trace.trace_id: trace for trace in (*survivors, *afterwards)}
    arrived = {trace_id: spans for trace_id, spans in cluster.backend.spans.items() if trace_id in unhurt}
    assert verdict(list(unhurt.values()), arrived) == NOTHING_WRONG
    late = [at for agent in running.agents for at in agent.failed_over_at if at > killed_at + 3]
    assert not late, "3 s after the kill no agent is refused any more"
    wait_for(
        "the view is without the dead",
        lambda: cluster.metric("balancer0", "tailgate_view_members", state="active") == 2,
    )


def test_drain_leaves_nothing_behind(cluster: Cluster) -> None:
    """SIGTERM: samplers decide and export what they hold, leave the ring, and every process exits with 0."""
    traces = make_traces(100, seed=5)
    running = Traffic(traces, cluster.agents(2), 2.0, 0.5, seed=5)
    running.start()
    running.finish()
    statuses = [process.end() for process in (*cluster.balancers, *cluster.samplers)]
    assert statuses == [0] * 5, [process.words() for process in cluster.samplers]
    assert verdict(traces, cluster.backend.spans) == NOTHING_WRONG
