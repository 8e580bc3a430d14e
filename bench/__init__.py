"""Measurements of Tailgate beside the OpenTelemetry Collector. README.md says how to run them and keeps the last results.

The questions, one a file:

targets      are the goals reached?
end_to_end   what does a span cost in each tier, ours and the Collector's?
balancer     and in the load balancer, from small requests to large?
sampler      and in the sampler, sent to directly or fed by a load balancer?
memory       what does a buffered span take, and what is given back after a burst?
growth       does a span's cost grow with the traces that are buffered, or with the policies?
split        what does dividing a request cost?
facts        what does reading the facts of a request cost?
match        what do policies cost a span that ask about single spans?
decide       what does a decision cost, against the number of policies?
ring         what does finding an owner cost, against the number of members?
workers      what does a second worker of a tier take, and what does a span cost then?
hop          what does the hop between the tiers cost, by OTLP/gRPC and by OTLP/HTTP?
soak         does a gRPC front's memory stay flat under everything that clients do?
replay       how many recorded spans a second go through the policies, JSON included?
probability  are the counts right that a backend computes of what is kept?
parity       (no bench) does a running Collector decide as we do?
plot         what do the results look like?

What they are made of:

tiers        a tier under load through the network, ours and the Collector's alternating
micro        a part of the program in the bench's own process, its forms by turns
report       whose the results are, as a table, as a file
workload     the requests that are sent, fresh trace ids every time
load         a process that sends them, a fixed number in flight, and times the answers; load_http the same by OTLP/HTTP
sink         a process that takes requests, counts their spans and answers; also the floor, a server that does nothing else
http2        the least HTTP/2 a gRPC client will speak to; http1 the same of HTTP/1.1
processes    children of a bench: starting, asking, stopping, and what they cost
population   traces of services whose true numbers are known; consistent decides about them as a plain model
subjects     what is measured: each tier, ours and the Collector's, and the bare servers
"""
