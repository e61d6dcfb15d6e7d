"""The requester's machine: from a post to the last claim.

`machine` is the way in; `enrol`, `attempt`, `commit`, `unmask` and `pay` are a job's stages in
their order. It imports machines/ and books/, and never owner/: what both must know belongs to one
of those.
"""
