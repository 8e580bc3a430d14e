"""The first tier: stateless. It knows the ring and keeps nothing but what it has not yet acknowledged.

config      the models of a load balancer's file
route       one request to its parts, one for each owner
balancer    the core: replies, outboxes, views, who is routed around
service     the shell: builds the core, the servers and the driver, and joins them
"""
