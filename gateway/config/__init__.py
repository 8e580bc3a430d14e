"""The Collector's language: YAML files to settings, with every mistake named by file, line and column.

On the way in:
tree            nodes that know their file, line and column
source          the text of one file to a tree, strictly
substitution    ${env:VAR} in the values of a tree
within          where in a file a character of a value stands
document        several files to one document; which tier it is for

The language itself. It is one for both tiers (a file may define what it does not use), so its models live here:
words           how things are said: what was given, did you mean
scalars         kinds of values: text, numbers, sizes, choices
durations       kinds of values: 1h30m
addresses       kinds of values: where to listen, where to send
block           a mapping with known keys; what pydantic finds, said in our words and at its place
receivers       receiver otlp
headers         what is sent with every request
otlp            exporter otlp_grpc
processors      memory_limiter, batch
policy_types    the types of policies that hold no others
policies        policies, and those that hold others
tail_sampling   the sampling processor
exporters       debug, file
balancing       exporter load_balancing and its resolvers
extensions      health_check, redis_membership
pipelines       section service: pipelines and telemetry
catalogue       which components there are
reading         a whole document judged: definitions, references, one pipeline
reference       docs/CONFIGURATION.md, written from the models

On the way out:
settings        the plain frozen values; the tiers' own config modules build them
"""

from gateway.config.document import Document, load, tier_of

__all__ = ["Document", "load", "tier_of"]
