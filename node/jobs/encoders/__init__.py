"""The encoders of this home as its user sees them: added, listed, shown, removed.

They import what node/perform/encoders keeps, and node/encoders for what a package says of itself.
"""
