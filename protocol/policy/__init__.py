"""Which jobs an owner's data set takes: terms set once, judged against a spec, each with a reason.

A new term begins in `terms`; `policy` compares. It imports spec/ and layout/, and decides nothing
that costs privacy: charges are node/privacy/'s.
"""
