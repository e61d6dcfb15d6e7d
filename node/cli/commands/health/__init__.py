"""How a node is: what is wrong with it, what it wrote into its log, what happened.

They import what commands import; only `events` asks the daemon for more than it says by itself.
"""
