"""Worker processes: everything over a few milliseconds runs in one, niced and single-threaded.

`compute` is the daemon's side, `worker` the process. It knows how to run a function elsewhere, and
none of the functions: those are node/work/'s.
"""
