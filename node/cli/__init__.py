"""The command line: its entry, its commands, and what each result looks like to a person.

A new command begins in commands/ and is named in `app`. It is the top of node/: it imports console/
and control/'s codes at once, all else late, so that a command loads what it runs and no more.
"""
