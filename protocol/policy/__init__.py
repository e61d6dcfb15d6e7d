"""Which jobs an owner's data set takes: terms set once, judged against a spec, each with a reason.

A new term begins in `policy` and `terms`; `rules` compares. It imports spec/ and wire/, and decides
nothing that costs privacy: charges are node/privacy/'s.
"""
