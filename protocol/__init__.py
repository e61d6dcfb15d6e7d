"""What the swarm says, and how it decides: pure functions and frozen values.

It imports neither node/ nor contracts/, and no clock, randomness or I/O. Above arith/ nothing
imports numpy or gmpy2 either: machines decide, workers compute. pyproject.toml lists the rooms'
heights, and a test holds them.
"""
