"""Looks at one home from outside: files, the store, the daemon, ports, chain nodes, the machine.

Each look returns plain values of seen.py. All run side by side, each within its time, and what one
of them meets (a damaged file, a node that hangs) leaves the others alone. It imports no check.
"""
