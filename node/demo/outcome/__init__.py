"""What a run came to: its figures, whether that is what was promised, the picture of its curve.

`picture` runs in a process of its own. It imports recipes/, swarm/'s ledger and console/, and
starts nothing.
"""
