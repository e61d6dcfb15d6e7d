"""Swarms in one process, and one node in a process of its own."""
