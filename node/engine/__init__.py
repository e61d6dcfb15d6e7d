"""The engine: inputs to machines, what they decide stored, their effects carried out.

State and effects are one transaction; effects are carried out after it, and again after a crash. It
imports store/ and protocol/; `services` is what performers work with.
"""
