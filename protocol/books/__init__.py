"""What can be checked later: lists, trees, enrolments, evidence, merit, and the audit of them all.

Everything that stands behind a root on the chain is built and verified here. It imports spec/ and
wire/, and no machine: an audit must not need the state of whoever kept the books.
"""
