"""Rules of a node's company: how long it waits, how often it asks and dials, who goes when it is
full.

Pure: seconds, counts and dice come in, and nothing is imported but the standard library.
docs/adr/0104 says why they are so, and 0106 what is dialled for others.
"""
