"""What worker processes run: read blobs, compute with protocol.arith, write a blob, say its name.

A new kind of computation begins here. Functions and their arguments travel between processes, so
that they are plain values. It imports data/, store/'s blobs and protocol/, never an actor.
"""
