"""Parts of the table of control methods, a subject each; node/control/methods.py has the whole.

A part imports what methods.py does, and not methods.py.
"""
