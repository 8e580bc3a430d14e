"""The second tier: holds traces until their decision, decides once, exports what is kept.

config      the models of a sampler's file
buffer      undecided traces: bytes, facts, deadlines, the budget
decisions   what was decided, for late spans and for spans sent again
policy/     one policy, one file; how their verdicts make a decision
sampler     the core
service     the shell
"""
