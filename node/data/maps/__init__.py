"""Column maps: what an owner says of its columns, so that they fit the names and units of jobs.

A map works cell by cell: what a cell becomes follows from that cell and the map alone. The daemon
imports `declared`, which is light; `mapped` runs in workers.
"""
