"""Databases as sources: one SELECT, run once and only reading; its rows become a data set's copy.

Workers run it: the daemon imports `query` alone. A password comes with a call and goes with it: it
stands in no error, no log and no store. It imports what tables are made of, node/data/table.py,
frames.py and limits.py, and nothing imports it but datasets.py and the control socket's answer.
"""
