"""Encoder packages of this node: those that its user added, and those that accepted jobs need.

The packages are blobs; what is known of them stands in small files of the home (keeping.py).
Imports the home, services and workers; node/jobs and the performers import it.
"""
