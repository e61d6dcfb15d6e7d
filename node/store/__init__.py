"""What a node keeps: one SQLite file, content-addressed blobs, and typed access to both.

Store first, then say, then pay: a step's state and effects go in as one transaction. It imports
protocol/wire, chain/'s events and home/'s paths, and no part that acts on what it holds.
"""
