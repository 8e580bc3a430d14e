"""What both tiers agree on. A module enters here only when both tiers use it; the wire is here because it is one subject.

core        the seam between deciding and doing: Core, its events and its actions
errors      the family of errors that are not bugs
limits      every bound, its reason, and the relations between bounds
config/     the Collector's language: YAML to validated settings, mistakes with line and column
metrics     every instrument in one table, and the tally the cores count in
collector_metrics  what a Collector calls the same numbers
explanation what is said about one trace, in words
ring        trace id to owner: an immutable slot table built from a view
membership  members and views: who is alive, as one numbered value
lease       how a replica keeps its lease and its view up to date; pure
outbox      one destination: what waits, what is in flight, when it is tried again
otlp/       the wire, and nothing else knows it
net/        the shell: the only folder here that knows sockets, clocks, processes and Redis
cli         the `tailgate` command
"""
