"""`assay metrics`: what Prometheus asks for, a process of its own beside the daemon.

It is a client of the control socket as every command is, and imports console/ and control/ alone.
"""
