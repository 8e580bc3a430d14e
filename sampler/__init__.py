"""The second tier: holds traces until their decision, decides once, exports what is kept.

config      the models of a sampler's file
buffer      undecided traces: bytes, facts, deadlines, what they cost
seen        the span ids of one trace, packed
decisions   what was decided, for late spans and for spans sent again
policy/     one policy, one file; how their verdicts make a decision
kept        kept spans made fit to leave: readable, in requests of a bounded size
exports     the exporters' outboxes, and what becomes of what does not arrive
drain       how long the door stays open at the end, and when what is left is given up
sampler     the core
service     the shell
"""
