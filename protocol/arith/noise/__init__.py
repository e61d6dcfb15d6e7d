"""Noise: the mechanism that an owner adds to its contribution, and what it costs in epsilon.

Both follow libraries whose proofs they rest on. It imports numbers/, learning/
and protocol's layout/.
"""
