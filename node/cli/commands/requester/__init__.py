"""A requester's files: a spec made of a table, predictions made of a model.

No daemon is needed for either; files are read in a worker of the command's own.
"""
