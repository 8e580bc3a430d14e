"""Every bound of the product with its reason. What an operator may set has its default here; relations are asserted below.

Sizes are bytes, durations seconds, `_max` and `_min` are inclusive.
"""

from __future__ import annotations

KIB = 1024
MIB = 1024 * KIB

# ---------------------------------------------------------------- requests
REQUEST_BYTES_MAX = 64 * MIB  # OTLP 1.11's recommended bound, counted after decompression
HTTP_RECEIVING_BYTES_MAX = 256 * MIB  # of all bodies of a listener that are not complete yet
HTTP_HEAD_BYTES_MAX = 32 * KIB  # request line and headers; also framing between two bytes of a body
HTTP_HEAD_TIME = 10.0  # for a head to come to its end: Slowloris holds a connection no longer
HTTP_BODY_TIME = 120.0  # and a body: 64 MiB at 4.5 Mbit/s
HTTP_IDLE_TIME = 300.0  # of a kept-alive connection without a request; agents send once a minute or more often
HTTP_LINGER = 2.0  # what a refused client goes on sending is read so long, lest a reset overtakes its answer
HTTP_PIPELINE_MAX = 16  # requests of one connection that wait for their answers; then it is read no further
HTTP_REUSE_TIME = (
    50.0  # a client takes no connection that has been idle for longer: many servers close theirs after 60 s
)
HTTP_SWEEP = 1.0  # how often these times are looked at
GRPC_RECEIVED_BYTES_MAX = 256 * MIB  # of messages that the native front has received and the loop has not yet handed in
GRPC_STREAMS_MAX = (
    10_000  # calls at once on one connection: more than any client has, and few enough to cost it, not us
)
FORWARD_REQUEST_BYTES_MAX = 4 * MIB  # a Collector's receiver and grpc's default take no more
EXPORT_REQUEST_BYTES_MAX = 4 * MIB  # most backends sit at grpc's default
EXPORT_REQUEST_SPANS = 8192  # the Collector's batch size
EXPORT_LINGER = 0.2  # the Collector's batch timeout: what is kept leaves within this time
RESPONSE_BYTES_MAX = 4 * MIB  # OTLP: responses are bounded too
MESSAGE_CHARS_MAX = 1024  # error texts towards clients and in logs
FIELD_NESTING_MAX = (
    96  # groups within groups in an unknown field; official parsers stop at 100, the messages around included
)
VALUE_NESTING_MAX = (
    30  # lists within lists in an OTLP/JSON value: with three messages a level, parsers' 100 are not reached
)
ENVELOPES_REPEATED_MAX = 64 * MIB  # bytes a request may grow by when resources and scopes are repeated for each owner

# ---------------------------------------------------------------- the load balancer
BALANCER_BYTES_MAX = 256 * MIB  # default of all requests held between receipt and acknowledgement
BALANCER_MEMBER_SHARE = 0.5  # one stuck sampler may hold this share of it, so that it never stops the tier
FORWARD_IN_FLIGHT_MAX = 2  # per member: one on the wire while one is handled; the rest coalesces behind them
# Per member, between two requests under load. By OTLP/HTTP a longer one saves nothing more: 5 ms cost as much CPU a span at 32
# spans a request, and p99 at 40,000 spans/s was 18 ms instead of 3.3. None at all cost 30 % more by gRPC.
FORWARD_PACE = 0.002
FORWARD_TIMEOUT = 5.0  # one attempt; the Collector's exporter default
AGENT_DEADLINE = 5.0  # assumed for an agent that named none
AGENT_DEADLINE_SHARE = 0.8  # re-sending ends here, so that the error still reaches the agent before it gives up
RESEND_MAX = 30.0  # and after this time at the latest, however patient the agent is: what it holds here is memory
FORWARD_RETRY_INITIAL = 0.05  # first pause before a part is tried again
FORWARD_RETRY_MAX = 1.0
SILENCE_MAX = 2.0  # requests waiting and nothing answered for so long: the member is routed around
STALL_MIN = 0.5  # a timer that is so late says that this process was away, not that its samplers were silent
PROBE_INTERVAL = 1.0  # how often a member that is routed around is asked whether it is back

# ---------------------------------------------------------------- membership
LEASE = 10.0
LEASE_MIN = 1.0
POLL = 1.0
STORE_TIMEOUT = 1.0  # one call of the lease store, and never more than a sixth of a lease
STORE_POLL_STARTING = 0.2  # poll while starting: ready soon after the last process is up
HINT_SPACING = 0.2  # hints and peers may hasten a read, at most to this pace: 500 members joining are 500 hints
HINT_PING = 5.0  # a subscription that has not answered a ping for so long is made anew: silence looks like health
HINT_RETRY = 1.0  # pause before a broken subscription is made again; polling goes on
MEMBERS_MAX = 1000  # views are read whole; beyond this a lookup table of another kind is needed
RING_SLOTS = 65537  # prime, as maglev asks; 65 slots a member at 1000 members
CONSISTENT_POINTS = 1000  # per unit of weight: peak/mean 1.06 at 10 members
WEIGHT_MAX = 10  # points of a consistent ring are built on the event loop: 10 members of weight 10 take half a second

# ---------------------------------------------------------------- the sampler
DECISION_WAIT = 30.0  # the Collector's default
NUM_TRACES = 50_000  # the Collector's default
DECISION_SLACK = 0.1  # a trace is decided within this time of its deadline
DECISIONS_MAX = 1_000_000  # remembered decisions of each kind when decision_cache names no size
DUPLICATE_WINDOW = 60.0  # how long the span ids of kept traces are remembered
DUPLICATE_BYTES_MAX = 64 * MIB  # and in how many bytes; sampler.decisions says what a trace takes
OUTBOX_SHARE = 0.5  # of the budget: with so much kept and undelivered, evicting more traces is no way to find room
BUFFER_SHARE = 0.75  # of the cgroup's or host's memory when memory_limiter names no budget
DECIDE_AT_ONCE = 2000  # traces decided before the event loop gets its turn: 40 µs each when kept
DECIDE_BYTES_AT_ONCE = (
    16 * MIB
)  # or of so much that is kept: a large resource is repeated for each trace that stands in it
DECIDE_PAUSE = 0.1  # until deciding is tried again when the undelivered take the whole budget
POLICIES_MAX = 1000
MARKS_MAX = 1024  # different questions about single spans; every 64 of them are 8 bytes more for each trace
MEMO_MAX = 4096  # answers that each question about single spans remembers; low-cardinality attributes have fewer values
MEMO_BYTES_MAX = (
    16 * MIB
)  # of a process's all together; an answer costs a microsecond, so forgetting them all is no loss
OTTL_CHARS_MAX = 8192  # of one condition: some hundred comparisons, read at every start
OTTL_NESTING_MAX = 32  # brackets within brackets: each level is a few calls deep, and Python has 1000
DECISION_RECORDS_BYTES = 32 * MIB  # what `tailgate explain` can tell of: some 600,000 decisions of ten policies
LATE_COUNTED_MAX = 10_000  # decided traces whose late spans are counted one by one

# ---------------------------------------------------------------- exporting
EXPORT_TIMEOUT = 5.0
EXPORT_HTTP_TIMEOUT = 30.0  # the Collector's default for OTLP/HTTP
EXPORT_IN_FLIGHT_MAX = 10  # the Collector's num_consumers
OUTBOX_REQUESTS_MAX = 1000  # the Collector's queue_size
RETRY_INITIAL = 5.0
RETRY_MAX = 30.0
RETRY_MULTIPLIER = 1.5
RETRY_ELAPSED_MAX = 300.0

# ---------------------------------------------------------------- replies and drain
RETRY_AFTER = 1.0  # what an overloaded process asks for; Python's SDK gives up when it exceeds its 10 s budget
RETRY_AFTER_MAX = 5.0
DRAIN_TIMEOUT = 25.0  # Kubernetes allows 30
DRAIN_RESERVE = 2.0  # what is undelivered so long before the end of the grace is given up, counted and named
DRAIN_RETRY_MAX = 1.0  # while draining, what a backend did not take is tried again after this time at the latest
DRAIN_ACCEPT = 5.0  # a draining sampler accepts stragglers at most so long
GRPC_LAST_WORDS = 0.1  # the native front's answers are written within this time; closing sooner would cut them off
DRAIN_QUIET = 1.0  # it stops sooner when for so long no request came from a balancer that is behind its view
DRAIN_DELAY = 5.0  # a draining balancer goes on serving so long: endpoints take time to disappear
SINK_CLOSE = 1.0  # a write to a file or terminal that still hangs after this, at the end, is left behind
RESTART_BACKOFF_INITIAL = 0.5  # a child process that dies is started again after this, doubling
RESTART_BACKOFF_MAX = 30.0
RESTART_SETTLED = 60.0  # a child that has lived so long starts again with the first pause
SIGNAL_REPEAT = 0.2  # a second SIGTERM so soon is the first one, sent to the process and to its group
FORCED_STOP = 2.0  # what a process with children of its own gets to end them before it is killed
READY_POLL = 0.1  # how often a child that is starting is asked whether it is ready
STARTING_REPORT = 10.0  # `tailgate up` names what is not ready yet so often
WORKER_ANSWER_MAX = 2.0  # a worker that answers later is left out of the parent's metrics
WORKER_READY_MAX = 0.8  # and of its readiness: Kubernetes' probes wait 1 s, and one frozen worker must not fail them
WORKERS_MAX = 256

GRPC_CONNECTION_AGE_MAX = (
    600.0  # where workers share a port: one that was started again gets its share of connections so
)
ARENA_SEGMENT_BYTES = 256 * KIB  # what the buffer takes and gives back at once; less where the budget is small

# ---------------------------------------------------------------- the process
FREED_BYTES_KEPT = 64 * MIB  # freed memory that is not given back at once; see gateway.net.process.keep_freed_memory

# ---------------------------------------------------------------- seen from outside
EXPLAIN_TIMEOUT = 1.0  # for one node's answer about a trace
EXPLAIN_TIME_MAX = 4.0  # for all that are asked because the owner does not know it
EXPLAIN_PARALLEL_MAX = 32  # questions of one node at once, for all who ask it
NOTES_PER_EVENT = 5  # log lines of one event per NOTE_WINDOW; the rest is counted
NOTE_WINDOW = 10.0

assert REQUEST_BYTES_MAX <= GRPC_RECEIVED_BYTES_MAX
assert REQUEST_BYTES_MAX <= HTTP_RECEIVING_BYTES_MAX
assert FORWARD_REQUEST_BYTES_MAX <= REQUEST_BYTES_MAX, "our own sampler must take what a balancer forwards"
assert EXPORT_REQUEST_BYTES_MAX <= REQUEST_BYTES_MAX
assert REQUEST_BYTES_MAX <= BALANCER_BYTES_MAX * BALANCER_MEMBER_SHARE, "one largest request must fit an idle balancer"
assert SILENCE_MAX < FORWARD_TIMEOUT, "silence is noticed before the attempt is given up"
assert SILENCE_MAX < AGENT_DEADLINE * AGENT_DEADLINE_SHARE, "there is time left to go elsewhere"
assert DRAIN_QUIET < DRAIN_ACCEPT
assert DRAIN_ACCEPT + DRAIN_RESERVE < DRAIN_TIMEOUT < 30
assert POLL < LEASE / 3 and LEASE_MIN <= LEASE
assert STORE_TIMEOUT < LEASE / 6, "a beat that fails leaves time for the next before the lease lapses"
assert WORKER_READY_MAX < 1 and WORKER_READY_MAX <= WORKER_ANSWER_MAX
assert RETRY_AFTER <= RETRY_AFTER_MAX
