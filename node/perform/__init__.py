"""Carrying out effects: one module for each thing that an effect can touch.

Every effect is idempotent, since a crash repeats it. It imports engine/'s services, store/, work/,
privacy/, net/ and chain/; nothing imports it but the daemon.
"""
