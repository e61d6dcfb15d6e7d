"""Jobs as their people see them: posted, cancelled, watched, their books and audits.

It imports the store and what stands below feeds/, answers node/api.py, and performs no effect
itself: machines start by the engine alone.
"""
