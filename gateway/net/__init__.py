"""The shell: sockets, clocks, processes, signals, logs and Redis. It performs what cores decide, and decides nothing itself.

driver        the one loop: feeds events to a core, performs its actions, wakes it at its deadlines
intake        a request from any server to a Received, and its Reply back to the server
grpc_front    what every gRPC front is and says to its clients
grpc_server   OTLP/gRPC and the gRPC health service, on grpcio
native_server the same on pygrpc-native
native_health the gRPC health service there
http_server   OTLP/HTTP
http_connection  one connection of http_server
client        OTLP/gRPC to destinations: performs Send
http_client   OTLP/HTTP to destinations: performs Send
http_exchange one connection of http_client
hop           a balancer's way to samplers: one client or the other, member by member
sinks         the exporters that stay on this machine: debug, file
lease_store   leases in Redis
membership    keeps a lease, watches the views
admin         health, readiness, metrics and /debug/trace over HTTP
explain       who knows about a trace: finds its owner and asks it
log           structlog; notes at a bounded rate
process       one process of a tier from its start to its exit status
tier          what the command needs to know of a tier
supervise     child processes: started, watched, started again, ended
tether        children that do not outlive their parent
workers       the parent of several workers: one health, one metrics, one answer about a trace for all
replay        recorded requests from files, decisions to stdout
embedded_redis  a Redis for `tailgate up`
"""
