"""`assay demo`: the main job between real processes, driven as a user drives it.

`main` leads from the command line to an exit code, `story` says what happens in order. It imports
console/, control/'s codes, home/ and its own rooms, and no part of a daemon: what it knows of one
it asked the socket. Only cli/ imports it.
"""
