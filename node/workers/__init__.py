"""Worker processes: everything over a few milliseconds runs in one, niced and single-threaded.

`compute` is the daemon's side, `worker` the process, `pace` measures how fast one is. It imports
protocol/ alone: the functions that run are node/work/'s, and it knows none of them.
"""
