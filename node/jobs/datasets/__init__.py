"""An owner's data sets beside its jobs: shown, mapped, replaced, removed.

A job that runs keeps the version that it was joined with. Nothing here is told to anybody else.
node/api.py imports it, and the rest of node/jobs does not.
"""
