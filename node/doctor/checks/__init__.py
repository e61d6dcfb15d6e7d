"""Judges what was seen: each check is a function from `Seen` to a `Finding`, and touches nothing.

A check whose part was not seen says so: `blank` makes of it a failure, or a check not asked. It
imports findings.py, seen.py and others' limits, and nothing that looks.
"""
