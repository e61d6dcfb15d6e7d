"""The store inside a backup: what of it comes along, and what a restored one may not do any more.

It imports store/ and home/, and no other room. node.home.keys seals what it packs; the command line
brings the two together.
"""
