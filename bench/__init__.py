"""Measurements of Tailgate beside the OpenTelemetry Collector. README.md says how to run them and keeps the last results.

workload     the requests that are sent, fresh trace ids every time
load         a process that sends them, a fixed number in flight, and times the answers
sink         a process that takes requests, counts their spans and answers; also the floor, a server that does nothing else
http2        the least HTTP/2 a gRPC client will speak to
processes    children of a bench: starting, asking, stopping, and what they cost
subjects     what is measured: each tier, ours and the Collector's, and the bare servers
end_to_end   the question: what does a span cost in each tier, ours and the Collector's?
"""
