"""Data sets: files read, copied and kept, and a job's view of them as arrays.

Workers read them: the daemon imports `datasets` alone, which loads neither numpy nor polars. It
imports store/, home/ and protocol/spec, hands work to workers/, and knows no network and no chain.
"""
