"""Cards of data sets: which are kept, how a file becomes one, and what a job makes of them.

`table` decides what a node keeps of what anybody may say; `file` reads an owner's TOML; `search`
and `draft` are a requester's. It imports spec/ and wire/; who stores and speaks is node/cards/.
"""
