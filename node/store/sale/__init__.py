"""Private predictions in the store: what is on sale, and channels with their parts and keys.

It imports store.py of node/store/; the schema is a step of node/store/steps/.
"""
