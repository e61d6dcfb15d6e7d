"""A job's spec: what is trained on what, under which terms; read from TOML, checked, shown again.

A spec that breaks a rule cannot be built. `job` holds the whole, `parts` its tables. It imports
wire/ and layout/, and neither machines nor policies: what a spec means is decided above it.
"""
