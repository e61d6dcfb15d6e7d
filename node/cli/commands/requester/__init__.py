"""A requester's files: a spec made of a table, predictions made of a model.

They import what commands import, and hand files to a worker of their own, because no daemon need
run. They decide nothing: the worker's rooms do.
"""
