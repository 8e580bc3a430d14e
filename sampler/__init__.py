"""The second tier: holds traces until their decision, decides once, exports what is kept.

config      a sampler's file: its rules, and its policies judged at their place
lint        what is allowed in a file and probably not meant
semantics   where strict semantics would decide differently
outline     a file's policies, each with its place
anchors     whether a regular expression is anchored
buffer      undecided traces: bytes, facts, deadlines, what they cost
seen        the span ids of one trace, packed
decisions   what was decided, for late spans and for spans sent again
late        how many late spans single traces had
policy/     one policy, one file; how the configuration nests them
ottl/       conditions on spans in OpenTelemetry's own language
w3c         what a W3C tracestate is, member by member
tracestate  what W3C tracestate says of sampling, read and written
randomness  the randomness that a trace brings
stamp       why they were kept, written on kept spans
kept        kept spans made fit to leave: readable, in requests of a bounded size
exports     the exporters' outboxes, and what becomes of what does not arrive
drain       how long the door stays open at the end, and when what is left is given up
sampler     the core
replay      recorded requests through the core in virtual time
service     the shell
"""
