"""Libraries, and how little of them is loaded.

It imports nothing of assay; rooms that load a large library late use it.
"""
