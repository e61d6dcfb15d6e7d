"""What every command stands on: a session, a client of the daemon, amounts and tables, a failure.

It imports control/'s exit codes and home/, nothing of protocol/ but its errors, and trio never: a
command that asks a daemon starts within milliseconds. cli/ and demo/ stand on it.
"""
