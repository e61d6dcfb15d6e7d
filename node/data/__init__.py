"""Data sets: files read, copied and kept, and a job's view of them as arrays.

Read by workers, never by the daemon itself. It imports protocol/spec and polars (`readers` alone),
and neither the network nor the chain.
"""
