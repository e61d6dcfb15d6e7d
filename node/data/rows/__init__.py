"""A table's rows one by one: why one cannot be used, and what an encoder reads of the others.

Only workers import it, but for kept.py, which the daemon removes files by. Imports node.data's
tables and cells, never its matrices.
"""
