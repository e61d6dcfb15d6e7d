"""Holding back, as results and examples of the control socket: pause, resume, job.leave.

The rows of the table are in node/control/tables/. It imports control/ alone.
"""
