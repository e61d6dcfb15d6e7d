"""The control socket: JSON-RPC methods as one table, their types, and the server.

A new method begins in `methods`, its types in `params`, `results` and `job_results`, its meaning in
`api`; node/api.py implements it. It imports protocol's `errors` and `params`, and no other room:
the OpenRPC document follows from the table.
"""
