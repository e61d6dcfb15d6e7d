"""What the demo trains: its data, split among owners, its recipes, and the spec that it posts.

A new data set begins in `columns`, a new recipe in `job` or `sealed`. It imports protocol's
`amounts`, and no other room of demo/.
"""
