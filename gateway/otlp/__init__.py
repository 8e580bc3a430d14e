"""The wire. Nothing outside this package knows a field number.

An ExportTraceServiceRequest is `repeated ResourceSpans`, so requests concatenate; a singular field given twice takes the last
value; repeated fields append. Everything here rests on these three facts.

schema      field numbers, with the messages they come from
split       what the kernel finds in a request, as Python objects: spans, whose they are, in which envelope
join        spans in their envelopes back to requests
facts       what policies ask of spans, read without decoding them
reply       what an OTLP client is told, in bytes
inflate     gzip bodies, never beyond the bound
readable    the last look before export: could a backend read this?
otlp_json   OTLP/JSON lines for the file exporter
transcode   OTLP/JSON requests to protobuf
"""
