"""Carrying out effects: one module for each thing that an effect can touch.

Every effect is idempotent, since a crash repeats it. It imports engine/'s services, store/, work/,
workers/, privacy/, net/ and chain/. Rooms above borrow a name or a check of it, and never perform.
"""
