"""Looks at this node from outside, as results and examples of the control socket: reach.

The rows of the table are in node/control/tables/. It imports control/ alone.
"""
