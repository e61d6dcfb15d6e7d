"""Files that a browser hands over: taken in bounds, kept for one act, gone after it.

multipart.py reads a form as it streams in, taking.py keeps its file in a folder of the act's own,
and scratch.py is the place of those folders. Nothing here knows what a file is for. It imports of
home/ where a home lies, and of console/ and control/ how a failure is told.
"""
