"""A node's home: its directory and lock, its settings, its keys, its words to systemd.

Keys are sealed at rest and have hidden names in memory. It imports protocol's `errors`, and no
other room.
"""
