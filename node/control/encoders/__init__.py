"""Encoders on the control socket: parameters, results and examples of their methods.

They import node.control.wire alone; the rows of the table are in node/control/tables/encoders.py.
"""
