"""The commands, by subject. Each is a thin function: arguments in, one call, a view out.

They import console/, cli's `options` and `views`. A heavier module is imported inside the command
that needs it. They decide nothing: rules belong to protocol/ and to the daemon.
"""
