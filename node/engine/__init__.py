"""The engine: inputs to machines, what they decide stored, their effects carried out.

State and effects are one transaction; effects are carried out after it, and again after a crash.
`services` is what performers work with: it names the parts, so the room imports store/, net/,
chain/, home/ and workers/, and protocol's machines. It knows no performer.
"""
