"""Whole nodes in one process, on virtual time: the daemon's own code, its ports simulated.

One seed decides everything: what the network does, when blocks come, who crashes, what is drawn.
"""
