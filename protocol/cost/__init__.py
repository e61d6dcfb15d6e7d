"""What a job will cost before anybody pays: bytes, seconds, keys, from the spec alone.

Estimates are promises to a reader, so each says what it was measured on. It imports spec/, layout/,
wire/ and books/' lists, whose bytes it counts; `assay job check` and `assay params` print it, and
the simulator charges time by it.
"""
